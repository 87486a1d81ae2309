/* Plain TCP streams, and what all kinds of stream share: see stream.h. */
#include "net/stream.h"
#include "net/socket.h"
#include "net/stream_arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

struct plain_stream {
	struct stream base;
	bool connecting;
	bool at_mark; /* in front of urgent data, which splice() never passes and recv() does */
};

enum { KEEP_STREAMS = 4096 };

int iothread_init(struct iothread *thread, uint32_t worker)
{
	int r = loop_new(&thread->loop);

	if (r < 0)
		return r;
	thread->worker = worker;
	bufpool_init(&thread->bufs);
	pool_init(&thread->plain_streams, sizeof(struct plain_stream), KEEP_STREAMS);
	return 0;
}

void iothread_fini(struct iothread *thread)
{
	loop_free(thread->loop);
	bufpool_fini(&thread->bufs);
	pool_fini(&thread->plain_streams);
}

ssize_t stream_recv(struct stream *stream, void *bytes, size_t len)
{
	ssize_t got;

	if (!len)
		return -EINVAL; /* recv() would return 0, which means the end of the stream */
	do
		got = recv(stream->watch.fd, bytes, len, 0);
	while (got < 0 && errno == EINTR);
	if (got < 0) {
		if (errno == EAGAIN)
			stream->can_read = stream->has_urgent = false;
		return -errno;
	}
	/* epoll(7): a short read of a stream socket means it is drained; if the end has been
	 * reported there is still the end itself to read. */
	if ((size_t)got < len && !stream->peer_ended && !stream->has_urgent)
		stream->can_read = false;
	return got;
}

void stream_ack_now(struct stream *stream)
{
	if (stream->watch.fd >= 0)
		setsockopt(stream->watch.fd, IPPROTO_TCP, TCP_QUICKACK, &(int){1}, sizeof(int));
}

/* Most are one piece: for those the kernel has no list to copy and look through. */
static ssize_t send_once(int fd, const struct iovec *iov, int n_iov, int flags)
{
	struct msghdr message = {.msg_iov = (struct iovec *)iov, .msg_iovlen = (size_t)n_iov};

	if (n_iov == 1)
		return send(fd, iov->iov_base, iov->iov_len, flags);
	return sendmsg(fd, &message, flags);
}

ssize_t stream_send(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	int flags = MSG_NOSIGNAL | (more ? MSG_MORE : 0);
	size_t want = 0;
	ssize_t sent;
	int i;

	for (i = 0; i < n_iov; i++)
		want += iov[i].iov_len;
	do
		sent = send_once(stream->watch.fd, iov, n_iov, flags);
	while (sent < 0 && errno == EINTR);
	if (sent < 0) {
		if (errno == EAGAIN)
			stream->can_write = false;
		return -errno;
	}
	if ((size_t)sent < want)
		stream->can_write = false;
	return sent;
}

ssize_t stream_splice(int from_fd, int to_fd, size_t len)
{
	ssize_t moved;

	do
		moved = splice(from_fd, NULL, to_fd, NULL, len, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
	while (moved < 0 && errno == EINTR);
	return moved < 0 ? -errno : moved;
}

void stream_end(struct stream *stream, bool abort, void (*free_stream)(struct task *task))
{
	timer_clear(&stream->timer);
	socket_close(stream->thread->loop, &stream->watch, abort);
	stream->free_task = (struct task){.run = free_stream}; /* the timer is not set any more */
	loop_defer(stream->thread->loop, &stream->free_task);
}

static int plain_handshake(struct stream *stream)
{
	struct plain_stream *plain = container_of(stream, struct plain_stream, base);
	socklen_t len = sizeof(int);
	int error = 0;

	if (!plain->connecting)
		return 0;
	if (!stream->can_write && !stream->peer_ended)
		return -EAGAIN;
	if (getsockopt(stream->watch.fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		return -errno;
	if (error)
		return -error;
	plain->connecting = false;
	return 0;
}

static ssize_t plain_read(struct stream *stream, void *bytes, size_t len)
{
	struct plain_stream *plain = container_of(stream, struct plain_stream, base);
	ssize_t got = stream_recv(stream, bytes, len);

	plain->at_mark = false;
	if (got > 0)
		stream->bytes_in += (uint64_t)got;
	else if (got == 0)
		stream->read_ended = true;
	return got;
}

static ssize_t plain_writev(struct stream *stream, const struct iovec *iov, int n_iov, bool more)
{
	ssize_t sent = stream_send(stream, iov, n_iov, more);

	if (sent > 0)
		stream->bytes_out += (uint64_t)sent;
	return sent;
}

static int plain_flush(struct stream *stream)
{
	return 0;
}

static int plain_is_sent(struct stream *stream)
{
	return 0;
}

static int plain_shutdown(struct stream *stream)
{
	return shutdown(stream->watch.fd, SHUT_WR) < 0 ? -errno : 0;
}

static bool plain_has_pending(const struct stream *stream)
{
	return false;
}

static bool plain_may_splice_in(const struct stream *stream)
{
	return !container_of(stream, struct plain_stream, base)->at_mark;
}

static bool plain_may_splice_out(const struct stream *stream)
{
	return true;
}

static bool plain_opens_records(const struct stream *stream)
{
	return false;
}

static bool plain_can_splice_in(struct stream *stream)
{
	return plain_may_splice_in(stream);
}

static bool plain_can_splice_out(struct stream *stream)
{
	return true;
}

/* Nothing moved: at urgent data tcp_splice_read() says that there is nothing, or even that this is
 * the end, as long as recv() has not stepped over it. */
static bool stops_at_mark(struct plain_stream *plain)
{
	int at_mark = 0;

	if (ioctl(plain->base.watch.fd, SIOCATMARK, &at_mark) < 0)
		return false;
	plain->at_mark = at_mark;
	return at_mark;
}

static ssize_t plain_splice_in(struct stream *stream, int pipe_fd, size_t max)
{
	struct plain_stream *plain = container_of(stream, struct plain_stream, base);
	ssize_t moved;

	if (!max)
		return -EINVAL; /* splice() would return 0, which means the end of the stream */
	moved = stream_splice(stream->watch.fd, pipe_fd, max);
	if (moved > 0) {
		stream->bytes_in += (uint64_t)moved;
		return moved;
	}
	if (moved < 0 && moved != -EAGAIN)
		return moved;
	if (stops_at_mark(plain))
		return -EAGAIN;
	if (moved == 0) {
		stream->read_ended = true;
		return 0;
	}
	stream->can_read = false;
	return -EAGAIN;
}

/* A short move says nothing: the pieces in a pipe go one by one. */
static ssize_t plain_splice_out(struct stream *stream, int pipe_fd, size_t len)
{
	ssize_t moved = stream_splice(pipe_fd, stream->watch.fd, len);

	if (moved == -EAGAIN)
		stream->can_write = false;
	if (moved > 0)
		stream->bytes_out += (uint64_t)moved;
	return moved;
}

static void plain_free(struct task *task)
{
	struct plain_stream *plain = container_of(task, struct plain_stream, base.free_task);

	pool_put(&plain->base.thread->plain_streams, plain);
}

static void plain_close(struct stream *stream, bool abort)
{
	stream_end(stream, abort, plain_free);
}

static const struct stream_ops plain_ops = {
	.handshake = plain_handshake,
	.read = plain_read,
	.writev = plain_writev,
	.flush = plain_flush,
	.is_sent = plain_is_sent,
	.shutdown = plain_shutdown,
	.has_pending = plain_has_pending,
	.close = plain_close,
	.may_splice_in = plain_may_splice_in,
	.may_splice_out = plain_may_splice_out,
	.opens_records = plain_opens_records,
	.can_splice_in = plain_can_splice_in,
	.can_splice_out = plain_can_splice_out,
	.splice_in = plain_splice_in,
	.splice_out = plain_splice_out,
	.is_plain = true,
};

struct stream *plain_stream_new(struct iothread *thread, int fd, bool connecting)
{
	struct plain_stream *plain = pool_get(&thread->plain_streams);

	if (!plain)
		goto fail;
	*plain = (struct plain_stream){
		.base = {.ops = &plain_ops,
			.thread = thread,
			.watch.fd = fd,
			.can_read = !connecting,
			.can_write = !connecting,
			.timer.fire = stream_look_again},
		.connecting = connecting,
	};
	if (loop_add(thread->loop, &plain->base.watch) < 0)
		goto fail;
	return &plain->base;
fail:
	pool_put(&thread->plain_streams, plain);
	close(fd);
	return NULL;
}
