/* The event loop: see loop.h. The timer wheel is in wheel.c. */
#include "core/loop.h"
#include "core/clock.h"
#include "core/mem.h"
#include "core/wheel.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { EVENTS_PER_TURN = 256 };

struct loop {
	int epoll_fd;
	struct watch wake; /* eventfd */
	atomic_bool stopping;
	struct loop_hooks hooks;
	uint64_t now_us;
	struct wheel *wheel;
	struct list next_turn, turn_end; /* struct task */
	struct epoll_event events[EVENTS_PER_TURN];
};

static void tasks_add(struct list *tasks, struct task *task)
{
	if (!list_is_linked(&task->link))
		list_add_tail(tasks, &task->link);
}

/* Runs what is on the list now; what the tasks add stays for the next call. */
static void tasks_run(struct list *tasks)
{
	struct list now;
	struct task *task;

	if (list_is_empty(tasks))
		return;
	now = *tasks;
	now.next->prev = now.prev->next = &now;
	list_init(tasks);
	while (!list_is_empty(&now)) {
		task = container_of(now.next, struct task, link);
		list_del(&task->link);
		task->run(task);
	}
}

static void woken(struct watch *watch, uint32_t events)
{
	uint64_t count;

	if (read(watch->fd, &count, sizeof(count)) < 0)
		return; /* EAGAIN: another wake has been taken with this one */
}

int loop_new(struct loop **ret_loop)
{
	struct loop *loop = mem_zalloc(sizeof(*loop));
	int r;

	list_init(&loop->next_turn);
	list_init(&loop->turn_end);
	loop->now_us = clock_mono_us();
	loop->wake = (struct watch){.fd = -1, .ready = woken};
	loop->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (loop->epoll_fd < 0) {
		r = -errno;
		goto fail_loop;
	}
	loop->wake.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (loop->wake.fd < 0) {
		r = -errno;
		goto fail_epoll;
	}
	r = loop_add_level(loop, &loop->wake);
	if (r < 0)
		goto fail_wake;
	loop->wheel = wheel_new(loop_now_ms(loop));
	*ret_loop = loop;
	return 0;

fail_wake:
	close(loop->wake.fd);
fail_epoll:
	close(loop->epoll_fd);
fail_loop:
	free(loop);
	return r;
}

void loop_free(struct loop *loop)
{
	if (!loop)
		return;
	while (!list_is_empty(&loop->turn_end))
		tasks_run(&loop->turn_end);
	wheel_free(loop->wheel);
	close(loop->wake.fd);
	close(loop->epoll_fd);
	free(loop);
}

void loop_hooks_set(struct loop *loop, const struct loop_hooks *hooks)
{
	loop->hooks = *hooks;
}

uint64_t loop_now_ms(const struct loop *loop)
{
	return loop->now_us / 1000;
}

uint64_t loop_now_us(const struct loop *loop)
{
	return loop->now_us;
}

static int add(struct loop *loop, struct watch *watch, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watch};

	return epoll_ctl(loop->epoll_fd, EPOLL_CTL_ADD, watch->fd, &event) < 0 ? -errno : 0;
}

int loop_add(struct loop *loop, struct watch *watch)
{
	return add(loop, watch, EPOLLIN | EPOLLPRI | EPOLLOUT | EPOLLRDHUP | EPOLLET);
}

int loop_add_level(struct loop *loop, struct watch *watch)
{
	return add(loop, watch, EPOLLIN);
}

void loop_del(struct loop *loop, struct watch *watch)
{
	epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, watch->fd, NULL);
	watch->ready = NULL;
}

void loop_close(struct loop *loop, struct watch *watch)
{
	loop_del(loop, watch);
	close(watch->fd);
	watch->fd = -1;
}

void timer_set(struct loop *loop, struct timer *timer, uint32_t after_ms)
{
	/* Rounded up: part of this millisecond has passed. */
	wheel_set(loop->wheel, timer, (loop->now_us + 999) / 1000 + after_ms);
}

void loop_post(struct loop *loop, struct task *task)
{
	tasks_add(&loop->next_turn, task);
}

void loop_defer(struct loop *loop, struct task *task)
{
	tasks_add(&loop->turn_end, task);
}

void loop_wake(struct loop *loop)
{
	uint64_t one = 1;

	if (write(loop->wake.fd, &one, sizeof(one)) < 0)
		return; /* EAGAIN: the counter is full, so the loop is awake */
}

void loop_stop(struct loop *loop)
{
	atomic_store(&loop->stopping, true);
	loop_wake(loop);
}

static int wait_ms(struct loop *loop)
{
	uint32_t wait = wheel_next_ms(loop->wheel, loop_now_ms(loop));

	if (!list_is_empty(&loop->next_turn))
		return 0;
	if (loop->hooks.max_wait_ms && wait > loop->hooks.max_wait_ms)
		wait = loop->hooks.max_wait_ms;
	return (int)wait;
}

static void turn(struct loop *loop)
{
	const struct loop_hooks *hooks = &loop->hooks;
	struct watch *watch;
	int n, i;

	if (hooks->before_wait)
		hooks->before_wait(hooks->arg);
	n = epoll_wait(loop->epoll_fd, loop->events, EVENTS_PER_TURN, wait_ms(loop));
	loop->now_us = clock_mono_us();
	if (hooks->after_wait)
		hooks->after_wait(hooks->arg);
	tasks_run(&loop->next_turn);
	for (i = 0; i < n; i++) {
		watch = loop->events[i].data.ptr;
		/* Cleared when an earlier event of this turn closed its owner. */
		if (watch->ready)
			watch->ready(watch, loop->events[i].events);
	}
	wheel_advance(loop->wheel, loop_now_ms(loop));
	if (hooks->turn_end)
		hooks->turn_end(hooks->arg);
	tasks_run(&loop->turn_end);
}

void loop_run(struct loop *loop)
{
	while (!atomic_load_explicit(&loop->stopping, memory_order_relaxed))
		turn(loop);
	atomic_store(&loop->stopping, false);
}
