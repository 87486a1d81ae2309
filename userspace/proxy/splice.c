/* Pipes for splice(): see splice.h. */
#include "proxy/splice.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

enum { PIPE_BYTES = 256 * 1024, KEEP_PIPES = 64 };

void pipes_init(struct proxy_worker *worker)
{
	pool_init(&worker->pipes, sizeof(struct pipe), KEEP_PIPES);
	list_init(&worker->idle_pipes);
}

static void pipe_close(struct proxy_worker *worker, struct pipe *pipe)
{
	close(pipe->read_fd);
	close(pipe->write_fd);
	pool_put(&worker->pipes, pipe);
}

void pipes_fini(struct proxy_worker *worker)
{
	struct pipe *pipe;

	while (!list_is_empty(&worker->idle_pipes)) {
		pipe = container_of(worker->idle_pipes.next, struct pipe, link);
		list_del(&pipe->link);
		pipe_close(worker, pipe);
	}
	pool_fini(&worker->pipes);
}

struct pipe *pipe_get(struct proxy_worker *worker)
{
	struct pipe *pipe;
	int fds[2];

	if (!list_is_empty(&worker->idle_pipes)) {
		pipe = container_of(worker->idle_pipes.next, struct pipe, link);
		list_del(&pipe->link);
		worker->n_idle_pipes--;
		return pipe;
	}
	pipe = pool_get(&worker->pipes);
	if (!pipe)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		pool_put(&worker->pipes, pipe);
		return NULL;
	}
	/* Over the user's pipe budget the kernel refuses; the default size works too. */
	if (fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES) < 0 && errno != EPERM) {
		close(fds[0]);
		close(fds[1]);
		pool_put(&worker->pipes, pipe);
		return NULL;
	}
	*pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
	return pipe;
}

void pipe_put(struct proxy_worker *worker, struct pipe *pipe)
{
	if (!pipe)
		return;
	if (pipe->held_bytes || worker->n_idle_pipes >= KEEP_PIPES) {
		pipe_close(worker, pipe);
		return;
	}
	list_add_head(&worker->idle_pipes, &pipe->link);
	worker->n_idle_pipes++;
}

ssize_t pipe_fill(struct pipe *pipe, struct stream *src)
{
	ssize_t moved = splice(src->watch.fd, NULL, pipe->write_fd, NULL, PIPE_BYTES,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (moved < 0) {
		if (errno != EAGAIN)
			return -errno;
		/* Either the socket is empty or the pipe is full: full means drain first. */
		if (pipe->held_bytes)
			return -ENOBUFS;
		src->can_read = false;
		return -EAGAIN;
	}
	if (moved == 0)
		src->read_ended = true;
	pipe->held_bytes += (uint32_t)moved;
	src->bytes_in += (uint64_t)moved;
	return moved;
}

ssize_t pipe_drain(struct pipe *pipe, struct stream *dst)
{
	ssize_t moved = splice(pipe->read_fd, NULL, dst->watch.fd, NULL, pipe->held_bytes,
		SPLICE_F_MOVE | SPLICE_F_NONBLOCK);

	if (moved < 0) {
		if (errno == EAGAIN)
			dst->can_write = false;
		return -errno;
	}
	pipe->held_bytes -= (uint32_t)moved;
	dst->bytes_out += (uint64_t)moved;
	return moved;
}
