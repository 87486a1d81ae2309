/* Connections and the terms in force: see conn_terms.h. */
#include "proxy/conn_terms.h"
#include "proxy/conn_h2.h"
#include "proxy/conn_walk.h"
#include "proxy/rules.h"

#include <string.h>

/* Of connections in one turn. */
enum { LOOKS_PER_TURN = 512 };

/* Of lifetimes: up to a tenth, in so many steps. */
enum { EARLIER_SHARE = 10, EARLIER_STEPS = 64 };

static struct listener *listener_in_force(const struct conn *conn)
{
	const struct proxy_worker *worker = conn->worker;

	return worker->generation ? listener_current(conn->listener->spec.stats, worker->io.worker,
					    worker->generation)
				  : NULL;
}

bool conn_is_orphan(const struct conn *conn)
{
	return conn->worker->generation && !listener_in_force(conn);
}

/* Each a little earlier than the last of them may. */
static bool is_old(const struct conn *conn)
{
	uint64_t lifetime_ms = conn->listener->spec.lifetime_ms;
	uint64_t earlier_ms =
		lifetime_ms / EARLIER_SHARE * (conn->id % EARLIER_STEPS) / EARLIER_STEPS;

	return lifetime_ms &&
	       loop_now_ms(conn->worker->io.loop) - conn->accepted_ms >= lifetime_ms - earlier_ms;
}

bool conn_goes_on(const struct conn *conn, uint32_t requests)
{
	uint32_t max = conn->listener->spec.max_requests_per_connection;

	return proxy_worker_keeps_clients(conn->worker) && !conn_is_orphan(conn) &&
	       conn_terms(conn) == CONN_TERMS_GOOD && !conn->front->retiring &&
	       (!max || requests < max) && !is_old(conn);
}

/* One that was kept has not met the terms of those who come now: it gets no further than it could. */
static bool leads_elsewhere(const struct conn *conn, const struct listener *now)
{
	const struct listener_spec *before = &conn->listener->spec;

	if (strcmp(before->group->spec.name, now->spec.group->spec.name) != 0)
		return true;
	if (!before->rules || !now->spec.rules)
		return before->rules != now->spec.rules;
	return rules_digest(before->rules) != rules_digest(now->spec.rules);
}

enum conn_terms conn_terms(const struct conn *conn)
{
	const struct listener *now = listener_in_force(conn);
	const struct listener_terms *terms;

	if (!now)
		return CONN_TERMS_GOOD;
	terms = &now->spec.terms;
	if (conn->epoch < terms->close_below)
		return CONN_TERMS_CLOSE;
	if (conn->epoch < terms->drain_below ||
		now->spec.protocol != conn->listener->spec.protocol ||
		(conn->epoch < terms->epoch && leads_elsewhere(conn, now)))
		return CONN_TERMS_DRAIN;
	return CONN_TERMS_GOOD;
}

static void go_over(struct conn *conn, struct listener *now)
{
	uint32_t worker = conn->worker->io.worker;

	shared_hold(&now->shared, worker);
	shared_drop(&conn->listener->shared, worker);
	conn->listener = now;
}

void conn_renew_listener(struct conn *conn)
{
	struct listener *now = listener_in_force(conn);

	if (now && now != conn->listener && conn_terms(conn) == CONN_TERMS_GOOD)
		go_over(conn, now);
}

void conn_take_terms(struct conn *conn)
{
	struct listener *now = listener_in_force(conn);

	if (!now || now->spec.protocol != conn->listener->spec.protocol)
		return;
	if (now != conn->listener)
		go_over(conn, now);
	conn->epoch = now->spec.terms.epoch;
}

/* Nobody waits for an answer, and no request is known to be on its way. A client that has not asked
 * for anything yet surely will, and gets its answer. */
static bool is_unused(const struct conn *conn)
{
	struct stream *front = conn->front;

	return conn->state == CONN_IDLE && conn->requests && !front->can_read &&
	       !front->ops->has_pending(front);
}

static void drain(struct conn *conn)
{
	struct proxy_worker *worker = conn->worker;
	const struct listener *now = listener_in_force(conn);
	uint64_t now_ms = loop_now_ms(worker->io.loop);

	if (conn->state == CONN_LINGER || conn->state == CONN_CLOSED)
		return;
	if (is_unused(conn)) {
		conn_linger(conn, CLOSE_terms_changed);
		return;
	}
	if (conn->state == CONN_HTTP2)
		conn_h2_drain(conn, CLOSE_terms_changed);
	if (!conn->drain_until_ms)
		conn->drain_until_ms = now_ms + now->spec.drain_ms;
	if (conn->drain_until_ms <= now_ms)
		conn_close(conn, CLOSE_terms_changed);
	else if (!worker->terms.next_ms || conn->drain_until_ms < worker->terms.next_ms)
		worker->terms.next_ms = conn->drain_until_ms;
}

static void look_at(struct conn *conn)
{
	if (conn->state == CONN_PEEK && conn->is_tls)
		conn_take_terms(conn);
	switch (conn_terms(conn)) {
	case CONN_TERMS_GOOD:
		break;
	case CONN_TERMS_DRAIN:
		drain(conn);
		break;
	case CONN_TERMS_CLOSE:
		conn_close(conn, CLOSE_terms_changed);
		break;
	}
}

static uint32_t ms_until(const struct loop *loop, uint64_t when_ms)
{
	uint64_t now_ms = loop_now_ms(loop);

	return when_ms > now_ms ? (uint32_t)(when_ms - now_ms) : 1;
}

static void look_on(struct task *task)
{
	struct terms_look *look = container_of(task, struct terms_look, task);
	struct proxy_worker *worker = container_of(look, struct proxy_worker, terms);
	struct loop *loop = worker->io.loop;
	struct conn *conn;
	int n;

	for (n = 0; n < LOOKS_PER_TURN; n++) {
		conn = conn_walk_next(&look->walk);
		if (!conn) {
			conn_walk_end(&look->walk);
			look->is_walking = false;
			if (look->next_ms)
				timer_set(loop, &look->timer, ms_until(loop, look->next_ms));
			return;
		}
		look_at(conn);
	}
	loop_post(loop, task);
}

void conn_terms_look(struct proxy_worker *worker)
{
	struct terms_look *look = &worker->terms;

	if (look->is_walking)
		conn_walk_end(&look->walk);
	timer_clear(&look->timer);
	look->next_ms = 0;
	look->is_walking = true;
	conn_walk_begin(&look->walk, worker);
	loop_post(worker->io.loop, &look->task);
}

static void time_is_over(struct timer *timer)
{
	struct terms_look *look = container_of(timer, struct terms_look, timer);

	conn_terms_look(container_of(look, struct proxy_worker, terms));
}

void conn_terms_init(struct proxy_worker *worker)
{
	worker->terms.task.run = look_on;
	worker->terms.timer.fire = time_is_over;
}

void conn_terms_fini(struct proxy_worker *worker)
{
	task_cancel(&worker->terms.task);
	timer_clear(&worker->terms.timer);
	if (worker->terms.is_walking)
		conn_walk_end(&worker->terms.walk);
	worker->terms.is_walking = false;
}
