/* The answer's half of an exchange: head from the target, headers for the client, own answers. */
#include "proxy/exchange_grpc.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_own.h"
#include "proxy/exchange_parts.h"
#include "proxy/exchange_tunnel.h"
#include "core/clock.h"
#include "core/counter.h"
#include "proxy/balance.h"
#include "proxy/group_state.h"
#include "proxy/upstream_h2.h"

#include <errno.h>

enum { INTERIM_MAX = 10000 };

static void release_upstream(struct exchange *exchange, enum upstream_end end)
{
	if (!exchange->upstream)
		return;
	exchange_verdict_settle(exchange);
	upstream_put(exchange->upstream, end);
	exchange->upstream = NULL;
}

/* All that was sent of the request is here. */
static bool is_here(const struct exchange *exchange)
{
	return exchange->replayable || exchange->replay.is_whole;
}

/* Puts the request back as it was before it was sent. */
static void rewind_request(struct exchange *exchange)
{
	struct pump *up = &exchange->up;

	exchange->up_done = exchange->up_broken = exchange->response_awaited = false;
	h1_head_init(&exchange->response_head);
	if (exchange->replay.is_whole) { /* and goes on where it was */
		replay_again(&exchange->replay);
		return;
	}
	exchange->in.start = exchange->replay_start;
	exchange->in.end = exchange->replay_end;
	pump_init(up, exchange->front, &exchange->in, exchange->request.body,
		exchange->request.content_length, false);
	up->max_bytes = exchange_spec(exchange)->max_body_bytes;
	up->out.start = 0;
	up->out.end = exchange->replay_head;
}

/* Not sent yet: always. Sent: if it is here whole, and nobody has looked at it; or not a byte of an
 * answer came, and doing it twice does no harm (RFC 9110 section 9.2.2). Answered in part: never. */
static bool may_retry(
	const struct exchange *exchange, enum close_reason reason, bool is_unprocessed)
{
	if (exchange->state == EXCHANGE_TARGET)
		return true;
	if (exchange->state != EXCHANGE_RESPONSE || !is_here(exchange))
		return false;
	if (is_unprocessed)
		return true;
	return !buf_len(&exchange->from) && reason != CLOSE_target_timeout &&
	       replay_is_harmless(exchange->request.method);
}

/* What costs the targets nothing costs no budget: it is tried as often as it may. */
bool exchange_take_retry(struct exchange *exchange, bool was_work)
{
	struct proxy_worker *worker = exchange->conn->worker;
	struct target_group *group = exchange->route.group;
	uint32_t index = worker->io.worker;

	if (exchange->tries - exchange->stale > group->spec.retry.attempts)
		return false;
	if (was_work)
		return retry_take(group, index, loop_now_ms(worker->io.loop));
	counter_inc(&group->spec.state->workers[index].retries);
	return true;
}

/* As if nothing had been sent. */
static void try_again(struct exchange *exchange, bool was_sent, bool fresh)
{
	release_upstream(exchange, UPSTREAM_END_ABORT);
	if (was_sent)
		rewind_request(exchange);
	exchange_find_target(exchange, fresh);
}

static unsigned int status_of(enum close_reason reason)
{
	switch (reason) {
	case CLOSE_target_timeout:
		return 504;
	case CLOSE_too_many_files: /* ours */
	case CLOSE_out_of_memory:
		return 503;
	default:
		return 502;
	}
}

void exchange_answer_cut(struct exchange *exchange, enum close_reason reason)
{
	if (!exchange->is_tunnel)
		exchange_verdict_broken(exchange, reason);
	if (reason == CLOSE_target_refused)
		reason = exchange->is_tunnel ? CLOSE_target_closed : CLOSE_target_cut_response;
	exchange->ops->fail(exchange, reason);
}

void exchange_target_failed(struct exchange *exchange, enum close_reason reason)
{
	struct upstream *upstream = exchange->upstream;
	bool was_sent = exchange->state == EXCHANGE_RESPONSE, is_stale, is_unprocessed;
	struct target *target = upstream->target;
	uint32_t worker = exchange->conn->worker->io.worker;

	if (exchange->state == EXCHANGE_BODY) {
		exchange_answer_cut(exchange, reason);
		return;
	}
	/* A pooled connection that had ended says nothing about its target. Nor does one that was about
	 * to end: but a target that says so again and again is tried no more than others. */
	is_unprocessed =
		was_sent && reason != CLOSE_target_timeout && upstream_is_unprocessed(upstream);
	is_stale = (upstream->reused && reason == CLOSE_target_refused) ||
		   (is_unprocessed && !exchange->stale);
	exchange->stale += is_stale;
	if (was_sent && !is_unprocessed && !is_stale) {
		exchange_verdict_broken(exchange, reason);
	} else if (was_sent && upstream_was_refused(upstream)) {
		/* As good as 503: others may have the request, and have them all in the end. */
		outlier_note_failure(upstream->group, target, worker);
	}
	if (may_retry(exchange, reason, is_unprocessed) &&
		(is_stale || exchange_take_retry(exchange, was_sent && !is_unprocessed))) {
		if (!is_stale)
			balance_note_tried(&exchange->tried, target);
		try_again(exchange, was_sent, true);
		return;
	}
	exchange_answer(exchange, status_of(reason), reason);
}

static bool is_own_answer_possible(const struct exchange *exchange)
{
	return exchange->state != EXCHANGE_BODY && exchange->state != EXCHANGE_ANSWER;
}

static void start_answer(struct exchange *exchange, unsigned int status)
{
	struct pump *down = &exchange->down;

	pump_init(down, NULL, &exchange->from, HTTP_BODY_NONE, 0, false);
	down->dst = exchange->front;
	exchange->status = (uint16_t)status;
	exchange->state = EXCHANGE_ANSWER;
	exchange->is_tunnel = false; /* one that could not be told to the client is none */
	exchange_run(exchange);
}

void exchange_answer(struct exchange *exchange, unsigned int status, enum close_reason reason)
{
	struct conn *conn = exchange->conn;
	bool is_head = exchange->parsed && exchange->request.method == HTTP_METHOD_HEAD;
	int r;

	release_upstream(exchange, UPSTREAM_END_ABORT);
	if (!is_own_answer_possible(exchange)) {
		exchange->ops->fail(exchange, reason);
		return;
	}
	conn_count_reason(conn, reason);
	exchange_log_reason(exchange, reason);
	/* What is left of the request would be taken for the next one. */
	if (!exchange->parsed || !proxy_worker_keeps_clients(conn->worker) ||
		(!exchange->up_done && exchange->request.body != HTTP_BODY_NONE))
		exchange->keep_client = false;
	r = exchange->ops->answer(exchange, status, is_head);
	if (r < 0) {
		exchange->ops->fail(exchange, r == -ENOMEM ? CLOSE_out_of_memory : reason);
		return;
	}
	counter_inc(&conn_counts(conn)->own_status[status - OWN_STATUS_FIRST]);
	start_answer(exchange, status);
}

void exchange_respond(struct exchange *exchange, struct http_response *response, struct slice body)
{
	struct http_headers *headers = &response->headers;

	headers->len += exchange_own_alt_svc(exchange, headers, headers->items + headers->len);
	exchange->response = *response;
	exchange_log_response(exchange, response);
	if (!proxy_worker_keeps_clients(exchange->conn->worker) ||
		exchange->request.body != HTTP_BODY_NONE)
		exchange->keep_client = false;
	if (exchange->ops->respond(exchange, response, body) < 0)
		exchange->ops->fail(exchange, CLOSE_out_of_memory);
	else
		start_answer(exchange, response->status);
}

/* 100, 103: passed on at once; the real answer follows. */
/* A target that sends nothing else is none; and all of what it sends may be read in one turn. */
static int pass_interim(struct exchange *exchange)
{
	if (exchange->n_interim == INTERIM_MAX)
		return -EPROTO;
	exchange->n_interim++;
	http_headers_drop_hop_by_hop(&exchange->response.headers);
	exchange->response_awaited = false;
	return exchange->ops->interim(exchange);
}

static int begin_response(struct exchange *exchange)
{
	struct http_response *response = &exchange->response;
	const struct upstream *upstream = exchange->upstream;
	uint16_t target_status = response->status;
	struct http_header extra[RULES_EDITS_MAX + 5];
	char accept[WEBSOCKET_ACCEPT_BYTES];
	char cookie[ROUTE_COOKIE_BYTES], sticky[STICKY_TEXT_BYTES];
	uint32_t n_extra;
	int r;

	if (response->upgrade.len && !exchange->up_done)
		return -EPROTO; /* the rest of the body would become the tunnel's */
	if (exchange->request.is_connect && exchange_tunnel_answered(exchange) < 0)
		return -EPROTO;
	if (!proxy_worker_keeps_clients(exchange->conn->worker) ||
		(!exchange->up_done && exchange->request.body != HTTP_BODY_NONE))
		exchange->keep_client = false; /* it will not be read to its end */
	http_headers_drop_hop_by_hop(&response->headers);
	n_extra = route_change_answer(
		&exchange->route, exchange->conn, &response->headers, cookie, extra);
	if (upstream->group->spec.sticky.type != STICKY_OFF &&
		sticky_answer(upstream->group, upstream->target, &exchange->sticky,
			&response->headers, exchange->conn->is_tls, clock_unix_s(), sticky,
			&extra[n_extra]))
		n_extra++;
	n_extra += exchange_own_alt_svc(exchange, &response->headers, &extra[n_extra]);
	n_extra += exchange_own_policy(exchange, &response->headers, &extra[n_extra]);
	n_extra += exchange_tunnel_tells(exchange, &extra[n_extra], accept);
	r = exchange->ops->begin(exchange, extra, n_extra);
	if (r < 0)
		return r;
	exchange_log_answered(exchange, target_status);
	if (!replay_left(&exchange->replay)) {
		exchange->up.replay = NULL;
		replay_end(&exchange->replay, &exchange->conn->worker->io.bufs);
	}
	buf_drop(&exchange->head, &exchange->conn->worker->io.bufs);
	exchange->status = response->status;
	exchange->state = EXCHANGE_BODY;
	if (exchange->is_tunnel)
		exchange_tunnel_begin(exchange);
	return 0;
}

/* True: the answer is not passed on, another target is asked. */
static bool retried_for_status(struct exchange *exchange)
{
	struct target *target = exchange->upstream->target;

	if (!retry_is_wanted(&exchange->upstream->group->spec.retry, exchange->response.status) ||
		!is_here(exchange) || buf_len(&exchange->down.out) ||
		!replay_is_harmless(exchange->request.method) ||
		!balance_has_another(exchange->upstream->group, &exchange->tried, target) ||
		!exchange_take_retry(exchange, true))
		return false;
	balance_note_tried(&exchange->tried, target);
	buf_drop(&exchange->from, &exchange->conn->worker->io.bufs);
	exchange_lend_response(exchange);
	try_again(exchange, true, false);
	return true;
}

void exchange_answer_is_bad(struct exchange *exchange, int error)
{
	enum close_reason reason =
		error == -ENOMEM ? CLOSE_out_of_memory : CLOSE_target_bad_response;

	exchange_verdict_broken(exchange, reason);
	exchange_answer(exchange, status_of(reason), reason);
}

enum exchange_progress exchange_got_response(struct exchange *exchange)
{
	int r;

	if (http_response_is_interim(&exchange->response)) {
		r = pass_interim(exchange);
	} else {
		exchange_verdict_head(exchange);
		if (retried_for_status(exchange))
			return EXCHANGE_OVER;
		r = begin_response(exchange);
	}
	if (r == -EPIPE) { /* the client has gone: nothing is wrong with the answer */
		exchange->ops->fail(exchange, CLOSE_client_reset);
		return EXCHANGE_OVER;
	}
	if (r < 0) {
		exchange_answer_is_bad(exchange, r);
		return EXCHANGE_OVER;
	}
	return exchange->state == EXCHANGE_BODY ? EXCHANGE_BEGUN : EXCHANGE_WAITS;
}
