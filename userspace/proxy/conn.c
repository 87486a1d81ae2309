/* The life of a client's connection: see conn.h. The order of its states is in frontend.c. */
#define LOG_MODULE "conn"
#include "proxy/conn.h"
#include "core/counter.h"
#include "core/log.h"
#include "proxy/conn_walk.h"
#include "proxy/exchange.h"
#include "proxy/frontend.h"
#include "proxy/tunnel.h"
#include "tls/stream.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

enum { LINGER_MS = 3000, LINGER_BYTES_MAX = 1024 * 1024, END_TEXT_BYTES = 256 };

static void conn_free(struct task *task)
{
	struct conn *conn = container_of(task, struct conn, free_task);

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

/* Where the records were, and what was wrong with them. A handshake that failed was counted. */
static bool count_tls_end(struct conn *conn, struct tls_stream_facts *ret_tls)
{
	struct listener_counts *counts = conn_counts(conn);
	enum tls_failure failure;

	if (!conn->front || !conn->is_tls || conn->state == CONN_HANDSHAKE)
		return false;
	tls_stream_facts(conn->front, ret_tls);
	counter_inc(&counts->places[TLS_RX][ret_tls->places[TLS_RX]]);
	counter_inc(&counts->places[TLS_TX][ret_tls->places[TLS_TX]]);
	failure = tls_stream_failure(conn->front);
	if (failure != TLS_FAILURE_none)
		counter_inc(&counts->tls_failures[failure]);
	return true;
}

/* For the log; `tls` NULL: there is none. */
static void write_end(const struct conn *conn, const struct tls_stream_facts *tls, FILE *out)
{
	enum tls_failure failure = tls ? tls_stream_failure(conn->front) : TLS_FAILURE_none;

	fprintf(out, " in=%" PRIu64 " out=%" PRIu64, conn->front->bytes_in, conn->front->bytes_out);
	if (tls)
		fprintf(out, " tls=%s cipher=%s rx=%s tx=%s", tls->version, tls->cipher,
			ktls_place_name(tls->places[TLS_RX]), ktls_place_name(tls->places[TLS_TX]));
	if (failure != TLS_FAILURE_none)
		fprintf(out, " failure=%s %s", tls_failure_name(failure),
			tls_stream_failure_detail(conn->front));
}

/* Whoever read or wrote saw no more than an error. */
static bool has_tls_failed(const struct conn *conn)
{
	return conn->front && conn->is_tls && conn->state != CONN_HANDSHAKE &&
	       tls_stream_failure(conn->front) != TLS_FAILURE_none;
}

static void count_end(struct conn *conn, enum close_reason reason)
{
	char more[END_TEXT_BYTES] = "";
	struct tls_stream_facts tls;
	bool has_tls = count_tls_end(conn, &tls);
	FILE *out = NULL;

	counter_inc(&conn_counts(conn)->closed);
	if (conn->front && log_level_get() == LOG_LEVEL_DEBUG)
		out = fmemopen(more, sizeof(more), "w");
	if (out) {
		write_end(conn, has_tls ? &tls : NULL, out);
		fclose(out);
	}
	count_reason(conn, reason, more);
}

/* The client learns by a RST that a tunnel or an answer was cut, or that it is not wanted. */
static bool is_abort(const struct conn *conn, enum close_reason reason)
{
	if (conn->exchange && exchange_is_answering(conn->exchange))
		return true;
	if (reason == CLOSE_gate_refused)
		return !conn->told_why;
	return reason == CLOSE_target_closed || reason == CLOSE_target_cut_response ||
	       reason == CLOSE_client_reset || reason == CLOSE_deregistered;
}

/* There is no stream yet. */
static void close_peek(struct conn *conn, bool abort)
{
	struct linger reset = {.l_onoff = 1, .l_linger = 0};

	if (abort)
		setsockopt(conn->peek.fd, SOL_SOCKET, SO_LINGER, &reset, sizeof(reset));
	conn->peek.ready = NULL;
	close(conn->peek.fd);
}

void conn_close(struct conn *conn, enum close_reason reason)
{
	bool abort;

	if (conn->state == CONN_CLOSED)
		return;
	if (reason == CLOSE_client_reset && has_tls_failed(conn))
		reason = CLOSE_tls_error; /* the client was told why, or told us: no RST */
	count_end(conn, reason);
	abort = is_abort(conn, reason);
	/* close_notify; elsewhere an answer may be cut, and must not look complete. */
	if (conn->state == CONN_IDLE && !abort && !conn->front->ops->is_plain)
		conn->front->ops->shutdown(conn->front);
	if (conn->exchange)
		exchange_free(conn->exchange);
	if (conn->tunnel)
		tunnel_free(conn->tunnel);
	conn->exchange = NULL;
	conn->tunnel = NULL;
	conn_count_bytes(conn);
	conn_change_state(conn, CONN_CLOSED);
	timer_clear(&conn->timer);
	conn_walks_leave(conn);
	list_del(&conn->link);
	if (conn->front) {
		conn->front->ops->close(conn->front, abort);
	} else if (conn->peek.fd >= 0) {
		close_peek(conn, abort);
	}
	release_limits(conn);
	shared_drop(&conn->listener->shared, conn->worker->io.worker);
	loop_defer(conn->worker->io.loop, &conn->free_task);
}

/* Takes what still comes and throws it away: closing with bytes unread would send a RST, which
 * can destroy the answer on its way (RFC 9112 section 9.6). */
static void linger_read(struct conn *conn)
{
	struct stream *front = conn->front;
	char bytes[4096];
	ssize_t got;

	while (front->can_read || front->ops->has_pending(front)) {
		got = front->ops->read(front, bytes, sizeof(bytes));
		if (got == -EAGAIN)
			break;
		conn->linger_bytes += got > 0 ? (uint32_t)got : 0;
		if (got <= 0 || conn->linger_bytes > LINGER_BYTES_MAX) {
			conn_close(conn, CLOSE_done);
			return;
		}
	}
	if (front->can_write && front->ops->shutdown(front) == -EPIPE)
		conn_close(conn, CLOSE_done);
}

void conn_linger(struct conn *conn)
{
	int r;

	if (conn->exchange)
		exchange_free(conn->exchange);
	conn->exchange = NULL;
	conn_change_state(conn, CONN_LINGER);
	conn_set_timeout(conn, LINGER_MS);
	r = conn->front->ops->shutdown(conn->front);
	if (r < 0 && r != -EAGAIN)
		conn_close(conn, CLOSE_done);
	else
		linger_read(conn);
}

bool conn_is_orphan(const struct conn *conn)
{
	const struct proxy_worker *worker = conn->worker;

	return worker->generation &&
	       !listener_current(conn->listener->spec.stats, worker->io.worker, worker->generation);
}

void conn_renew_listener(struct conn *conn)
{
	struct proxy_worker *worker = conn->worker;
	struct listener *now =
		listener_current(conn->listener->spec.stats, worker->io.worker, worker->generation);

	if (!now || now == conn->listener || now->spec.protocol != conn->listener->spec.protocol)
		return;
	shared_hold(&now->shared, worker->io.worker);
	shared_drop(&conn->listener->shared, worker->io.worker);
	conn->listener = now;
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
	case CONN_TUNNEL:
		tunnel_front_event(conn->tunnel);
		break;
	case CONN_LINGER:
		linger_read(conn);
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
		conn_close(conn, CLOSE_handshake_timeout);
		break;
	case CONN_IDLE:
		conn_close(conn, conn->requests ? CLOSE_keep_alive_over : CLOSE_header_timeout);
		break;
	case CONN_EXCHANGE:
		exchange_timed_out(conn->exchange);
		break;
	case CONN_TUNNEL:
		conn_close(conn, CLOSE_idle_timeout);
		break;
	case CONN_LINGER:
		conn_close(conn, CLOSE_done);
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

void conn_drain_all(struct proxy_worker *worker)
{
	struct list *link, *after;
	struct conn *conn;

	worker->draining = true;
	list_for_each_safe(link, after, &worker->open) {
		conn = container_of(link, struct conn, link);
		if (conn->state == CONN_IDLE)
			conn_close(conn, CLOSE_shutdown);
	}
}

void conn_close_all(struct proxy_worker *worker, enum close_reason reason)
{
	while (!list_is_empty(&worker->open))
		conn_close(container_of(worker->open.next, struct conn, link), reason);
}
