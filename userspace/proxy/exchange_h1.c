/*
 * The client's side of exchanges in HTTP/1: one at a time on a connection, whose stream they use.
 * Heads are read and written here. See exchange.h and struct front_ops.
 */
#include "proxy/conn_h2.h"
#include "proxy/conn_terms.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_own.h"
#include "proxy/exchange_parts.h"
#include "proxy/tunnel.h"

#include <errno.h>

static const struct front_ops h1_front;

static struct exchange *start(struct conn *conn)
{
	struct exchange *exchange = exchange_new(conn, &h1_front, conn->front);

	if (!exchange) {
		conn_close(conn, CLOSE_out_of_memory);
		return NULL;
	}
	conn->exchange = exchange;
	conn_change_state(conn, CONN_EXCHANGE);
	return exchange;
}

void exchange_start(struct conn *conn)
{
	struct exchange *exchange = start(conn);

	if (exchange)
		exchange_read_head(exchange);
}

/* --- heads of requests */

/* Nothing came after all (a spurious event, a TLS record without data). The time-out of the idle
 * connection has not been touched. */
static void back_to_idle(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;

	exchange_free(exchange);
	conn->exchange = NULL;
	conn_change_state(conn, CONN_IDLE);
	if (conn->worker->draining)
		conn_end(conn, CLOSE_shutdown);
}

static void client_ended(struct exchange *exchange, ssize_t got)
{
	struct conn *conn = exchange->conn;
	enum close_reason reason = CLOSE_client_reset;

	/* Many clients leave out close_notify: between requests that cuts nothing. */
	if (got == 0 || conn->front->truncated)
		reason = buf_len(&exchange->in) ? CLOSE_client_gone : CLOSE_done;
	else if (got == -EPROTO)
		reason = CLOSE_tls_error;
	/* An earlier answer may still be on its way to a client that ended its side only. */
	if (reason == CLOSE_done || reason == CLOSE_client_gone)
		conn_end(conn, reason);
	else
		conn_close(conn, reason);
}

/* Reads once. False: the exchange waits, or is over. */
static bool read_more(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	struct stream *front = conn->front;
	struct buf *in = &exchange->in;
	ssize_t got;
	int r;

	if (front->can_read || front->ops->has_pending(front)) {
		r = buf_make_room(in, &conn->worker->io.bufs);
		if (r < 0) {
			exchange_answer(exchange, r == -ENOMEM ? 503 : 431,
				r == -ENOMEM ? CLOSE_out_of_memory : CLOSE_header_too_large);
			return false;
		}
		got = front->ops->read(front, buf_tail(in), buf_space(in));
		if (got > 0) {
			/* The first request's time began with the connection. */
			if (!buf_len(in) && conn->requests)
				conn_set_timeout(conn, conn->listener->spec.header_ms);
			in->end += (uint32_t)got;
			return true;
		}
		if (got != -EAGAIN) {
			client_ended(exchange, got);
			return false;
		}
	}
	if (!buf_len(in))
		back_to_idle(exchange);
	return false;
}

/* Whether the connection goes on after this request. */
static bool is_kept(const struct exchange *exchange)
{
	const struct conn *conn = exchange->conn;

	return exchange->request.keep_alive && conn_goes_on(conn, conn->requests + 1);
}

static void got_head(struct exchange *exchange, uint32_t head_bytes)
{
	buf_consume(&exchange->in, head_bytes);
	exchange->keep_client = is_kept(exchange);
	exchange_got_head(exchange);
}

enum preface { PREFACE_NONE, PREFACE_PART, PREFACE_WHOLE };

/* A client that knows beforehand that HTTP/2 is spoken here (RFC 9113 section 3.3); over TLS it says so
 * by ALPN. */
static enum preface preface_of(const struct exchange *exchange)
{
	const struct conn *conn = exchange->conn;
	const struct buf *in = &exchange->in;
	size_t len = buf_len(in) < H2_PREFACE_BYTES ? buf_len(in) : H2_PREFACE_BYTES;

	if (!len || conn->requests || conn->is_tls || !exchange_spec(exchange)->http2 ||
		memcmp(buf_head(in), h2_preface, len) != 0)
		return PREFACE_NONE;
	return len == H2_PREFACE_BYTES ? PREFACE_WHOLE : PREFACE_PART;
}

static void become_h2(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	struct buf in = exchange->in;

	exchange->in = (struct buf){0};
	exchange_free(exchange);
	conn->exchange = NULL;
	conn_h2_start(conn, &in);
	buf_drop(&in, &conn->worker->io.bufs);
}

/* Behind a body (RFC 9112 section 2.2): they are no beginning of a request. */
static void skip_empty_lines(struct exchange *exchange)
{
	if (!exchange->request_head.start || exchange->request_head.start != buf_len(&exchange->in))
		return;
	buf_consume(&exchange->in, exchange->request_head.start);
	h1_head_init(&exchange->request_head);
}

void exchange_read_head(struct exchange *exchange)
{
	const struct h1_limits *limits = &exchange_spec(exchange)->http.limits;
	enum h1_error error;
	int r;

	for (;;) {
		switch (preface_of(exchange)) {
		case PREFACE_NONE:
			break;
		case PREFACE_PART:
			if (!read_more(exchange))
				return;
			continue;
		case PREFACE_WHOLE:
			become_h2(exchange);
			return;
		}
		if (buf_len(&exchange->in)) {
			r = h1_head_request(&exchange->request_head, limits,
				(const char *)buf_head(&exchange->in), buf_len(&exchange->in),
				&exchange->request, &error);
			if (r == -EBADMSG)
				r = exchange_strict_mend(exchange, error);
			if (r > 0)
				got_head(exchange, (uint32_t)r);
			if (r >= 0)
				return;
			skip_empty_lines(exchange);
		}
		if (!read_more(exchange))
			return;
	}
}

/* --- answers */

static enum h1_connection goes_on_as(const struct exchange *exchange)
{
	if (!exchange->keep_client || conn_terms(exchange->conn) != CONN_TERMS_GOOD)
		return H1_CONNECTION_CLOSE;
	if (exchange->request.version == HTTP_VERSION_1_0)
		return H1_CONNECTION_KEEP_ALIVE;
	return H1_CONNECTION_NONE;
}

static enum h1_connection connection_of(const struct exchange *exchange)
{
	return exchange->response.upgrade.len ? H1_CONNECTION_UPGRADE : goes_on_as(exchange);
}

static int put_head(
	struct exchange *exchange, const struct http_response *response, const struct h1_write *how)
{
	struct bufpool *bufs = &exchange->conn->worker->io.bufs;
	struct buf *out = &exchange->down.out;
	size_t bound = h1_write_response_bytes(response, how);
	int r;

	r = buf_hold(out, bufs, bound > BUF_SMALL ? BUF_MEDIUM : BUF_SMALL);
	if (r < 0)
		return r;
	if (buf_space(out) < bound)
		buf_compact(out);
	if (buf_space(out) < bound && buf_grow(out, bufs) < 0)
		return -ENOBUFS;
	r = h1_write_response(response, how, (char *)buf_tail(out), buf_space(out));
	if (r < 0)
		return r;
	out->end += (uint32_t)r;
	return 0;
}

static int interim(struct exchange *exchange)
{
	int r;

	if (exchange->request.version == HTTP_VERSION_1_0)
		return 0;
	r = put_head(exchange, &exchange->response,
		&(struct h1_write){.connection = H1_CONNECTION_NONE});
	if (r < 0)
		return r;
	pump_init(&exchange->down, NULL, &exchange->from, HTTP_BODY_NONE, 0, false);
	exchange->down.dst = exchange->front;
	switch (pump_run(&exchange->down, &exchange->conn->worker->io.bufs)) {
	case PUMP_DONE:
	case PUMP_WAITS_DST: /* the rest goes in front of the answer */
		return 0;
	case PUMP_NO_MEMORY:
		return -ENOMEM;
	default:
		return -EPIPE;
	}
}

static bool push_interim(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	enum pump_result result;

	if (!buf_len(&exchange->down.out))
		return true;
	result = pump_run(&exchange->down, &conn->worker->io.bufs);
	if (result == PUMP_DONE || result == PUMP_WAITS_DST)
		return true;
	conn_close(conn, CLOSE_client_reset);
	return false;
}

/* HTTP/2 need not say that there is no body: its head was the end. */
static bool wants_length(const struct exchange *exchange)
{
	const struct http_response *response = &exchange->response;

	return exchange->back->is_h2 && response->body == HTTP_BODY_NONE &&
	       response->status != 204 && response->status != 304 &&
	       exchange->request.method != HTTP_METHOD_HEAD;
}

/* The target speaks HTTP/2: bytes have no framing on either side. */
static int begin_tunnel(
	struct exchange *exchange, const struct http_header *extra, uint32_t n_extra)
{
	struct http_response *response = &exchange->response;
	struct h1_write how = {
		.connection = H1_CONNECTION_UPGRADE, .extra = extra, .n_extra = n_extra};
	int r;

	response->body = HTTP_BODY_NONE;
	r = put_head(exchange, response, &how);
	if (r < 0)
		return r;
	pump_init(&exchange->down, exchange->upstream->stream, &exchange->from,
		HTTP_BODY_UNTIL_CLOSE, 0, false);
	exchange->down.dst = exchange->front;
	return 0;
}

/* Decides how the body goes on to the client, and writes the head for it. */
static int begin(struct exchange *exchange, const struct http_header *extra, uint32_t n_extra)
{
	struct http_response *response = &exchange->response;
	struct h1_write how = {.extra = extra, .n_extra = n_extra};
	enum http_body kind = response->body, moved = exchange_answer_kind(exchange);
	bool is_http10 = exchange->request.version == HTTP_VERSION_1_0, chunked;
	int r;

	if (exchange->is_tunnel)
		return begin_tunnel(exchange, extra, n_extra);
	chunked = !is_http10 && (kind == HTTP_BODY_CHUNKED || kind == HTTP_BODY_UNTIL_CLOSE);
	if (is_http10 && (kind == HTTP_BODY_CHUNKED || kind == HTTP_BODY_UNTIL_CLOSE)) {
		exchange->keep_client = false;
		response->body = HTTP_BODY_UNTIL_CLOSE;
	} else if (chunked) {
		response->body = HTTP_BODY_CHUNKED;
	} else if (wants_length(exchange)) {
		response->body = HTTP_BODY_LENGTH;
		response->content_length = 0;
	}
	how.connection = connection_of(exchange);
	r = put_head(exchange, response, &how);
	if (r < 0)
		return r;
	response->body = kind;
	pump_init(&exchange->down, exchange->upstream->stream, &exchange->from, moved,
		response->content_length, chunked);
	exchange->down.dst = exchange->front;
	exchange->down.next_trailer = exchange->back->next_trailer;
	exchange->down.pipes = &exchange->conn->worker->pipes;
	return 0;
}

static int respond(
	struct exchange *exchange, const struct http_response *response, struct slice body)
{
	struct h1_write how = {.connection = connection_of(exchange)};
	struct buf *out = &exchange->down.out;
	int r = buf_hold(out, &exchange->conn->worker->io.bufs, body.len ? BUF_MEDIUM : BUF_SMALL);

	r = r ?: put_head(exchange, response, &how);
	if (r < 0)
		return r;
	return buf_append(out, body.ptr, body.len) ? 0 : -ENOBUFS;
}

static int answer(struct exchange *exchange, unsigned int status, bool is_head)
{
	struct http_header extra[EXCHANGE_OWN_HEADERS];
	char text[EXCHANGE_OWN_TEXT_BYTES];
	struct h1_canned how = {.status = status,
		.head = is_head,
		.connection = goes_on_as(exchange),
		.now = time(NULL),
		.extra = extra};
	struct buf *out = &exchange->down.out;
	int r = buf_hold(out, &exchange->conn->worker->io.bufs, BUF_SMALL);

	if (r < 0)
		return r;
	how.n_extra = exchange_own_headers(exchange, extra, text);
	r = h1_write_canned(&how, (char *)buf_tail(out), buf_space(out));
	if (r < 0)
		return r;
	out->end += (uint32_t)r;
	return 0;
}

/* --- the end, and the next request */

/* The next request has come behind this one: starts over with what is in `in`. */
static void next_request(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;

	exchange_renew(exchange);
	conn_set_timeout(conn, conn->listener->spec.header_ms);
	loop_post(conn->worker->io.loop, &exchange->resume_task);
}

static int close_tunnel(struct exchange *exchange)
{
	return exchange->front->ops->shutdown(exchange->front);
}

static void become_tunnel(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	struct upstream *upstream = exchange->upstream;

	exchange->upstream = NULL;
	conn->exchange = NULL;
	tunnel_adopt(conn, upstream, &exchange->in, &exchange->from, exchange_log_take(exchange));
	exchange_free(exchange);
}

/* A request that came meanwhile raises no further event. It has to wait for the next turn: behind one
 * that is answered at once comes another, and so on. */
static void go_idle(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;

	exchange_free(exchange);
	conn->exchange = NULL;
	conn_set_idle(conn);
	if (!conn->front->can_read && !conn->front->ops->has_pending(conn->front))
		return;
	exchange = start(conn);
	if (exchange)
		loop_post(conn->worker->io.loop, &exchange->resume_task);
}

static void finished(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;

	if (exchange->upstream) {
		become_tunnel(exchange);
	} else if (conn_terms(conn) != CONN_TERMS_GOOD) {
		conn_linger(conn, CLOSE_terms_changed);
	} else if (!exchange->keep_client || (conn->worker->draining && !buf_len(&exchange->in))) {
		conn_linger(conn, CLOSE_done);
	} else if (buf_len(&exchange->in)) {
		next_request(exchange);
	} else {
		go_idle(exchange);
	}
}

static void set_timeout(struct exchange *exchange, uint32_t after_ms)
{
	conn_set_timeout(exchange->conn, after_ms);
}

static void fail(struct exchange *exchange, enum close_reason reason)
{
	conn_close(exchange->conn, reason);
}

static const struct front_ops h1_front = {
	.set_timeout = set_timeout,
	.interim = interim,
	.push_interim = push_interim,
	.begin = begin,
	.respond = respond,
	.answer = answer,
	.close_tunnel = close_tunnel,
	.finished = finished,
	.fail = fail,
};
