/* Making connections to targets: descriptors, connect(), PROXY headers, handshakes. See upstream.h. */
#include "net/proxyproto.h"
#include "net/socket.h"
#include "proxy/proxy_out.h"
#include "proxy/upstream_parts.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

enum { FILES_TRY_MS = 20 };

/* Of connect(): the others (descriptors, ports, memory) say nothing about the target. */
static bool is_errno_of_target(int error)
{
	return error == -ECONNREFUSED || error == -ECONNRESET || error == -ETIMEDOUT ||
	       error == -EHOSTUNREACH || error == -ENETUNREACH || error == -EHOSTDOWN;
}

static void lend(struct upstream *upstream)
{
	upstream->state = UPSTREAM_LENT;
	upstream_end_pending(upstream);
	timer_clear(&upstream->timer);
	upstream->ops->ready(upstream);
}

/* A plain stream's PROXY header: the first bytes; the buffer of a new socket always takes them. */
static int send_proxy_header(struct upstream *upstream, int fd)
{
	ssize_t sent;

	if (!upstream->proxy_header)
		return 0;
	sent = send(fd, upstream->proxy_header, upstream->proxy_header_len, MSG_NOSIGNAL);
	if (sent < 0)
		return -errno;
	if (sent != upstream->proxy_header_len)
		return -EIO;
	free(upstream->proxy_header);
	upstream->proxy_header = NULL;
	return 0;
}

static void proceed(struct upstream *upstream)
{
	struct stream *stream = upstream->stream;
	int r = stream->ops->handshake(stream);

	if (r == -EAGAIN)
		return;
	if (r == 0 && stream->ops->is_plain)
		r = send_proxy_header(upstream, stream->watch.fd);
	if (r == -EPROTO)
		upstream_fail(upstream, CLOSE_target_tls_failed);
	else if (r < 0)
		upstream_fail(
			upstream, r == -ETIMEDOUT ? CLOSE_target_timeout : CLOSE_target_refused);
	else
		lend(upstream);
}

static void stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = stream_of_watch(watch);
	struct upstream *upstream = stream->owner;

	stream_note_events(stream, events);
	if (upstream->state == UPSTREAM_LENT)
		upstream->ops->event(upstream);
	else if (upstream->state == UPSTREAM_HANDSHAKE)
		proceed(upstream);
	else if (!upstream_is_quiet(stream))
		upstream_close(upstream, false); /* idle: it ended, or said something unasked */
}

/* SNI, and what the certificate has to be for. */
static const char *tls_name(const struct upstream *upstream, char text[static ADDR_TEXT_BYTES])
{
	const char *name = upstream->group->spec.tls_name;

	if (!name)
		name = upstream->target->host;
	return name ? name : addr_format_host(&upstream->target->addr, text);
}

static int start_stream(struct upstream *upstream, int fd, bool connecting)
{
	const struct group_spec *spec = &upstream->group->spec;
	char name[ADDR_TEXT_BYTES];

	if (spec->tls)
		upstream->stream = tls_stream_client(
			upstream->worker->tls, spec->tls, fd, tls_name(upstream, name), connecting);
	else
		upstream->stream = plain_stream_new(&upstream->worker->io, fd, connecting);
	if (!upstream->stream)
		return -ENOMEM;
	upstream->stream->owner = upstream;
	upstream->stream->watch.ready = stream_ready;
	upstream->state = UPSTREAM_HANDSHAKE;
	return 0;
}

/* Connected: the PROXY header goes in the clear, then TLS begins on the same socket. */
static void dial_ready(struct watch *watch, uint32_t events)
{
	struct upstream *upstream = container_of(watch, struct upstream, dial);
	int fd = watch->fd, error = 0;
	socklen_t len = sizeof(error);

	if (getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &len) < 0)
		error = errno;
	if (error || send_proxy_header(upstream, fd) < 0) {
		upstream_fail(upstream, CLOSE_target_refused);
		return;
	}
	loop_del(upstream->worker->io.loop, watch);
	watch->fd = -1;
	if (start_stream(upstream, fd, false) < 0) {
		upstream_fail(upstream, CLOSE_out_of_memory);
		return;
	}
	proceed(upstream);
}

/* Without taking the last descriptors. Those of connections that nobody uses are better used now. */
static int connect_within(struct proxy_worker *worker, const union addr *addr)
{
	uint64_t now_ms = loop_now_ms(worker->io.loop);
	int tries, fd = -EMFILE;

	for (tries = 0; tries < 2 && worker->out_of_files_ms != now_ms; tries++) {
		fd = socket_connect(addr);
		if (overload_fits(worker, fd))
			return fd;
		if (fd >= 0)
			close(fd);
		fd = -EMFILE;
		if (!upstream_trim(worker, 0)) /* nobody needs to ask again in this turn */
			worker->out_of_files_ms = now_ms;
	}
	return fd;
}

/* Gets a descriptor, or waits for one. */
static int dial(struct upstream *upstream)
{
	const struct group_spec *spec = &upstream->group->spec;
	struct loop *loop = upstream->worker->io.loop;
	int fd = connect_within(upstream->worker, &upstream->target->addr);

	if (fd == -EMFILE && loop_now_ms(loop) < upstream->wait_until_ms) {
		upstream->state = UPSTREAM_WAITING;
		timer_set(loop, &upstream->timer, FILES_TRY_MS);
		return 0;
	}
	if (fd < 0)
		return fd;
	upstream->state = UPSTREAM_DIALING;
	timer_set(loop, &upstream->timer, spec->connect_ms);
	if (!upstream->proxy_header || !spec->tls)
		return start_stream(upstream, fd, true);
	upstream->dial.fd = fd;
	return loop_add(loop, &upstream->dial);
}

static void try_again(struct upstream *upstream)
{
	int r = dial(upstream);

	if (r >= 0)
		return;
	if (is_errno_of_target(r))
		upstream_note_failure(upstream);
	upstream->ops->failed(upstream, upstream_refusal(r));
	upstream_close(upstream, true);
}

static void timed_out(struct timer *timer)
{
	struct upstream *upstream = container_of(timer, struct upstream, timer);

	if (upstream->state == UPSTREAM_IDLE)
		upstream_close(upstream, false);
	else if (upstream->state == UPSTREAM_WAITING)
		try_again(upstream);
	else
		upstream_fail(upstream, CLOSE_target_timeout);
}

int upstream_dial(struct upstream *upstream, const struct upstream_client *client)
{
	const struct group_spec *spec = &upstream->group->spec;
	int r = 0;

	upstream->dial.ready = dial_ready;
	upstream->timer.fire = timed_out;
	upstream->wait_until_ms = loop_now_ms(upstream->worker->io.loop) + spec->connect_ms;
	if (spec->proxy_out != PROXY_OUT_OFF)
		r = proxy_out_build(spec->proxy_out, client, &upstream->proxy_header,
			&upstream->proxy_header_len);
	r = r < 0 ? r : dial(upstream);
	if (is_errno_of_target(r))
		upstream_note_failure(upstream);
	return r;
}
