/*
 * The event loop: one per thread (each worker, the control thread, the loader thread). Edge
 * triggered epoll, a timer wheel, work for the next turn, and frees at the end of a turn.
 * Everything here may be called by the loop's own thread only, except loop_wake() and
 * loop_stop(), which any thread (and a signal handler) may call.
 */
#ifndef SLUICE_CORE_LOOP_H
#define SLUICE_CORE_LOOP_H

#include "core/attr.h"
#include "core/list.h"
#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

struct loop;

/* A file descriptor in the loop; embedded in its owner, who closes the descriptor. */
struct watch {
	int fd;
	/* `events`: EPOLLIN, EPOLLPRI, EPOLLOUT, EPOLLRDHUP, EPOLLHUP, EPOLLERR. Edge triggered: act until
	 * the system call says EAGAIN. */
	void (*ready)(struct watch *watch, uint32_t events);
};

/* A time-out; embedded in its owner. Zero-initialised is "not set". Setting one that is set to a
 * later time costs two stores: it stays where it is linked and moves on when that slot comes up. */
struct timer {
	struct timer *prev, *next; /* NULL: not linked */
	uint64_t due_mono_ms; /* when to fire; 0: not set */
	uint64_t slot_mono_ms; /* when the slot it is linked in comes up */
	void (*fire)(struct timer *timer);
};

/* Work for the end of this turn or for the next turn; embedded in its owner; run once per post. */
struct task {
	struct list link; /* not linked: not posted */
	void (*run)(struct task *task);
};

struct loop_hooks {
	void (*before_wait)(void *arg); /* may be NULL; last thing before epoll_wait */
	void (*after_wait)(void *arg); /* may be NULL; first thing after it */
	void (*turn_end)(void *arg); /* may be NULL; after events, timers, before frees */
	void *arg;
	uint32_t max_wait_ms; /* 0: as long as the timers allow */
};

int loop_new(struct loop **ret_loop) must_check;
void loop_free(struct loop *loop);
void loop_hooks_set(struct loop *loop, const struct loop_hooks *hooks);

/* Runs until loop_stop(). */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);
void loop_wake(struct loop *loop);

/* The monotonic clock, milliseconds and microseconds, as of this turn. */
uint64_t loop_now_ms(const struct loop *loop);
uint64_t loop_now_us(const struct loop *loop);

/* Registers for EPOLLIN | EPOLLOUT | EPOLLRDHUP, edge triggered. 0 or -errno. */
int loop_add(struct loop *loop, struct watch *watch) must_check;
/* Level triggered EPOLLIN (listening sockets, event descriptors, signals). */
int loop_add_level(struct loop *loop, struct watch *watch) must_check;
void loop_del(struct loop *loop, struct watch *watch);
/* Takes the descriptor out and closes it. close() alone would leave it in as long as somebody else has
 * the file, be it a reader of /proc/PID/fd, and its events would find memory that was freed. The
 * owner's memory must live until the end of the turn (loop_defer). */
void loop_close(struct loop *loop, struct watch *watch);

/* Fires once, not before `after_ms` from the start of this turn, late by the wheel's grain (8 ms)
 * and a turn at most. */
void timer_set(struct loop *loop, struct timer *timer, uint32_t after_ms);
void timer_clear(struct timer *timer);

static inline bool timer_is_set(const struct timer *timer)
{
	return timer->due_mono_ms != 0;
}

/* In the next turn, which then does not wait. Posting a queued task again does nothing. */
void loop_post(struct loop *loop, struct task *task);
/* At the end of this turn, after every event was handled: where memory is freed. */
void loop_defer(struct loop *loop, struct task *task);

/* Takes back what was posted or deferred, if it has not run yet. */
static inline void task_cancel(struct task *task)
{
	list_del(&task->link);
}

#endif
