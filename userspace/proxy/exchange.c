/* HTTP exchanges: see exchange.h. Life, progress in both directions, the end. */
#include "proxy/exchange_parts.h"
#include "core/counter.h"
#include "proxy/conn_terms.h"
#include "proxy/tunnel.h"

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

/* Everything but the arrays: they are filled by the codec. */
static void exchange_init(struct exchange *exchange, struct conn *conn)
{
	memset(exchange, 0, offsetof(struct exchange, request));
	exchange->conn = conn;
	exchange->resume_task.run = resume;
	http_headers_lend(&exchange->request.headers, exchange->request_headers,
		array_len(exchange->request_headers));
	http_headers_lend(&exchange->response.headers, exchange->response_headers,
		array_len(exchange->response_headers));
}

static struct exchange *start(struct conn *conn)
{
	struct exchange *exchange = pool_get(&conn->worker->exchanges);

	if (!exchange) {
		conn_close(conn, CLOSE_out_of_memory);
		return NULL;
	}
	exchange_init(exchange, conn);
	conn_renew_listener(conn);
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

	task_cancel(&exchange->resume_task);
	if (exchange->upstream)
		upstream_put(exchange->upstream, UPSTREAM_END_ABORT);
	pump_fini(&exchange->up, bufs);
	pump_fini(&exchange->down, bufs);
	buf_drop(&exchange->in, bufs);
	buf_drop(&exchange->from, bufs);
	pool_put(&worker->exchanges, exchange);
}

/* The next request has come behind this one: starts over with what is in `in`. */
static void next_request(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	struct buf in = exchange->in;

	task_cancel(&exchange->resume_task); /* posted when a turn's share was used up */
	exchange->in = (struct buf){0};
	pump_fini(&exchange->up, &conn->worker->io.bufs);
	pump_fini(&exchange->down, &conn->worker->io.bufs);
	buf_drop(&exchange->from, &conn->worker->io.bufs);
	exchange_init(exchange, conn);
	exchange->in = in;
	conn_renew_listener(conn);
	conn_set_timeout(conn, conn->listener->spec.header_ms);
	loop_post(conn->worker->io.loop, &exchange->resume_task);
}

static void give_upstream_back(struct exchange *exchange)
{
	enum upstream_end end = UPSTREAM_END_CLOSE;

	if (!exchange->upstream)
		return;
	if (!exchange->up_done)
		end = UPSTREAM_END_ABORT;
	else if (exchange->response.keep_alive && !buf_len(&exchange->from))
		end = UPSTREAM_END_KEEP;
	upstream_put(exchange->upstream, end);
	exchange->upstream = NULL;
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

/* The answer has been handed to the client's stream. */
static void finish(struct exchange *exchange)
{
	struct conn *conn = exchange->conn;
	struct upstream *upstream = exchange->upstream;

	counter_inc(
		&conn_counts(conn)->status[exchange->status < 600 ? exchange->status / 100 : 5]);
	if (exchange->state == EXCHANGE_BODY && exchange->response.upgrade.len) {
		exchange->upstream = NULL;
		conn->exchange = NULL;
		tunnel_adopt(conn, upstream, &exchange->in, &exchange->from);
		exchange_free(exchange);
		return;
	}
	give_upstream_back(exchange);
	if (conn_terms(conn) != CONN_TERMS_GOOD) {
		conn_linger(conn, CLOSE_terms_changed);
	} else if (!exchange->keep_client || (conn->worker->draining && !buf_len(&exchange->in))) {
		conn_linger(conn, CLOSE_done);
	} else if (buf_len(&exchange->in)) {
		next_request(exchange);
	} else {
		go_idle(exchange);
	}
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
		conn_close(conn, CLOSE_client_gone);
		return false;
	case PUMP_SRC_FAILED:
		conn_close(conn, CLOSE_client_reset);
		return false;
	case PUMP_BAD_BODY:
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

	switch (pump_run(&exchange->down, &conn->worker->io.bufs)) {
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
		conn_close(conn, CLOSE_client_reset);
		return;
	case PUMP_SRC_ENDED:
	case PUMP_SRC_FAILED:
		conn_close(conn, CLOSE_target_cut_response);
		return;
	case PUMP_BAD_BODY:
	case PUMP_OVER_LIMIT:
		conn_close(conn, CLOSE_target_bad_response);
		return;
	case PUMP_NO_MEMORY:
		conn_close(conn, CLOSE_out_of_memory);
		return;
	}
	conn_set_timeout(conn, conn->listener->spec.idle_ms);
}

static void wait_for_response(struct exchange *exchange)
{
	const struct listener_spec *spec = &exchange->conn->listener->spec;

	if (exchange->response_awaited)
		return; /* no event of the client's makes it longer */
	exchange->response_awaited = exchange->up_done;
	conn_set_timeout(exchange->conn, !exchange->up_done && exchange->up_waits_client
						 ? spec->request_body_ms
						 : exchange->route.group->spec.response_ms);
}

/* What is left of an interim response. */
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

/* A client that was reset has gone, and so has a TLS client that ends its side: nobody half-closes
 * HTTP over TLS. A plain one may have sent its last request and wait for the answer. */
static bool has_client_gone(const struct exchange *exchange)
{
	const struct stream *front = exchange->conn->front;

	if (exchange->state == EXCHANGE_HEAD || exchange->state == EXCHANGE_ANSWER)
		return false;
	if (front->broken)
		return true;
	return front->peer_ended && exchange->conn->is_tls && exchange->up_done &&
	       !buf_len(&exchange->in);
}

void exchange_run(struct exchange *exchange)
{
	bool moves_up = exchange->state == EXCHANGE_RESPONSE || exchange->state == EXCHANGE_BODY;

	if (moves_up && !exchange->up_done && !exchange->up_broken && !run_up(exchange))
		return;
	if (exchange->state == EXCHANGE_RESPONSE) {
		struct conn *conn = exchange->conn;

		if (!push_interim(exchange))
			return;
		if (!exchange_read_response(exchange)) {
			/* Still this exchange, and still waiting? */
			if (conn->state != CONN_EXCHANGE || conn->exchange != exchange ||
				exchange->state != EXCHANGE_RESPONSE)
				return;
			/* It may have gone before there was a target to wait for. */
			if (has_client_gone(exchange))
				conn_close(conn, CLOSE_client_gone);
			else
				wait_for_response(exchange);
			return;
		}
	}
	if (exchange->state == EXCHANGE_BODY || exchange->state == EXCHANGE_ANSWER)
		run_down(exchange);
}

void exchange_front_event(struct exchange *exchange)
{
	struct stream *front = exchange->conn->front;
	int r = front->ops->flush(front); /* of an answer that the pump is done with, too */

	if (r < 0 && r != -EAGAIN)
		conn_close(exchange->conn, CLOSE_client_reset);
	else if (exchange->state == EXCHANGE_HEAD)
		exchange_read_head(exchange);
	else if (has_client_gone(exchange))
		conn_close(exchange->conn, CLOSE_client_gone);
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
	case EXCHANGE_ANSWER:
		conn_close(exchange->conn, CLOSE_idle_timeout);
		break;
	}
}
