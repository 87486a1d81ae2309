/* The event loop: order of work in a turn, tasks, closing during a turn, timers, waking. */
#include "core/clock.h"
#include "core/loop.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

enum { TRACE_BYTES = 64 };

static struct loop *loop;
static char trace[TRACE_BYTES]; /* one letter for each thing that happened */

static void note(char what)
{
	size_t len = strlen(trace);

	assert_true(len + 1 < sizeof(trace));
	trace[len] = what;
	trace[len + 1] = '\0';
}

static int setup(void **state)
{
	trace[0] = '\0';
	return loop_new(&loop);
}

static int teardown(void **state)
{
	loop_free(loop);
	loop = NULL;
	return 0;
}

/* A task that leaves its letter, may post or defer another, or stops the loop. */
struct step {
	struct task task;
	char letter;
	struct step *post, *defer, *cancel;
	bool stop;
};

static void step_run(struct task *task)
{
	struct step *step = container_of(task, struct step, task);

	note(step->letter);
	if (step->post)
		loop_post(loop, &step->post->task);
	if (step->defer)
		loop_defer(loop, &step->defer->task);
	if (step->cancel)
		task_cancel(&step->cancel->task);
	if (step->stop)
		loop_stop(loop);
}

static void turn_end(void *arg)
{
	note('|');
}

static void count_turns(void)
{
	loop_hooks_set(loop, &(struct loop_hooks){.turn_end = turn_end});
}

#define STEP(name, ...) struct step name = {.task.run = step_run, __VA_ARGS__}

static void test_tasks_in_order_of_posting(void **state)
{
	STEP(a, .letter = 'a');
	STEP(b, .letter = 'b');
	STEP(c, .letter = 'c', .stop = true);

	count_turns();
	loop_post(loop, &a.task);
	loop_post(loop, &b.task);
	loop_post(loop, &a.task); /* is queued: nothing happens */
	loop_post(loop, &c.task);
	loop_run(loop);
	assert_string_equal(trace, "abc|");
}

/* What a posted task posts runs in the turn after, without waiting; deferred work ends the turn. */
static void test_post_and_defer(void **state)
{
	STEP(last, .letter = 'z', .stop = true);
	STEP(end, .letter = 'e', .post = &last);
	STEP(next, .letter = 'n');
	STEP(first, .letter = 'f', .post = &next, .defer = &end);

	count_turns();
	loop_post(loop, &first.task);
	loop_run(loop);
	assert_string_equal(trace, "f|enz|");
}

static void test_task_posts_itself(void **state)
{
	STEP(stop, .letter = 's', .stop = true);
	STEP(again, .letter = 'a');
	STEP(third, .letter = '3', .post = &stop);

	again.post = &third;
	loop_post(loop, &again.task);
	count_turns();
	loop_run(loop);
	assert_string_equal(trace, "a|3|s|");
}

/* Cancelled before, and by a task that runs just before it in the same turn. */
static void test_cancel(void **state)
{
	STEP(gone, .letter = 'x');
	STEP(victim, .letter = 'v');
	STEP(a, .letter = 'a', .cancel = &victim);
	STEP(b, .letter = 'b', .stop = true);

	loop_post(loop, &gone.task);
	loop_post(loop, &a.task);
	loop_post(loop, &victim.task);
	loop_post(loop, &b.task);
	task_cancel(&gone.task);
	task_cancel(&gone.task);
	loop_run(loop);
	assert_string_equal(trace, "ab");
	loop_post(loop, &victim.task);
	loop_post(loop, &b.task);
	loop_run(loop);
	assert_string_equal(trace, "abvb");
}

/* Deferred work that is left when the loop goes is done then: it frees memory. */
static void test_deferred_work_is_done_by_free(void **state)
{
	STEP(second, .letter = '2');
	STEP(first, .letter = '1', .defer = &second);

	loop_defer(loop, &first.task);
	loop_free(loop);
	assert_string_equal(trace, "12");
	assert_int_equal(loop_new(&loop), 0);
}

/* --- descriptors */

struct end {
	struct watch watch;
	struct task free_task;
	struct end *other; /* closed when this one is ready */
	uint32_t events;
};

static uint32_t freed;

static void end_free(struct task *task)
{
	free(container_of(task, struct end, free_task));
	freed++;
}

static void end_close(struct end *end)
{
	loop_close(loop, &end->watch);
	loop_defer(loop, &end->free_task);
}

static void end_ready(struct watch *watch, uint32_t events)
{
	struct end *end = container_of(watch, struct end, watch);

	note('r');
	end->other->other = NULL;
	end_close(end->other);
	end_close(end);
	loop_stop(loop);
}

static struct end *end_new(int fd, void (*ready)(struct watch *, uint32_t))
{
	struct end *end = calloc(1, sizeof(*end));

	assert_non_null(end);
	end->watch = (struct watch){.fd = fd, .ready = ready};
	end->free_task.run = end_free;
	return end;
}

/* Both are ready in one turn; whoever comes first closes both: the other is not called. */
static void test_close_another_in_the_same_turn(void **state)
{
	int pair[2];
	struct end *a, *b;

	freed = 0;
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	assert_int_equal(write(pair[0], "x", 1), 1);
	assert_int_equal(write(pair[1], "x", 1), 1);
	a = end_new(pair[0], end_ready);
	b = end_new(pair[1], end_ready);
	a->other = b;
	b->other = a;
	assert_int_equal(loop_add(loop, &a->watch), 0);
	assert_int_equal(loop_add(loop, &b->watch), 0);
	loop_run(loop);
	assert_string_equal(trace, "r");
	assert_int_equal(freed, 2);
}

static void note_event(struct watch *watch, uint32_t events)
{
	note('e');
}

/* Somebody else has the file, too: its events must not find what has the owner's memory now. */
static void test_closed_but_open_elsewhere(void **state)
{
	struct step last = {.task.run = step_run, .letter = 's', .stop = true};
	struct watch watch = {.ready = note_event};
	int pair[2], elsewhere;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	elsewhere = dup(pair[0]);
	watch.fd = pair[0];
	assert_int_equal(loop_add(loop, &watch), 0);
	loop_close(loop, &watch);
	assert_int_equal(watch.fd, -1);
	watch.ready = note_event;
	assert_int_equal(send(pair[1], "x", 1, 0), 1);
	loop_post(loop, &last.task);
	loop_run(loop);
	assert_string_equal(trace, "s");
	close(elsewhere);
	close(pair[1]);
}

static void end_note(struct watch *watch, uint32_t events)
{
	struct end *end = container_of(watch, struct end, watch);

	end->events |= events;
	loop_stop(loop);
}

/* Edge triggered: told once about room to write, then about bytes, then about the end. */
static void test_edges(void **state)
{
	int pair[2];
	struct end *end;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	end = end_new(pair[0], end_note);
	assert_int_equal(loop_add(loop, &end->watch), 0);
	loop_run(loop);
	assert_int_equal(end->events, EPOLLOUT);
	end->events = 0;
	assert_int_equal(write(pair[1], "x", 1), 1);
	loop_run(loop);
	assert_int_equal(end->events & (EPOLLIN | EPOLLRDHUP), EPOLLIN);
	end->events = 0;
	assert_int_equal(shutdown(pair[1], SHUT_WR), 0);
	loop_run(loop);
	assert_int_equal(end->events & EPOLLRDHUP, EPOLLRDHUP);
	assert_int_equal(loop_add(loop, &end->watch), -EEXIST);
	loop_del(loop, &end->watch);
	close(pair[0]);
	close(pair[1]);
	free(end);
}

/* Level triggered, for listening sockets: told again while there is something. */
static void test_level(void **state)
{
	int pair[2], i;
	struct end *end;

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, pair), 0);
	end = end_new(pair[0], end_note);
	assert_int_equal(write(pair[1], "x", 1), 1);
	assert_int_equal(loop_add_level(loop, &end->watch), 0);
	for (i = 0; i < 3; i++) {
		end->events = 0;
		loop_run(loop);
		assert_int_equal(end->events, EPOLLIN);
	}
	loop_del(loop, &end->watch);
	close(pair[0]);
	close(pair[1]);
	free(end);
}

/* --- time */

struct alarm {
	struct timer timer;
	uint64_t fired_us;
	uint32_t left; /* times to set it again */
};

static void alarm_fire(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);

	alarm->fired_us = clock_mono_us();
	if (alarm->left--)
		timer_set(loop, timer, 10);
	else
		loop_stop(loop);
}

static void test_timer_is_never_early(void **state)
{
	struct alarm alarm = {.timer.fire = alarm_fire};
	uint64_t start_us;
	uint32_t after_ms;

	for (after_ms = 0; after_ms < 40; after_ms += 3) {
		start_us = loop_now_us(loop);
		alarm.left = 0;
		timer_set(loop, &alarm.timer, after_ms);
		loop_run(loop);
		assert_true(alarm.fired_us - start_us >= (uint64_t)after_ms * 1000);
		assert_false(timer_is_set(&alarm.timer));
	}
	start_us = loop_now_us(loop);
	alarm.left = 9;
	timer_set(loop, &alarm.timer, 10);
	loop_run(loop);
	assert_true(alarm.fired_us - start_us >= 10 * 10000);
}

static void *stop_it(void *arg)
{
	loop_stop(arg);
	return NULL;
}

/* A loop without anything to do waits; another thread can end that. */
static void test_stop_from_another_thread(void **state)
{
	pthread_t thread;

	assert_int_equal(pthread_create(&thread, NULL, stop_it, loop), 0);
	loop_run(loop);
	assert_int_equal(pthread_join(thread, NULL), 0);
	/* a stop before the run is not lost */
	loop_stop(loop);
	loop_run(loop);
}

static void before_wait(void *arg)
{
	note('b');
}

static void after_wait(void *arg)
{
	note('a');
	if (strlen(trace) > 7)
		loop_stop(loop);
}

static void test_hooks_and_max_wait(void **state)
{
	uint64_t start_ms = clock_mono_ms();

	loop_hooks_set(loop, &(struct loop_hooks){.before_wait = before_wait,
				     .after_wait = after_wait,
				     .turn_end = turn_end,
				     .max_wait_ms = 5});
	loop_run(loop);
	assert_string_equal(trace, "ba|ba|ba|");
	assert_true(clock_mono_ms() - start_ms >= 3);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(test_tasks_in_order_of_posting),
		TEST(test_post_and_defer),
		TEST(test_task_posts_itself),
		TEST(test_cancel),
		TEST(test_deferred_work_is_done_by_free),
		TEST(test_close_another_in_the_same_turn),
		TEST(test_closed_but_open_elsewhere),
		TEST(test_edges),
		TEST(test_level),
		TEST(test_timer_is_never_early),
		TEST(test_stop_from_another_thread),
		TEST(test_hooks_and_max_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
