/* Pipes between streams: see splice.h. */
#define LOG_MODULE "splice"
#include "proxy/splice.h"
#include "core/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	PIPE_BYTES = 512 * 1024,     /* 128 pieces: a large block of ordinary pages */
	PIPE_BYTES_MIN = 64 * 1024,  /* a smaller pipe costs more calls than it saves copies */
	KEEP_PIPES = 64,
	LENT_MAX = 1024,             /* two descriptors each */
	BULK_FROM = 16 * 1024,       /* a read of this much: the next is spliced */
	BULK_UNTIL = 8 * 1024,       /* less than this was spliced: the next is read */
};

struct pipe {
	struct list link; /* pipes->idle unless lent */
	int read_fd, write_fd;
	uint32_t held_bytes;
	uint8_t *taken; /* its bytes after splice() was refused; NULL: they are in the pipe */
	uint32_t taken_bytes;
};

void pipes_init(struct pipes *pipes, const atomic_uint *files_max)
{
	*pipes = (struct pipes){.files_max = files_max};
	pool_init(&pipes->pool, sizeof(struct pipe), KEEP_PIPES);
	list_init(&pipes->idle);
}

static void pipe_close(struct pipes *pipes, struct pipe *pipe)
{
	free(pipe->taken);
	close(pipe->read_fd);
	close(pipe->write_fd);
	pool_put(&pipes->pool, pipe);
}

static struct pipe *pipe_pop(struct pipes *pipes)
{
	struct pipe *pipe = container_of(pipes->idle.next, struct pipe, link);

	list_del(&pipe->link);
	pipes->n_idle--;
	return pipe;
}

void pipes_fini(struct pipes *pipes)
{
	while (!list_is_empty(&pipes->idle))
		pipe_close(pipes, pipe_pop(pipes));
	pool_fini(&pipes->pool);
}

/* The last descriptors are for what cannot do without. */
static bool is_over(const struct pipes *pipes, int fd)
{
	uint32_t max =
		pipes->files_max ? atomic_load_explicit(pipes->files_max, memory_order_relaxed) : 0;

	return max && (uint32_t)fd >= max;
}

static struct pipe *pipe_new(struct pipes *pipes)
{
	struct pipe *pipe = pool_get(&pipes->pool);
	int fds[2];

	if (!pipe)
		return NULL;
	if (pipe2(fds, O_NONBLOCK | O_CLOEXEC) < 0) {
		pool_put(&pipes->pool, pipe);
		return NULL;
	}
	*pipe = (struct pipe){.read_fd = fds[0], .write_fd = fds[1]};
	/* Over the user's pipe budget the kernel refuses, and a new pipe may be a page or two. */
	if (!is_over(pipes, pipe->write_fd) && !is_over(pipes, pipe->read_fd) &&
		(fcntl(pipe->write_fd, F_SETPIPE_SZ, PIPE_BYTES) >= 0 ||
			fcntl(pipe->write_fd, F_GETPIPE_SZ) >= PIPE_BYTES_MIN))
		return pipe;
	pipe_close(pipes, pipe);
	return NULL;
}

/* NULL: no descriptor, no memory, or too many are lent. */
static struct pipe *pipe_lend(struct pipes *pipes)
{
	struct pipe *pipe = NULL;

	if (!list_is_empty(&pipes->idle))
		pipe = pipe_pop(pipes);
	else if (pipes->n_lent < LENT_MAX)
		pipe = pipe_new(pipes);
	if (pipe)
		pipes->n_lent++;
	return pipe;
}

void splice_drop(struct splice_way *way, struct pipes *pipes)
{
	struct pipe *pipe = way->pipe;

	if (!pipe)
		return;
	way->pipe = NULL;
	pipes->n_lent--;
	if (pipe->held_bytes || pipe->taken || pipes->n_idle >= KEEP_PIPES) {
		pipe_close(pipes, pipe);
		return;
	}
	list_add_head(&pipes->idle, &pipe->link);
	pipes->n_idle++;
}

/* What splice() says if it is not allowed (seccomp), not there, or not for these descriptors, rather
 * than of a connection that has ended. */
static bool is_refused(ssize_t error)
{
	return error == -EPERM || error == -EACCES || error == -ENOSYS || error == -EINVAL ||
	       error == -EOPNOTSUPP;
}

/* For good: trying again would cost a call each time. */
static void note_refused(struct pipes *pipes, ssize_t error)
{
	if (pipes->refused)
		return;
	__atomic_store_n(&pipes->refused, (int)-error, __ATOMIC_RELAXED);
	log_warn("splice() is refused (%s): this worker copies from now on", strerror((int)-error));
}

uint32_t splice_held_bytes(const struct splice_way *way)
{
	return way->pipe ? way->pipe->held_bytes : 0;
}

/* From TLS to TLS our own records are cheaper, copies and all: opening them in the kernel costs more
 * than splicing saves, unless it does so anyway. */
static bool is_worth_it(const struct stream *src, const struct stream *dst)
{
	return dst->ops->is_plain || !src->ops->opens_records(src);
}

bool splice_is_next(
	struct splice_way *way, struct pipes *pipes, struct stream *src, struct stream *dst)
{
	if (!way->in_bulk || pipes->refused || !is_worth_it(src, dst) ||
		!src->ops->may_splice_in(src) || !dst->ops->may_splice_out(dst))
		return false;
	way->pipe = pipe_lend(pipes);
	if (!way->pipe) {
		way->in_bulk = false; /* asks for one again after the next bulk */
		return false;
	}
	if (src->ops->can_splice_in(src) && dst->ops->can_splice_out(dst))
		return true;
	splice_drop(way, pipes);
	return false;
}

ssize_t splice_fill(struct splice_way *way, struct pipes *pipes, struct stream *src, size_t max)
{
	ssize_t moved = src->ops->splice_in(src, way->pipe->write_fd, max);

	if (moved > 0) {
		way->pipe->held_bytes = (uint32_t)moved;
		way->in_bulk = moved >= BULK_UNTIL;
		return moved;
	}
	splice_drop(way, pipes);
	if (!is_refused(moved))
		return moved;
	note_refused(pipes, moved);
	return -EAGAIN;
}

/* What is in the pipe comes out of it, and goes on as if it had been read. */
static ssize_t write_taken(struct pipe *pipe, struct stream *dst)
{
	struct iovec iov = {.iov_len = pipe->held_bytes};
	ssize_t got;

	if (!pipe->taken) {
		pipe->taken = malloc(pipe->held_bytes);
		if (!pipe->taken)
			return -ENOMEM;
		for (pipe->taken_bytes = 0; pipe->taken_bytes < pipe->held_bytes;
			pipe->taken_bytes += (uint32_t)got) {
			got = read(pipe->read_fd, pipe->taken + pipe->taken_bytes,
				pipe->held_bytes - pipe->taken_bytes);
			if (got <= 0)
				return -EIO;
		}
	}
	iov.iov_base = pipe->taken + pipe->taken_bytes - pipe->held_bytes;
	return dst->ops->writev(dst, &iov, 1, false);
}

static ssize_t move_out(struct pipes *pipes, struct pipe *pipe, struct stream *dst)
{
	ssize_t moved;

	if (pipe->taken)
		return write_taken(pipe, dst);
	moved = dst->ops->splice_out(dst, pipe->read_fd, pipe->held_bytes);
	if (!is_refused(moved))
		return moved;
	note_refused(pipes, moved);
	return write_taken(pipe, dst);
}

int splice_drain(struct splice_way *way, struct pipes *pipes, struct stream *dst)
{
	struct pipe *pipe = way->pipe;
	ssize_t moved;

	if (!pipe)
		return 0;
	while (pipe->held_bytes) {
		moved = move_out(pipes, pipe, dst);
		stream_note_pace(dst, moved);
		if (moved <= 0)
			return moved ? (int)moved : -EIO;
		pipe->held_bytes -= (uint32_t)moved;
	}
	splice_drop(way, pipes);
	return 0;
}

void splice_note_copied(struct splice_way *way, ssize_t got)
{
	way->in_bulk = got >= BULK_FROM;
}
