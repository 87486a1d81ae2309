/* The life of a client's connection: see conn.h. The order of its states is in frontend.c. */
#define LOG_MODULE "conn"
#include "proxy/conn.h"
#include "core/counter.h"
#include "core/log.h"
#include "net/socket.h"
#include "proxy/conn_h2.h"
#include "proxy/conn_walk.h"
#include "proxy/connlog.h"
#include "proxy/exchange.h"
#include "proxy/frontend.h"
#include "proxy/tunnel.h"
#include "tls/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { END_TEXT_BYTES = 256 };

static void conn_free(struct task *task)
{
	struct conn *conn = container_of(task, struct conn, free_task);

	free(conn->log_common);
	pool_put(&conn->worker->conns, conn);
}

void conn_change_state(struct conn *conn, enum conn_state state)
{
	conn->state = state;
}

void conn_set_timeout(struct conn *conn, uint32_t after_ms)
{
	conn->active_ms = loop_now_ms(conn->worker->io.loop);
	if (after_ms)
		timer_set(conn->worker->io.loop, &conn->timer, after_ms);
	else
		timer_clear(&conn->timer);
}

void conn_count_bytes(struct conn *conn)
{
	struct listener_counts *counts = conn_counts(conn);

	if (!conn->front)
		return;
	counter_add(&counts->bytes_in, conn->front->bytes_in - conn->counted_in);
	counter_add(&counts->bytes_out, conn->front->bytes_out - conn->counted_out);
	conn->counted_in = conn->front->bytes_in;
	conn->counted_out = conn->front->bytes_out;
}

static void release_limits(struct conn *conn)
{
	struct listener_stats *stats = conn->listener->spec.stats;

	atomic_fetch_sub_explicit(&stats->open, 1, memory_order_relaxed);
	atomic_fetch_sub_explicit(&conn->worker->node->open, 1, memory_order_relaxed);
}

static void count_reason(struct conn *conn, enum close_reason reason, const char *more)
{
	char text[ADDR_TEXT_BYTES];

	counter_inc(&conn_counts(conn)->reasons[reason]);
	if (log_level_get() == LOG_LEVEL_DEBUG)
		log_debug("listener %s: client %s: %s%s%s%s", conn->listener->spec.name,
			addr_format(&conn->client, text), close_reason_rows[reason].name,
			conn->ja4[0] ? " ja4=" : "", conn->ja4, more);
}

void conn_count_reason(struct conn *conn, enum close_reason reason)
{
	count_reason(conn, reason, "");
}

/* TLS, and its handshake is over: one that failed was counted then. */
static bool has_tls(const struct conn *conn)
{
	return conn->front && conn->is_tls && conn->state != CONN_HANDSHAKE;
}

/* What was wrong with its records. Whoever read or wrote saw no more than an error. */
static enum tls_failure tls_failure_of(const struct conn *conn)
{
	return has_tls(conn) ? tls_stream_failure(conn->front) : TLS_FAILURE_none;
}

/* Where the records were, and what was wrong with them. */
static void count_tls_end(struct conn *conn)
{
	struct listener_counts *counts = conn_counts(conn);
	enum tls_failure failure = tls_failure_of(conn);
	struct tls_stream_facts tls;

	if (!has_tls(conn))
		return;
	tls_stream_facts(conn->front, &tls);
	counter_inc(&counts->places[TLS_RX][tls.places[TLS_RX]]);
	counter_inc(&counts->places[TLS_TX][tls.places[TLS_TX]]);
	if (failure != TLS_FAILURE_none)
		counter_inc(&counts->tls_failures[failure]);
}

/* For the log. */
static void write_end(const struct conn *conn, FILE *out)
{
	enum tls_failure failure = tls_failure_of(conn);
	struct tls_stream_facts tls;

	fprintf(out, " in=%" PRIu64 " out=%" PRIu64, conn->front->bytes_in, conn->front->bytes_out);
	if (has_tls(conn)) {
		tls_stream_facts(conn->front, &tls);
		fprintf(out, " tls=%s cipher=%s rx=%s tx=%s", tls.version, tls.cipher,
			ktls_place_name(tls.places[TLS_RX]), ktls_place_name(tls.places[TLS_TX]));
	}
	if (failure != TLS_FAILURE_none)
		fprintf(out, " failure=%s %s", tls_failure_name(failure),
			tls_stream_failure_detail(conn->front));
}

static void count_end(struct conn *conn, enum close_reason reason)
{
	char more[END_TEXT_BYTES] = "";
	FILE *out = NULL;

	count_tls_end(conn);
	counter_inc(&conn_counts(conn)->closed);
	if (conn->front && log_level_get() == LOG_LEVEL_DEBUG)
		out = fmemopen(more, sizeof(more), "w");
	if (out) {
		write_end(conn, out);
		fclose(out);
	}
	count_reason(conn, reason, more);
}

/* The client learns by a RST that a tunnel or an answer was cut, or that it is not wanted; after
 * an error of TLS by the alert alone. */
static bool is_abort(const struct conn *conn, enum close_reason reason)
{
	if (conn->exchange && exchange_is_answering(conn->exchange))
		return true;
	if (conn->tunnel && conn->tunnel->is_up)
		return reason != CLOSE_done && reason != CLOSE_tls_error &&
		       !(reason == CLOSE_client_gone && conn->tunnel->to_client.ended);
	if (conn->state == CONN_LINGER && !conn->front_ended)
		return true;
	if (reason == CLOSE_gate_refused)
		return !conn->told_why;
	return reason == CLOSE_target_closed || reason == CLOSE_target_cut_response ||
	       reason == CLOSE_client_reset || reason == CLOSE_deregistered;
}

void conn_close(struct conn *conn, enum close_reason reason)
{
	bool abort;

	if (conn->state == CONN_CLOSED)
		return;
	if (reason == CLOSE_client_reset && tls_failure_of(conn) != TLS_FAILURE_none)
		reason = CLOSE_tls_error; /* the client was told why, or told us: no RST */
	count_end(conn, reason);
	if (conn->state == CONN_HANDSHAKE && !conn->is_refused)
		connlog_put(conn, close_reason_rows[reason].name);
	if (conn->state == CONN_PEEK && conn->is_tls && reason == CLOSE_handshake_timeout)
		connlog_put_early(
			conn, &(struct connlog_early){
				      .failure = close_reason_rows[reason].name, .detail = ""});
	abort = is_abort(conn, reason);
	/* close_notify, if there is no time for conn_end(); elsewhere an answer may be cut, and must
	 * not look complete. */
	if (conn->state == CONN_IDLE && !abort && !conn->front->ops->is_plain)
		abort = conn->front->ops->shutdown(conn->front) == -EAGAIN;
	if (conn->exchange) {
		exchange_log_reason(conn->exchange, reason);
		exchange_free(conn->exchange);
	}
	if (conn->tunnel)
		tunnel_free(conn->tunnel, reason);
	conn_h2_free(conn, reason);
	conn->exchange = NULL;
	conn->tunnel = NULL;
	conn_count_bytes(conn);
	conn_change_state(conn, CONN_CLOSED);
	timer_clear(&conn->timer);
	conn_walks_leave(conn);
	list_del(&conn->link);
	if (conn->front)
		conn->front->ops->close(conn->front, abort);
	else
		socket_close(conn->worker->io.loop, &conn->peek, abort);
	release_limits(conn);
	shared_drop(&conn->listener->shared, conn->worker->io.worker);
	loop_defer(conn->worker->io.loop, &conn->free_task);
}

void conn_set_idle(struct conn *conn)
{
	const struct listener_spec *spec = &conn->listener->spec;

	conn_change_state(conn, CONN_IDLE);
	conn_count_bytes(conn);
	conn_set_timeout(conn, conn->requests ? spec->keep_alive_ms : spec->header_ms);
}

static void idle_event(struct conn *conn)
{
	struct stream *front = conn->front;

	if (front->ops->flush(front) < 0 && !front->can_read)
		return;
	if (front->can_read || front->ops->has_pending(front))
		exchange_start(conn);
}

static void conn_event(struct conn *conn)
{
	switch (conn->state) {
	case CONN_HANDSHAKE:
		frontend_handshake(conn);
		break;
	case CONN_IDLE:
		idle_event(conn);
		break;
	case CONN_EXCHANGE:
		exchange_front_event(conn->exchange);
		break;
	case CONN_HTTP2:
		conn_h2_event(conn);
		break;
	case CONN_TUNNEL:
		tunnel_front_event(conn->tunnel);
		break;
	case CONN_LINGER:
		conn_linger_event(conn);
		break;
	case CONN_PEEK:
	case CONN_CLOSED:
		break;
	}
}

void conn_stream_ready(struct watch *watch, uint32_t events)
{
	struct stream *stream = stream_of_watch(watch);

	stream_note_events(stream, events);
	conn_event(stream->owner);
}

static void timed_out(struct timer *timer)
{
	struct conn *conn = container_of(timer, struct conn, timer);

	switch (conn->state) {
	case CONN_PEEK:
	case CONN_HANDSHAKE:
		conn_close(
			conn, conn->is_refused ? CLOSE_handshake_failed : CLOSE_handshake_timeout);
		break;
	case CONN_IDLE:
		conn_end(conn, conn->requests ? CLOSE_keep_alive_over : CLOSE_header_timeout);
		break;
	case CONN_EXCHANGE:
		exchange_timed_out(conn->exchange);
		break;
	case CONN_HTTP2:
		conn_h2_timed_out(conn);
		break;
	case CONN_TUNNEL:
		conn_close(conn, CLOSE_idle_timeout);
		break;
	case CONN_LINGER:
		conn_linger_timed_out(conn);
		break;
	case CONN_CLOSED:
		break;
	}
}

static enum close_reason over_limit(const struct conn *conn)
{
	const struct listener_spec *spec = &conn->listener->spec;
	struct proxy_node *node = conn->worker->node;
	uint32_t open = atomic_fetch_add_explicit(&spec->stats->open, 1, memory_order_relaxed) + 1;
	uint32_t node_open = atomic_fetch_add_explicit(&node->open, 1, memory_order_relaxed) + 1;
	uint32_t max = atomic_load_explicit(&node->max_connections, memory_order_relaxed);

	if (spec->max_connections && open > spec->max_connections)
		return CLOSE_listener_limit;
	return max && node_open > max ? CLOSE_node_limit : CLOSE_done;
}

void conn_new(struct proxy_worker *worker, struct listener *listener, int fd,
	const union addr *client, const union addr *local)
{
	struct conn *conn = pool_get(&worker->conns);
	enum close_reason refused;

	if (!conn) {
		counter_inc(&listener_counts(listener, worker->io.worker)
				->reasons[CLOSE_out_of_memory]);
		close(fd);
		return;
	}
	*conn = (struct conn){
		.worker = worker,
		.listener = listener,
		.peek.fd = fd,
		.timer.fire = timed_out,
		.free_task.run = conn_free,
		.state = CONN_PEEK,
		.id = conn_id_make(worker->conns_made++, worker->io.worker),
		.epoch = listener->spec.terms.epoch,
		.accepted_ms = loop_now_ms(worker->io.loop),
		.active_ms = loop_now_ms(worker->io.loop),
		.client = *client,
		.local = *local,
		.is_tls = listener->spec.tls != NULL,
	};
	shared_hold(&listener->shared, worker->io.worker);
	list_add_tail(&worker->open, &conn->link);
	counter_inc(&conn_counts(conn)->accepted);
	refused = over_limit(conn);
	if (refused != CLOSE_done)
		conn_close(conn, refused);
	else
		frontend_start(conn);
}

/* What has come and has not been looked at is a request, for all one knows; its event is on its way. */
static bool has_unread(const struct conn *conn)
{
	char byte;

	return recv(conn->front->watch.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0;
}

void conn_drain_all(struct proxy_worker *worker)
{
	struct list *link, *after;
	struct conn *conn;

	worker->draining = true;
	list_for_each_safe(link, after, &worker->open) {
		conn = container_of(link, struct conn, link);
		if (conn->state == CONN_IDLE && !has_unread(conn))
			conn_end(conn, CLOSE_shutdown);
		else if (conn->state == CONN_HTTP2)
			conn_h2_drain(conn, CLOSE_shutdown);
	}
}

void conn_close_all(struct proxy_worker *worker, enum close_reason reason)
{
	while (!list_is_empty(&worker->open))
		conn_close(container_of(worker->open.next, struct conn, link), reason);
}
