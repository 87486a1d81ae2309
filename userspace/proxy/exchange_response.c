/* The answer's half of an exchange: head from the target, headers for the client, own answers. */
#include "proxy/exchange_parts.h"
#include "core/clock.h"
#include "core/counter.h"
#include "proxy/conn_terms.h"
#include "proxy/group_state.h"

#include <errno.h>

static bool is_idempotent(enum http_method method)
{
	return method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD ||
	       method == HTTP_METHOD_PUT || method == HTTP_METHOD_DELETE ||
	       method == HTTP_METHOD_OPTIONS || method == HTTP_METHOD_TRACE;
}

static void release_upstream(struct exchange *exchange, enum upstream_end end)
{
	if (exchange->upstream)
		upstream_put(exchange->upstream, end);
	exchange->upstream = NULL;
}

/* Puts the request back as it was before it was sent. */
static void rewind_request(struct exchange *exchange)
{
	struct pump *up = &exchange->up;

	exchange->in.start = exchange->replay_start;
	exchange->in.end = exchange->replay_end;
	pump_init(up, exchange->conn->front, &exchange->in, exchange->request.body,
		exchange->request.content_length, false);
	up->max_bytes = exchange->conn->listener->spec.max_body_bytes;
	up->out.start = 0;
	up->out.end = exchange->replay_head;
	exchange->up_done = exchange->up_broken = exchange->response_awaited = false;
	h1_head_init(&exchange->response_head);
}

/* Not sent yet: always. Sent: if it is here whole, not a byte of an answer came, and doing it twice
 * does no harm (RFC 9110 section 9.2.2). Answered in part: never. */
static bool may_retry(const struct exchange *exchange, enum close_reason reason)
{
	if (exchange->state == EXCHANGE_TARGET)
		return true;
	return exchange->state == EXCHANGE_RESPONSE && exchange->replayable &&
	       !buf_len(&exchange->from) && reason != CLOSE_target_timeout &&
	       is_idempotent(exchange->request.method);
}

/* What was not sent yet costs the targets nothing, and no budget: it is tried as often as it may. */
bool exchange_take_retry(struct exchange *exchange)
{
	struct proxy_worker *worker = exchange->conn->worker;
	struct target_group *group = exchange->route.group;
	uint32_t index = worker->io.worker;

	if (exchange->tries - exchange->stale > group->spec.retry.attempts)
		return false;
	if (exchange->state != EXCHANGE_TARGET)
		return retry_take(group, index, loop_now_ms(worker->io.loop));
	counter_inc(&group->spec.state->workers[index].retries);
	return true;
}

/* At another target than `avoid`, as if nothing had been sent. */
static void try_again(struct exchange *exchange, struct target *avoid, bool was_sent, bool fresh)
{
	release_upstream(exchange, UPSTREAM_END_ABORT);
	if (was_sent)
		rewind_request(exchange);
	exchange_find_target(exchange, avoid, fresh);
}

void exchange_target_failed(struct exchange *exchange, enum close_reason reason)
{
	struct upstream *upstream = exchange->upstream;
	bool was_sent = exchange->state == EXCHANGE_RESPONSE, is_stale;
	struct target *target = upstream->target;
	uint32_t worker = exchange->conn->worker->io.worker;

	/* A pooled connection that had ended says nothing about its target. */
	is_stale = upstream->reused && reason == CLOSE_target_refused;
	exchange->stale += is_stale;
	if (was_sent && reason != CLOSE_deregistered) {
		counter_inc(&target->workers[worker].failures);
		if (!is_stale)
			outlier_note_failure(upstream->group, target, worker);
	}
	if (may_retry(exchange, reason) && (is_stale || exchange_take_retry(exchange))) {
		shared_hold(&target->shared, worker);
		try_again(exchange, is_stale ? NULL : target, was_sent, true);
		shared_drop(&target->shared, worker);
		return;
	}
	exchange_answer(exchange, reason == CLOSE_target_timeout ? 504 : 502, reason);
}

static bool is_own_answer_possible(const struct exchange *exchange)
{
	return exchange->state != EXCHANGE_BODY && exchange->state != EXCHANGE_ANSWER;
}

static void start_answer(struct exchange *exchange, unsigned int status)
{
	struct pump *down = &exchange->down;

	pump_init(down, NULL, &exchange->from, HTTP_BODY_NONE, 0, false);
	down->dst = exchange->conn->front;
	exchange->status = (uint16_t)status;
	exchange->state = EXCHANGE_ANSWER;
	exchange_run(exchange);
}

void exchange_answer(struct exchange *exchange, unsigned int status, enum close_reason reason)
{
	struct conn *conn = exchange->conn;
	struct pump *down = &exchange->down;
	bool is_head = exchange->parsed && exchange->request.method == HTTP_METHOD_HEAD;
	int r;

	release_upstream(exchange, UPSTREAM_END_ABORT);
	if (!is_own_answer_possible(exchange)) {
		conn_close(conn, reason);
		return;
	}
	conn_count_reason(conn, reason);
	/* What is left of the request would be taken for the next one. */
	if (!exchange->parsed || conn->worker->draining ||
		(!exchange->up_done && exchange->request.body != HTTP_BODY_NONE))
		exchange->keep_client = false;
	if (buf_hold(&down->out, &conn->worker->io.bufs, BUF_SMALL) < 0) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	r = h1_write_canned(status, is_head, !exchange->keep_client, time(NULL),
		(char *)buf_tail(&down->out), buf_space(&down->out));
	if (r < 0) {
		conn_close(conn, reason);
		return;
	}
	down->out.end += (uint32_t)r;
	start_answer(exchange, status);
}

static enum h1_connection connection_for_client(const struct exchange *exchange)
{
	if (exchange->response.upgrade.len)
		return H1_CONNECTION_UPGRADE;
	if (!exchange->keep_client || conn_terms(exchange->conn) != CONN_TERMS_GOOD)
		return H1_CONNECTION_CLOSE;
	if (exchange->request.version == HTTP_VERSION_1_0)
		return H1_CONNECTION_KEEP_ALIVE;
	return H1_CONNECTION_NONE;
}

static int put_response_head(
	struct exchange *exchange, const struct http_response *response, const struct h1_write *how)
{
	struct bufpool *bufs = &exchange->conn->worker->io.bufs;
	struct buf *out = &exchange->down.out;
	size_t bound = h1_write_response_bytes(response, how);
	int r;

	r = buf_hold(out, bufs, bound > BUF_SMALL ? BUF_MEDIUM : BUF_SMALL);
	if (r < 0)
		return r;
	if (buf_space(out) < bound && buf_grow(out, bufs) < 0)
		return -ENOBUFS;
	r = h1_write_response(response, how, (char *)buf_tail(out), buf_space(out));
	if (r < 0)
		return r;
	out->end += (uint32_t)r;
	return 0;
}

void exchange_respond(
	struct exchange *exchange, const struct http_response *response, struct slice body)
{
	struct buf *out = &exchange->down.out;
	struct conn *conn = exchange->conn;
	struct h1_write how;

	exchange->response = *response;
	if (conn->worker->draining || exchange->request.body != HTTP_BODY_NONE)
		exchange->keep_client = false;
	how = (struct h1_write){.connection = connection_for_client(exchange)};
	if (buf_hold(out, &conn->worker->io.bufs, body.len ? BUF_MEDIUM : BUF_SMALL) < 0 ||
		put_response_head(exchange, response, &how) < 0 ||
		!buf_append(out, body.ptr, body.len)) {
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	start_answer(exchange, response->status);
}

/* 100, 103: passed on at once; the real answer follows. */
static int pass_interim(struct exchange *exchange)
{
	int r;

	if (exchange->request.version == HTTP_VERSION_1_0)
		return 0;
	http_headers_drop_hop_by_hop(&exchange->response.headers);
	r = put_response_head(exchange, &exchange->response,
		&(struct h1_write){.connection = H1_CONNECTION_NONE});
	if (r < 0)
		return r;
	pump_init(&exchange->down, NULL, &exchange->from, HTTP_BODY_NONE, 0, false);
	exchange->down.dst = exchange->conn->front;
	exchange->response_awaited = false;
	switch (pump_run(&exchange->down, &exchange->conn->worker->io.bufs)) {
	case PUMP_DONE:
	case PUMP_WAITS_DST: /* the rest goes in front of the answer */
		return 0;
	default:
		return -EPIPE;
	}
}

/* Decides how the body goes on to the client, and writes the head for it. */
static int begin_response(struct exchange *exchange)
{
	struct http_response *response = &exchange->response;
	enum http_body kind = response->body;
	bool is_http10 = exchange->request.version == HTTP_VERSION_1_0, chunked;
	const struct upstream *upstream = exchange->upstream;
	struct http_header extra[RULES_EDITS_MAX + 2];
	struct h1_write how = {.extra = extra};
	char cookie[ROUTE_COOKIE_BYTES], sticky[STICKY_TEXT_BYTES];
	int r;

	if (response->upgrade.len && !exchange->up_done)
		return -EPROTO; /* the rest of the body would become the tunnel's */
	if (exchange->conn->worker->draining ||
		(!exchange->up_done && exchange->request.body != HTTP_BODY_NONE))
		exchange->keep_client = false; /* it will not be read to its end */
	chunked = !is_http10 && (kind == HTTP_BODY_CHUNKED || kind == HTTP_BODY_UNTIL_CLOSE);
	if (is_http10 && (kind == HTTP_BODY_CHUNKED || kind == HTTP_BODY_UNTIL_CLOSE)) {
		exchange->keep_client = false;
		response->body = HTTP_BODY_UNTIL_CLOSE;
	} else if (chunked) {
		response->body = HTTP_BODY_CHUNKED;
	}
	http_headers_drop_hop_by_hop(&response->headers);
	how.connection = connection_for_client(exchange);
	how.n_extra = route_change_answer(
		&exchange->route, exchange->conn, &response->headers, cookie, extra);
	if (upstream->group->spec.sticky.type != STICKY_OFF &&
		sticky_answer(upstream->group, upstream->target, &exchange->sticky,
			&response->headers, exchange->conn->is_tls, clock_unix_s(), sticky,
			&extra[how.n_extra]))
		how.n_extra++;
	r = put_response_head(exchange, response, &how);
	if (r < 0)
		return r;
	response->body = kind;
	pump_init(&exchange->down, exchange->upstream->stream, &exchange->from, kind,
		response->content_length, chunked);
	exchange->down.dst = exchange->conn->front;
	exchange->down.pipes = &exchange->conn->worker->pipes;
	exchange->status = response->status;
	exchange->state = EXCHANGE_BODY;
	return 0;
}

/* Reads once. False: nothing there, or the target has failed (and was dealt with). */
static bool read_more(struct exchange *exchange)
{
	struct stream *back = exchange->upstream->stream;
	struct buf *from = &exchange->from;
	ssize_t got;

	if (!back->can_read && !back->ops->has_pending(back))
		return false;
	if (buf_make_room(from, &exchange->conn->worker->io.bufs) < 0) {
		exchange_answer(exchange, 502, CLOSE_target_bad_response);
		return false;
	}
	got = back->ops->read(back, buf_tail(from), buf_space(from));
	if (got > 0) {
		from->end += (uint32_t)got;
		return true;
	}
	if (got == -EAGAIN)
		buf_drop_if_empty(from, &exchange->conn->worker->io.bufs);
	else if (got == -EPROTO)
		exchange_target_failed(exchange, CLOSE_target_tls_failed);
	else
		exchange_target_failed(
			exchange, buf_len(from) ? CLOSE_target_bad_response : CLOSE_target_refused);
	return false;
}

static void note_answer(const struct exchange *exchange)
{
	const struct upstream *upstream = exchange->upstream;
	const struct proxy_worker *worker = exchange->conn->worker;

	outlier_note_answer(upstream->group, upstream->target, worker->io.worker,
		exchange->response.status, loop_now_us(worker->io.loop) - exchange->sent_us);
}

/* True: the answer is not passed on, another target is asked. */
static bool retried_for_status(struct exchange *exchange)
{
	struct target *target = exchange->upstream->target;
	uint32_t worker = exchange->conn->worker->io.worker;

	if (!retry_is_wanted(&exchange->upstream->group->spec.retry, exchange->response.status) ||
		exchange->upstream->group->spec.n_members < 2 || !exchange->replayable ||
		buf_len(&exchange->down.out) || !is_idempotent(exchange->request.method) ||
		!exchange_take_retry(exchange))
		return false;
	shared_hold(&target->shared, worker);
	buf_drop(&exchange->from, &exchange->conn->worker->io.bufs);
	http_headers_lend(&exchange->response.headers, exchange->response_headers,
		array_len(exchange->response_headers));
	try_again(exchange, target, true, false);
	shared_drop(&target->shared, worker);
	return true;
}

bool exchange_read_response(struct exchange *exchange)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	struct h1_expected expected = {
		.head_request = exchange->request.method == HTTP_METHOD_HEAD,
		.upgrade_asked = exchange->request.upgrade.len > 0,
	};
	enum h1_error error;
	int r;

	for (;;) {
		r = -EAGAIN;
		if (buf_len(&exchange->from))
			r = h1_head_response(&exchange->response_head, &limits, &expected,
				(const char *)buf_head(&exchange->from), buf_len(&exchange->from),
				&exchange->response, &error);
		if (r == -EAGAIN) {
			if (!read_more(exchange))
				return false;
			continue;
		}
		if (r < 0) {
			outlier_note_failure(exchange->upstream->group, exchange->upstream->target,
				exchange->conn->worker->io.worker);
			exchange_answer(exchange, 502, CLOSE_target_bad_response);
			return false;
		}
		buf_consume(&exchange->from, (uint32_t)r);
		if (http_response_is_interim(&exchange->response)) {
			r = pass_interim(exchange);
		} else {
			note_answer(exchange);
			if (retried_for_status(exchange))
				return false;
			r = begin_response(exchange);
		}
		if (r < 0) {
			exchange_answer(exchange, 502, CLOSE_target_bad_response);
			return false;
		}
		if (exchange->state == EXCHANGE_BODY)
			return true;
		http_headers_lend(&exchange->response.headers, exchange->response_headers,
			array_len(exchange->response_headers));
	}
}
