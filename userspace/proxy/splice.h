/*
 * Bytes on their way from one stream to another through a pipe (splice(2)) instead of a buffer: what
 * tunnels and bodies do with bulk. Small pieces are cheaper by copy, so a way splices only after
 * much has come at once, and stops when little does. A pipe is lent while it holds bytes and no
 * longer; a worker has a bounded number of them, and who gets none copies. Where splice() is not
 * allowed the first try shows it, and nothing is lost by that. Owned by one thread.
 */
#ifndef SLUICE_PROXY_SPLICE_H
#define SLUICE_PROXY_SPLICE_H

#include "core/list.h"
#include "core/mem.h"
#include "net/stream.h"
#include <stdatomic.h>

/* A body with less than this left is copied: the last read of it then sees that it is the last. */
enum { SPLICE_BODY_BYTES = 64 * 1024 };

/* A worker's pipes. */
struct pipes {
	struct pool pool;
	struct list idle; /* struct pipe; all of them empty */
	uint32_t n_idle, n_lent;
	const atomic_uint *files_max; /* their descriptors are below; 0: any. NULL: as 0 */
	int refused; /* errno of splice() itself: from then on everything is copied; 0; others read it */
};

struct pipe;

/* One direction. Zero-initialised: nothing in it, and the first bytes are copied. */
struct splice_way {
	struct pipe *pipe; /* lent; NULL: there are no bytes on the way */
	bool in_bulk; /* much came last, or is certain to come */
};

void pipes_init(struct pipes *pipes, const atomic_uint *files_max);
/* Every way must be empty. */
void pipes_fini(struct pipes *pipes);

/* Bytes that have left the source and are not yet with the destination. */
uint32_t splice_held_bytes(const struct splice_way *way) must_check;
/* Is splice_fill() what comes next, rather than a copy? Asks the streams, which may change over to
 * splicing then, and gets a pipe. Only with nothing on the way. */
bool splice_is_next(struct splice_way *way, struct pipes *pipes, struct stream *src,
	struct stream *dst) must_check;
/* After splice_is_next(): up to `max` bytes of src into the pipe. As stream_ops.read; -EAGAIN and
 * src->can_read: something is there that does not go through a pipe, read() it. */
ssize_t splice_fill(
	struct splice_way *way, struct pipes *pipes, struct stream *src, size_t max) must_check;
/* Sends what is on the way. 0: all of it is gone; -EAGAIN: dst takes no more now; or -errno. */
int splice_drain(struct splice_way *way, struct pipes *pipes, struct stream *dst) must_check;
/* A read by copy got `got` bytes. */
void splice_note_copied(struct splice_way *way, ssize_t got);
/* Drops what is on the way. */
void splice_drop(struct splice_way *way, struct pipes *pipes);

#endif
