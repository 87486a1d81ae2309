/* HTTP exchanges: see exchange.h. Life, progress in both directions, the end. */
#include "core/counter.h"
#include "proxy/exchange_log.h"
#include "proxy/exchange_parts.h"
#include "proxy/exchange_tunnel.h"

#include <errno.h>

size_t exchange_bytes(void)
{
	return sizeof(struct exchange);
}

static void resume(struct task *task)
{
	struct exchange *exchange = container_of(task, struct exchange, resume_task);

	if (exchange->state == EXCHANGE_HEAD)
		exchange_read_head(exchange);
	else
		exchange_run(exchange);
}

/* The listener of the connection, which may change over before each request. */
static void take_listener(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	uint32_t worker = conn->worker->io.worker;

	conn_renew_listener(conn);
	if (exchange->listener == conn->listener)
		return;
	shared_hold(&conn->listener->shared, worker);
	if (exchange->listener)
		shared_drop(&exchange->listener->shared, worker);
	exchange->listener = conn->listener;
}

static void clear(struct exchange *exchange, struct conn *conn, const struct front_ops *ops,
	struct stream *front)
{
	*exchange = (struct exchange){.conn = conn, .ops = ops, .front = front};
	exchange->resume_task.run = resume;
	exchange_lend_request(exchange);
	exchange_lend_response(exchange);
}

struct exchange *exchange_new(struct conn *conn, const struct front_ops *ops, struct stream *front)
{
	struct exchange *exchange = pool_get(&conn->worker->exchanges);

	if (!exchange)
		return NULL;
	clear(exchange, conn, ops, front);
	take_listener(exchange);
	exchange_log_begin(exchange);
	return exchange;
}

void exchange_renew(struct exchange *exchange)
{
	struct bufpool *bufs = &exchange->conn->worker->io.bufs;
	struct listener *listener = exchange->listener;
	struct buf in = exchange->in;

	exchange_log_end(exchange);
	task_cancel(&exchange->resume_task); /* posted when a turn's share was used up */
	pump_fini(&exchange->up, bufs);
	pump_fini(&exchange->down, bufs);
	buf_drop(&exchange->from, bufs);
	buf_drop(&exchange->head, bufs);
	replay_end(&exchange->replay, bufs);
	clear(exchange, exchange->conn, exchange->ops, exchange->front);
	exchange->listener = listener;
	exchange->in = in;
	take_listener(exchange);
	exchange_log_begin(exchange);
}

bool exchange_is_answering(const struct exchange *exchange)
{
	return exchange->state == EXCHANGE_BODY;
}

const struct upstream *exchange_upstream(const struct exchange *exchange)
{
	return exchange->upstream;
}

void exchange_free(struct exchange *exchange)
{
	struct proxy_worker *worker = exchange->conn->worker;
	struct bufpool *bufs = &worker->io.bufs;

	exchange_log_end(exchange);
	task_cancel(&exchange->resume_task);
	timer_clear(&exchange->timer);
	if (exchange->upstream) {
		exchange_verdict_settle(exchange);
		upstream_put(exchange->upstream, UPSTREAM_END_ABORT);
	}
	pump_fini(&exchange->up, bufs);
	pump_fini(&exchange->down, bufs);
	buf_drop(&exchange->in, bufs);
	buf_drop(&exchange->from, bufs);
	buf_drop(&exchange->head, bufs);
	replay_end(&exchange->replay, bufs);
	shared_drop(&exchange->listener->shared, worker->io.worker);
	pool_put(&worker->exchanges, exchange);
}

static void give_upstream_back(struct exchange *exchange)
{
	enum upstream_end end = UPSTREAM_END_CLOSE;

	if (!exchange->upstream)
		return;
	exchange_verdict_settle(exchange);
	if (!exchange->up_done)
		end = UPSTREAM_END_ABORT;
	else if (exchange->response.keep_alive && !exchange->strict.is_last &&
		 !buf_len(&exchange->from))
		end = UPSTREAM_END_KEEP;
	upstream_put(exchange->upstream, end);
	exchange->upstream = NULL;
}

void exchange_count_answer(struct exchange *exchange)
{
	struct listener_counts *counts = conn_counts(exchange->conn);

	counter_inc(&counts->status[exchange->status < 600 ? exchange->status / 100 : 5]);
	latency_note(&counts->latency,
		loop_now_us(exchange->conn->worker->io.loop) - exchange->log.began_us);
}

/* The answer has been handed to the client's stream. */
static void finish(struct exchange *exchange)
{
	bool is_tunnel = exchange->state == EXCHANGE_BODY && exchange->response.upgrade.len;

	exchange_count_answer(exchange);
	if (!is_tunnel)
		give_upstream_back(exchange);
	exchange->ops->finished(exchange);
}

/* False: the exchange is over. */
static bool run_up(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	enum pump_result result = pump_run(&exchange->up, &conn->worker->io.bufs);

	exchange->up_waits_client = result == PUMP_WAITS_SRC;
	switch (result) {
	case PUMP_DONE:
		exchange->up_done = true;
		exchange->back->sent(exchange);
		return true;
	case PUMP_SHARE_USED:
		loop_post(conn->worker->io.loop, &exchange->resume_task);
		return true;
	case PUMP_WAITS_SRC:
	case PUMP_WAITS_DST:
		return true;
	case PUMP_DST_FAILED:
		exchange->up_broken = true; /* it may have answered before it went */
		return true;
	case PUMP_SRC_ENDED:
		exchange->ops->fail(exchange, CLOSE_client_gone);
		return false;
	case PUMP_SRC_FAILED:
		exchange->ops->fail(exchange, CLOSE_client_reset);
		return false;
	case PUMP_BAD_BODY:
		exchange_strict_note(exchange, exchange->up.error);
		exchange_answer(
			exchange, h1_error_row(exchange->up.error)->status, CLOSE_bad_request);
		return false;
	case PUMP_OVER_LIMIT:
		exchange_answer(exchange, 413, CLOSE_body_too_large);
		return false;
	case PUMP_NO_MEMORY:
		exchange_answer(exchange, 503, CLOSE_out_of_memory);
		return false;
	}
	return true;
}

static void run_down(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;

	enum pump_result result = pump_run(&exchange->down, &conn->worker->io.bufs);

	exchange->down_waits_target = result == PUMP_WAITS_SRC;
	switch (result) {
	case PUMP_DONE:
		finish(exchange);
		return;
	case PUMP_SHARE_USED:
		loop_post(conn->worker->io.loop, &exchange->resume_task);
		break;
	case PUMP_WAITS_SRC:
	case PUMP_WAITS_DST:
		break;
	case PUMP_DST_FAILED:
		exchange->ops->fail(exchange, CLOSE_client_reset);
		return;
	case PUMP_SRC_ENDED:
	case PUMP_SRC_FAILED:
		exchange_answer_cut(exchange, CLOSE_target_cut_response);
		return;
	case PUMP_BAD_BODY:
	case PUMP_OVER_LIMIT:
		exchange_answer_cut(exchange, CLOSE_target_bad_response);
		return;
	case PUMP_NO_MEMORY:
		exchange->ops->fail(exchange, CLOSE_out_of_memory);
		return;
	}
	exchange_set_timeout(exchange, exchange_spec(exchange)->idle_ms);
}

static void wait_for_response(struct exchange *exchange)
{
	const struct listener_spec *spec = exchange_spec(exchange);

	if (exchange->response_awaited)
		return; /* no event of the client's makes it longer */
	exchange->response_awaited = exchange->up_done;
	exchange_set_timeout(exchange, !exchange->up_done && exchange->up_waits_client
					       ? spec->request_body_ms
					       : exchange->route.group->spec.response_ms);
}

/* A client that was reset has gone, and so has a TLS client that ends its side: nobody half-closes
 * HTTP over TLS. A plain one may have sent its last request and wait for the answer. */
static bool has_client_gone(const struct exchange *exchange)
{
	const struct stream *front = exchange->front;

	if (exchange->state == EXCHANGE_HEAD || exchange->state == EXCHANGE_ANSWER)
		return false;
	if (front->broken || exchange->is_tunnel)
		return front->broken;
	return front->peer_ended && exchange->conn->is_tls && exchange->up_done &&
	       !buf_len(&exchange->in);
}

/* False: there is no answer to move, or the exchange is over. */
static bool run_response(struct exchange *exchange)
{
	if (!exchange->ops->push_interim(exchange))
		return false;
	switch (exchange->back->read_response(exchange)) {
	case EXCHANGE_BEGUN:
		return true;
	case EXCHANGE_WAITS:
		/* It may have gone before there was a target to wait for. */
		if (has_client_gone(exchange))
			exchange->ops->fail(exchange, CLOSE_client_gone);
		else
			wait_for_response(exchange);
		return false;
	case EXCHANGE_OVER:
		return false;
	}
	return false;
}

void exchange_run(struct exchange *exchange)
{
	bool moves_up = !exchange->is_tunnel &&
			(exchange->state == EXCHANGE_RESPONSE || exchange->state == EXCHANGE_BODY);

	if (moves_up && !exchange->up_done && !exchange->up_broken && !run_up(exchange))
		return;
	if (exchange->state == EXCHANGE_RESPONSE && !run_response(exchange))
		return;
	if (exchange->is_tunnel)
		exchange_tunnel_run(exchange);
	else if (exchange->state == EXCHANGE_BODY || exchange->state == EXCHANGE_ANSWER)
		run_down(exchange);
}

void exchange_front_event(struct exchange *exchange)
{
	struct stream *front = exchange->front;
	int r = front->ops->flush(front); /* of an answer that the pump is done with, too */

	if (r < 0 && r != -EAGAIN)
		exchange->ops->fail(exchange, CLOSE_client_reset);
	else if (exchange->state == EXCHANGE_HEAD)
		exchange_read_head(exchange);
	else if (has_client_gone(exchange))
		exchange->ops->fail(
			exchange, exchange->is_tunnel ? CLOSE_client_reset : CLOSE_client_gone);
	else
		exchange_run(exchange);
}

void exchange_timed_out(struct exchange *exchange)
{
	switch (exchange->state) {
	case EXCHANGE_HEAD:
		exchange_answer(exchange, 408, CLOSE_header_timeout);
		break;
	case EXCHANGE_RESPONSE:
		if (!exchange->up_done && exchange->up_waits_client)
			exchange_answer(exchange, 408, CLOSE_request_body_timeout);
		else
			exchange_target_failed(exchange, CLOSE_target_timeout);
		break;
	case EXCHANGE_TARGET:
		exchange_answer(exchange, 504, CLOSE_target_timeout);
		break;
	case EXCHANGE_BODY:
		/* Nobody knows whether something must come; but of a known length, the rest must. */
		if (exchange->down_waits_target && exchange->response.body == HTTP_BODY_LENGTH)
			exchange_verdict_broken(exchange, CLOSE_idle_timeout);
		exchange->ops->fail(exchange, CLOSE_idle_timeout);
		break;
	case EXCHANGE_ANSWER:
		exchange->ops->fail(exchange, CLOSE_idle_timeout);
		break;
	}
}
