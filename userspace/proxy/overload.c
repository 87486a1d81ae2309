/* Shedding load on a worker: see overload.h. */
#include "proxy/overload.h"
#include "proxy/conn.h"
#include "proxy/conn_h2.h"
#include "proxy/conn_walk.h"

#include <errno.h>

enum {
	LOOKS_PER_TURN = 512, /* connections */
	LOOK_MS = 250,        /* from the start of one walk to that of the next */
	WAIT_SHORT_MS = 1000, /* between requests */
	WAIT_PAUSED_MS = 100,
	FIRST_PAUSED_MS = 5000, /* for a connection's first request to be on its way */
};

/* The kernel gives the lowest descriptor that is free: all below it are in use. */
static bool is_below(struct proxy_worker *worker, int fd, const atomic_uint *limit)
{
	uint32_t max = atomic_load_explicit(limit, memory_order_relaxed);

	if (fd >= 0 ? !max || (uint32_t)fd < max : fd != -EMFILE && fd != -ENFILE)
		return true;
	atomic_store_explicit(&worker->node->is_short_of_files, true, memory_order_relaxed);
	return false;
}

bool overload_accepts_more(struct proxy_worker *worker, int fd)
{
	return is_below(worker, fd, &worker->node->accept_max);
}

bool overload_fits(struct proxy_worker *worker, int fd)
{
	return is_below(worker, fd, &worker->node->files_max);
}

/* Nothing is known to be on its way. */
static bool is_quiet(const struct conn *conn)
{
	struct stream *front = conn->front;

	return !front->can_read && !front->ops->has_pending(front);
}

static void end_waiting(struct conn *conn, uint64_t waited_ms, enum overload_level level)
{
	uint64_t max_ms = level >= OVERLOAD_PAUSED ? WAIT_PAUSED_MS : WAIT_SHORT_MS;

	if (waited_ms < max_ms || !is_quiet(conn))
		return;
	if (conn->state == CONN_IDLE)
		conn_end(conn, CLOSE_made_room);
	else if (h2_waits(conn->h2) == H2_WAITS_REQUEST)
		conn_h2_drain(conn, CLOSE_made_room);
}

static void look_at(struct conn *conn, enum overload_level level)
{
	uint64_t now_ms = loop_now_ms(conn->worker->io.loop);
	bool waits = conn->state == CONN_IDLE || conn->state == CONN_HTTP2;

	if (waits && conn->requests)
		end_waiting(conn, now_ms - conn->active_ms, level);
	else if (level >= OVERLOAD_PAUSED && !conn->requests && !conn->is_refused &&
		 now_ms - conn->accepted_ms >= FIRST_PAUSED_MS &&
		 (conn->state == CONN_PEEK || conn->state == CONN_HANDSHAKE ||
			 conn->state == CONN_IDLE))
		conn_close(conn, CLOSE_made_room);
}

static void look_on(struct task *task)
{
	struct overload_look *look = container_of(task, struct overload_look, task);
	struct proxy_worker *worker = container_of(look, struct proxy_worker, shedding);
	struct conn *conn;
	int n;

	for (n = 0; n < LOOKS_PER_TURN; n++) {
		conn = worker->overload ? conn_walk_next(&look->walk) : NULL;
		if (!conn) {
			conn_walk_end(&look->walk);
			look->is_walking = false;
			return;
		}
		look_at(conn, worker->overload);
	}
	loop_post(worker->io.loop, task);
}

void overload_turn(struct proxy_worker *worker)
{
	struct overload_look *look = &worker->shedding;
	uint64_t now_ms = loop_now_ms(worker->io.loop);

	worker->overload = atomic_load_explicit(&worker->node->overload, memory_order_relaxed);
	if (!worker->overload || look->is_walking || now_ms - look->began_ms < LOOK_MS)
		return;
	look->began_ms = now_ms;
	look->is_walking = true;
	/* Without clients nobody else would end these: the level could not fall. */
	upstream_trim(worker, worker->overload >= OVERLOAD_PAUSED ? 0 : WAIT_SHORT_MS);
	conn_walk_begin(&look->walk, worker);
	loop_post(worker->io.loop, &look->task);
}

void overload_init(struct proxy_worker *worker)
{
	worker->shedding.task.run = look_on;
}

void overload_fini(struct proxy_worker *worker)
{
	task_cancel(&worker->shedding.task);
	if (worker->shedding.is_walking)
		conn_walk_end(&worker->shedding.walk);
	worker->shedding.is_walking = false;
}
