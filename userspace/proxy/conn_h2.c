/* HTTP/2 on a client's connection: see conn_h2.h. */
#define LOG_MODULE "http2"
#include "proxy/conn_h2.h"
#include "core/counter.h"
#include "core/log.h"
#include "net/stream_arrival.h"
#include "proxy/accesslog.h"
#include "proxy/conn_terms.h"
#include "proxy/exchange_h2.h"

/* What ends a connection in order may come with each request, as in HTTP/1. */
static bool is_last(const struct conn *conn)
{
	const struct listener_spec *spec = &conn->listener->spec;

	return !spec->http2 || !conn_goes_on(conn, conn->requests);
}

static void got_request(
	struct h2_stream *stream, const struct http_request *request, unsigned int refusal)
{
	struct conn *conn = h2_owner(stream->h2);

	exchange_h2_start(conn, stream, request, refusal);
	if (is_last(conn))
		conn_h2_drain(conn,
			conn_terms(conn) != CONN_TERMS_GOOD ? CLOSE_terms_changed : CLOSE_done);
}

static void malformed(struct h2 *h2, bool is_too_large)
{
	struct conn *conn = h2_owner(h2);
	enum close_reason reason = is_too_large ? CLOSE_header_too_large : CLOSE_bad_request;

	if (!is_too_large)
		counter_inc(
			&conn_counts(conn)->desync[DESYNC_bad_h2_request][LISTENER_DESYNC_REFUSED]);
	conn_count_reason(conn, reason);
	accesslog_put_malformed(conn, reason);
}

static void stream_event(struct h2_stream *stream)
{
	if (stream->body.owner)
		exchange_front_event(stream->body.owner);
}

/* Between requests the connection waits as one of HTTP/1 does; during them, they have time-outs of
 * their own. But nothing can come before a head that has begun is whole, and nothing goes where a client
 * takes nothing. */
static void changed(struct h2 *h2)
{
	struct conn *conn = h2_owner(h2);
	const struct listener_spec *spec = &conn->listener->spec;

	conn_count_bytes(conn);
	switch (h2_waits(h2)) {
	case H2_WAITS_REQUEST:
		conn_set_timeout(conn, conn->requests ? spec->keep_alive_ms : spec->header_ms);
		break;
	case H2_WAITS_HEAD:
		conn_set_timeout(conn, spec->header_ms);
		break;
	case H2_WAITS_OWNERS:
		conn_set_timeout(conn, 0);
		break;
	case H2_WAITS_TAKER:
		conn->linger_acked_bytes = stream_acked_bytes(conn->front);
		conn_set_timeout(conn, spec->idle_ms);
		break;
	}
}

static void log_flood(const struct conn *conn)
{
	char text[ADDR_TEXT_BYTES];

	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_debug("listener %s: client %s: HTTP/2: too much of %s",
			conn->listener->spec.name, addr_format(&conn->client, text),
			h2_cost_name(h2_flood(conn->h2)));
}

static enum close_reason reason_of(const struct conn *conn)
{
	switch (h2_fault(conn->h2)) {
	case H2_FAULT_NONE:
		break;
	case H2_FAULT_GONE:
		return conn->front->read_ended ? CLOSE_client_gone : CLOSE_client_reset;
	case H2_FAULT_PROTOCOL:
		return CLOSE_http2_protocol;
	case H2_FAULT_FLOOD:
		return CLOSE_http2_flood;
	case H2_FAULT_MEMORY:
		return CLOSE_out_of_memory;
	}
	return conn->end_reason;
}

static void over(struct h2 *h2)
{
	struct conn *conn = h2_owner(h2);
	enum h2_fault fault = h2_fault(h2);

	if (fault == H2_FAULT_FLOOD)
		log_flood(conn);
	if (fault == H2_FAULT_GONE || fault == H2_FAULT_MEMORY)
		conn_close(conn, reason_of(conn));
	else
		conn_linger(conn, reason_of(conn));
}

static const struct h2_ops h2_ops = {
	.request = got_request,
	.malformed = malformed,
	.event = stream_event,
	.changed = changed,
	.over = over,
};

void conn_h2_start(struct conn *conn, const struct buf *in)
{
	const struct http_terms *terms = &conn->listener->spec.http;
	struct h2_spec spec = {
		.max_header_bytes = terms->limits.head_bytes,
		.takes_connect = terms->upgrades,
	};

	conn->h2 = h2_new(&conn->worker->h2, conn->front, &spec, &h2_ops, conn);
	if (!conn->h2) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	conn->end_reason = CLOSE_done;
	conn_change_state(conn, CONN_HTTP2);
	conn_set_timeout(conn, conn->listener->spec.header_ms);
	if (conn->worker->draining)
		conn_h2_drain(conn, CLOSE_shutdown);
	if (in)
		h2_take(conn->h2, buf_head(in), buf_len(in));
	h2_run(conn->h2);
}

void conn_h2_event(struct conn *conn)
{
	conn_count_bytes(conn); /* of streams that go on for long, too */
	h2_run(conn->h2);
}

/* As a lingering connection: there may be no event for long while a slow client takes what fills a large
 * socket buffer. */
static void taker_timed_out(struct conn *conn)
{
	uint64_t acked_bytes = stream_acked_bytes(conn->front);

	if (acked_bytes != conn->linger_acked_bytes && h2_fault(conn->h2) == H2_FAULT_NONE) {
		conn->linger_acked_bytes = acked_bytes;
		conn_set_timeout(conn, conn->listener->spec.idle_ms);
		return;
	}
	conn_close(conn, h2_is_ending(conn->h2) ? reason_of(conn) : CLOSE_idle_timeout);
}

void conn_h2_timed_out(struct conn *conn)
{
	enum h2_wait wait = h2_waits(conn->h2);

	if (wait == H2_WAITS_TAKER) {
		taker_timed_out(conn);
		return;
	}
	if (wait == H2_WAITS_OWNERS) /* since this turn */
		return;
	conn->end_reason = wait == H2_WAITS_REQUEST && conn->requests ? CLOSE_keep_alive_over
								      : CLOSE_header_timeout;
	h2_terminate(conn->h2);
}

void conn_h2_drain(struct conn *conn, enum close_reason reason)
{
	if (conn->end_reason == CLOSE_done)
		conn->end_reason = reason;
	h2_drain(conn->h2);
}

void conn_h2_free(struct conn *conn, enum close_reason reason)
{
	struct h2_stream *stream = NULL;

	if (!conn->h2)
		return;
	while ((stream = h2_next_owned(conn->h2, stream))) {
		exchange_log_reason(stream->body.owner, reason);
		exchange_free(stream->body.owner);
		stream->body.owner = NULL;
	}
	h2_free(conn->h2);
	conn->h2 = NULL;
}
