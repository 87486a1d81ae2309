/* How far what was written to a stream has come: see stream_arrival.h. */
#include "net/stream_arrival.h"

#include <errno.h>
#include <linux/sockios.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

enum { FIRST_WAIT_MS = 5, WAIT_MAX_MS = 640, TRIES_MAX = 16 };

static uint64_t queued_bytes(const struct stream *stream)
{
	int bytes = 0;

	return ioctl(stream->watch.fd, SIOCOUTQ, &bytes) < 0 ? 0 : (uint64_t)bytes;
}

uint64_t stream_acked_bytes(const struct stream *stream)
{
	struct tcp_info info = {0};
	socklen_t len = sizeof(info);

	if (getsockopt(stream->watch.fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
		return 0;
	return info.tcpi_bytes_acked;
}

/* What is acknowledged between the two calls would be missed: asks again until nothing was. */
uint64_t stream_tcp_bytes(const struct stream *stream)
{
	uint64_t acked = stream_acked_bytes(stream), before, queued;
	int tries = 0;

	do {
		before = acked;
		queued = queued_bytes(stream);
		acked = stream_acked_bytes(stream);
	} while (acked != before && ++tries < TRIES_MAX);
	return before + queued;
}

static uint64_t progress(const struct stream *stream)
{
	return stream->awaited == STREAM_SENT ? stream_tcp_bytes(stream)
					      : stream_acked_bytes(stream);
}

static void look_later(struct stream *stream)
{
	uint32_t wait_ms = stream->await_ms ? 2u * stream->await_ms : FIRST_WAIT_MS;

	stream->await_ms = (uint16_t)(wait_ms < WAIT_MAX_MS ? wait_ms : WAIT_MAX_MS);
	timer_set(stream->thread->loop, &stream->timer, stream->await_ms);
}

/* As stream_await(). */
static int has_arrived(struct stream *stream)
{
	int r;

	if (stream->broken)
		return 0;
	r = stream->ops->is_sent(stream);
	if (r == 0 && stream->awaited == STREAM_DELIVERED && queued_bytes(stream))
		return -EAGAIN;
	return r;
}

int stream_await(struct stream *stream, enum stream_arrival arrival)
{
	int r;

	stream->awaited = (uint8_t)arrival;
	r = has_arrived(stream);
	if (r == -EAGAIN) {
		stream->await_seen_bytes = progress(stream);
		look_later(stream);
		return -EAGAIN;
	}
	if (stream->await_ms)
		timer_clear(&stream->timer);
	stream->await_ms = 0;
	return r;
}

void stream_look_again(struct timer *timer)
{
	struct stream *stream = container_of(timer, struct stream, timer);

	if (progress(stream) == stream->await_seen_bytes && has_arrived(stream) == -EAGAIN)
		look_later(stream);
	else
		stream->watch.ready(&stream->watch, EPOLLOUT);
}
