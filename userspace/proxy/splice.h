/* Pipes for splice(): a small stock per worker, lent while they hold bytes. */
#ifndef SLUICE_PROXY_SPLICE_H
#define SLUICE_PROXY_SPLICE_H

#include "proxy/worker.h"

struct pipe {
	struct list link;
	int read_fd, write_fd;
	uint32_t held_bytes;
};

void pipes_init(struct proxy_worker *worker);
void pipes_fini(struct proxy_worker *worker);
/* NULL: no descriptor or no memory; copy instead. */
struct pipe *pipe_get(struct proxy_worker *worker) must_check;
/* A pipe that still holds bytes is closed, an empty one kept. NULL is ignored. */
void pipe_put(struct proxy_worker *worker, struct pipe *pipe);

/* Moves bytes from `src` into the pipe: how many, 0 at the end, -EAGAIN, -ENOBUFS: pipe full. */
ssize_t pipe_fill(struct pipe *pipe, struct stream *src) must_check;
/* Moves bytes from the pipe to `dst`: how many, -EAGAIN or another -errno. */
ssize_t pipe_drain(struct pipe *pipe, struct stream *dst) must_check;

#endif
