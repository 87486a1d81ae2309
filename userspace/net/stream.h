/*
 * A stream: a connected byte pipe with a descriptor, plain TCP or TLS, seen the same way by HTTP,
 * the tunnel and the health checks. Non-blocking; edge triggered: `can_read` and `can_write` say
 * whether trying is worth a system call. Owned by one connection on one thread.
 *
 * Errors are negative errno. -EAGAIN: try again when the loop says so. A TLS stream maps protocol
 * failures to -EPROTO and keeps the reason (tls_stream_failure).
 */
#ifndef SLUICE_NET_STREAM_H
#define SLUICE_NET_STREAM_H

#include "core/attr.h"
#include "core/buf.h"
#include "core/loop.h"
#include "net/pace.h"
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* What a thread that does I/O owns; outlives every stream made with it. */
struct iothread {
	struct loop *loop;
	struct bufpool bufs;
	struct pool plain_streams;
	uint32_t worker; /* index, 0-based; the control thread uses its own iothread */
};

struct stream;

struct stream_ops {
	/* Brings the stream up (connect() result, TLS handshake). 0: established. */
	int (*handshake)(struct stream *stream);
	/* Bytes read, 0 at end of stream (for TLS: close_notify; a bare FIN is -ECONNRESET where
	 * truncation matters, see `truncated`). */
	ssize_t (*read)(struct stream *stream, void *bytes, size_t len);
	/* Bytes taken, maybe fewer. `more`: more follows at once. */
	ssize_t (*writev)(struct stream *stream, const struct iovec *iov, int n_iov, bool more);
	/* Sends what an earlier writev took but the socket did not. 0, or -EAGAIN. */
	int (*flush)(struct stream *stream);
	/* Has TCP got what writev() and splice_out() took? 0, -EAGAIN, or as writev(). */
	int (*is_sent)(struct stream *stream);
	/* Ends our direction (close_notify, FIN); what was taken is sent first. 0, or -EAGAIN. */
	int (*shutdown)(struct stream *stream);
	/* Bytes that read() would return without the kernel saying anything new. */
	bool (*has_pending)(const struct stream *stream);
	/* Closes the descriptor and frees the stream's memory at the end of the turn. With
	 * `abort`, the peer gets a RST instead of an orderly end. */
	void (*close)(struct stream *stream, bool abort);
	/* Could splice_in (splice_out) be used, as far as is known? Changes nothing. */
	bool (*may_splice_in)(const struct stream *stream);
	bool (*may_splice_out)(const struct stream *stream);
	/* Would splice_in have records opened in the kernel that are opened here now? */
	bool (*opens_records)(const struct stream *stream);
	/* May it be used for what comes next? Asks for it, too: a TLS stream hands that direction's
	 * records to the kernel if it can, and there is no way back: only when the other end may,
	 * too. False: not now (read() what is at hand, flush() what was taken), or never: copy. */
	bool (*can_splice_in)(struct stream *stream);
	bool (*can_splice_out)(struct stream *stream);
	/* Moves up to `max` bytes of the stream into a pipe. Bytes, 0 at the end as read(), -EAGAIN
	 * (the socket is empty or the pipe is full), or as read(). */
	ssize_t (*splice_in)(struct stream *stream, int pipe_fd, size_t max);
	/* Moves up to `len` bytes, which are in the pipe, to the stream. Bytes, -EAGAIN or as writev.
	 * What it took is on its way: nothing waits for more. */
	ssize_t (*splice_out)(struct stream *stream, int pipe_fd, size_t len);
	bool is_plain; /* no TLS: there is no close_notify, the end is a FIN */
};

struct stream {
	const struct stream_ops *ops;
	struct iothread *thread;
	struct watch watch; /* the owner sets watch.ready */
	void *owner; /* the owner's, for watch.ready */
	bool can_read; /* the kernel may have bytes (or an end, or an error) for us */
	bool can_write;
	bool read_ended; /* read() has returned 0 */
	bool has_urgent; /* urgent data came, at which a read stops short */
	bool peer_ended; /* the kernel reported EPOLLRDHUP or EPOLLHUP: read until 0 */
	bool broken; /* both directions are gone (reset, or ended on both sides) */
	bool truncated; /* TLS ended without close_notify */
	bool retiring; /* TLS: its key, which cannot be changed, is old: end when it can be done */
	uint8_t awaited; /* enum stream_arrival (stream_arrival.h) */
	uint16_t await_ms; /* the wait that was set last; 0: nothing is awaited */
	struct pace pace; /* of what is written to it */
	uint64_t bytes_in, bytes_out; /* of the stream (plaintext), for logs and counters */
	uint64_t await_seen_bytes; /* how far TCP was when it was asked last */
	union {
		struct timer timer; /* stream_look_again(); other uses by its kind before that */
		struct task free_task; /* of a stream that was closed */
	};
};

static inline struct stream *stream_of_watch(struct watch *watch)
{
	return container_of(watch, struct stream, watch);
}

/* Call first in watch.ready: turns epoll events into can_read/can_write/peer_ended. */
static inline void stream_note_events(struct stream *stream, uint32_t events)
{
	if (events & (EPOLLIN | EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->can_read = true;
	if (events & (EPOLLOUT | EPOLLHUP | EPOLLERR))
		stream->can_write = true;
	if (events & EPOLLPRI)
		stream->can_read = stream->has_urgent = true;
	if (events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR))
		stream->peer_ended = true;
	if (events & (EPOLLHUP | EPOLLERR))
		stream->broken = true;
}

/* Takes note of how the peer keeps up, after each write: bytes or -EAGAIN. */
static inline void stream_note_pace(struct stream *stream, ssize_t moved)
{
	uint64_t now_ms = loop_now_ms(stream->thread->loop);

	if (moved == -EAGAIN)
		pace_blocked(&stream->pace, now_ms);
	else if (moved > 0)
		pace_moved(&stream->pace, (uint32_t)moved, now_ms);
}

/*
 * A plain TCP stream on `fd`, which it owns from then on (also when this fails: it is closed).
 * Registers it with the loop. `connecting`: connect() returned EINPROGRESS. NULL: out of memory.
 */
struct stream *plain_stream_new(struct iothread *thread, int fd, bool connecting) must_check;

/* Shared by all kinds: reads from the socket, keeping can_read right. As stream_ops.read. */
ssize_t stream_recv(struct stream *stream, void *bytes, size_t len);
/* The rest of a message is awaited that its sender may hold back until what came is acknowledged: that is
 * done at once, and goes on so until we send something. Nothing for what is no socket of its own. */
void stream_ack_now(struct stream *stream);
/* Shared by all kinds: sends, keeping can_write right. Bytes sent or -errno. */
ssize_t stream_send(struct stream *stream, const struct iovec *iov, int n_iov, bool more);
/* Shared by all kinds: splice(2) between a pipe and a socket, not blocking. No SPLICE_F_MORE: it would
 * hold bytes back for any length of time. Bytes or -errno. */
ssize_t stream_splice(int from_fd, int to_fd, size_t len);
/* Shared by all kinds: closes the descriptor (RST with `abort`), and frees at the end of the turn. */
void stream_end(struct stream *stream, bool abort, void (*free_stream)(struct task *task));

int iothread_init(struct iothread *thread, uint32_t worker) must_check;
void iothread_fini(struct iothread *thread);

#endif
