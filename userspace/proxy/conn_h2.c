/* HTTP/2 on a client's connection: see conn_h2.h. */
#define LOG_MODULE "http2"
#include "proxy/conn_h2.h"
#include "core/log.h"
#include "proxy/conn_terms.h"
#include "proxy/exchange_h2.h"

/* What ends a connection in order may come with each request, as in HTTP/1. */
static bool is_last(const struct conn *conn)
{
	const struct listener_spec *spec = &conn->listener->spec;

	return conn->worker->draining || conn_is_orphan(conn) ||
	       conn_terms(conn) != CONN_TERMS_GOOD || conn->front->retiring || !spec->http2 ||
	       (spec->max_requests_per_connection &&
		       conn->requests >= spec->max_requests_per_connection);
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

static void stream_event(struct h2_stream *stream)
{
	if (stream->body.owner)
		exchange_front_event(stream->body.owner);
}

/* Between requests the connection waits as one of HTTP/1 does; during them, they have time-outs of
 * their own; but nothing can come before a head that has begun is whole. */
static void changed(struct h2 *h2)
{
	struct conn *conn = h2_owner(h2);
	const struct listener_spec *spec = &conn->listener->spec;

	conn_count_bytes(conn);
	if (h2_is_in_head(h2))
		conn_set_timeout(conn, spec->header_ms);
	else if (h2_streams_open(h2))
		conn_set_timeout(conn, 0);
	else
		conn_set_timeout(conn, conn->requests ? spec->keep_alive_ms : spec->header_ms);
}

static void log_flood(const struct conn *conn)
{
	char text[ADDR_TEXT_BYTES];

	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_debug("listener %s: client %s: HTTP/2: too much of %s",
			conn->listener->spec.name, addr_format(&conn->client, text),
			h2_cost_name(h2_flood(conn->h2)));
}

static void over(struct h2 *h2)
{
	struct conn *conn = h2_owner(h2);

	switch (h2_fault(h2)) {
	case H2_FAULT_NONE:
		conn_linger(conn, conn->end_reason);
		break;
	case H2_FAULT_GONE:
		conn_close(conn, conn->front->read_ended ? CLOSE_client_gone : CLOSE_client_reset);
		break;
	case H2_FAULT_PROTOCOL:
		conn_linger(conn, CLOSE_http2_protocol);
		break;
	case H2_FAULT_FLOOD:
		log_flood(conn);
		conn_linger(conn, CLOSE_http2_flood);
		break;
	case H2_FAULT_MEMORY:
		conn_close(conn, CLOSE_out_of_memory);
		break;
	}
}

static const struct h2_ops h2_ops = {
	.request = got_request,
	.event = stream_event,
	.changed = changed,
	.over = over,
};

void conn_h2_start(struct conn *conn, const struct buf *in)
{
	struct h2_spec spec = {.max_header_bytes = conn->listener->spec.max_header_bytes};

	conn->h2 = h2_new(&conn->worker->h2, conn->front, &spec, &h2_ops, conn);
	if (!conn->h2) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	conn->end_reason = CLOSE_done;
	conn_change_state(conn, CONN_HTTP2);
	conn_set_timeout(conn, conn->listener->spec.header_ms);
	if (in)
		h2_take(conn->h2, buf_head(in), buf_len(in));
	h2_run(conn->h2);
}

void conn_h2_event(struct conn *conn)
{
	h2_run(conn->h2);
}

/* The second time the client has not even taken what it should be told. */
void conn_h2_timed_out(struct conn *conn)
{
	enum close_reason reason = CLOSE_keep_alive_over;

	if (h2_is_ending(conn->h2)) {
		conn_close(conn, conn->end_reason);
		return;
	}
	if (h2_is_in_head(conn->h2) || !conn->requests)
		reason = CLOSE_header_timeout;
	conn->end_reason = reason;
	h2_terminate(conn->h2);
	conn_set_timeout(conn, conn->listener->spec.idle_ms);
}

void conn_h2_drain(struct conn *conn, enum close_reason reason)
{
	if (conn->end_reason == CLOSE_done)
		conn->end_reason = reason;
	h2_drain(conn->h2);
}

void conn_h2_free(struct conn *conn)
{
	struct h2_stream *stream = NULL;

	if (!conn->h2)
		return;
	while ((stream = h2_next_owned(conn->h2, stream))) {
		exchange_free(stream->body.owner);
		stream->body.owner = NULL;
	}
	h2_free(conn->h2);
	conn->h2 = NULL;
}
