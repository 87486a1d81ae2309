/* The thread for tokens: what is waited for, what is not, and what is given up. */
#include "tls/token_thread.h"

#include "core/clock.h"
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

/* Each is used once: ends are counted. */
struct job {
	struct token_task task;
	sem_t *waits_for; /* NULL: nothing */
	atomic_int runs, tells, ends;
};

static sem_t begun, released;

static void run(struct token_task *task)
{
	struct job *job = container_of(task, struct job, task);

	if (job->waits_for) {
		sem_post(&begun);
		sem_wait(job->waits_for);
	}
	atomic_fetch_add(&job->runs, 1);
}

static void tell(struct token_task *task)
{
	atomic_fetch_add(&container_of(task, struct job, task)->tells, 1);
}

static void end(struct token_task *task)
{
	atomic_fetch_add(&container_of(task, struct job, task)->ends, 1);
}

#define JOB(...) ((struct job){.task = {.run = run, .tell = tell, .end = end}, __VA_ARGS__})

static void expect_done(struct job *job)
{
	assert_int_equal(token_thread_do(&job->task), 0);
	assert_int_equal(atomic_load(&job->runs), 1);
	assert_int_equal(atomic_load(&job->ends), 0);
	token_thread_end(&job->task);
	assert_int_equal(atomic_load(&job->ends), 1);
}

static void test_waited_for(void **state)
{
	struct job first = JOB(), second = JOB();

	expect_done(&first);
	expect_done(&second);
	assert_false(token_thread_is_inside());
}

/* What is waited for goes before what nobody waits for. */
static void test_order(void **state)
{
	static struct job held, later;
	struct job first = JOB();

	held = JOB(.waits_for = &released);
	later = JOB();
	assert_int_equal(token_thread_begin(&held.task), 0);
	sem_wait(&begun);
	assert_int_equal(token_thread_begin(&later.task), 0);
	assert_true(token_thread_is_inside());
	assert_int_equal(atomic_load(&held.ends) + atomic_load(&later.runs), 0);
	sem_post(&released);
	expect_done(&first);
	first = JOB();
	expect_done(&first);
	while (!atomic_load(&later.ends))
		sched_yield();
	assert_int_equal(atomic_load(&held.tells) + atomic_load(&later.tells), 2);
}

static void test_held_up(void **state)
{
	static struct job held;
	struct job late = JOB(), at_once = JOB(), after = JOB();
	uint64_t began_ms;

	held = JOB(.waits_for = &released);
	assert_int_equal(token_thread_begin(&held.task), 0);
	sem_wait(&begun);
	began_ms = clock_mono_ms();
	assert_int_equal(token_thread_do(&late.task), -ETIMEDOUT);
	assert_in_range(
		clock_mono_ms() - began_ms, TOKEN_ANSWER_MS - 1000, TOKEN_ANSWER_MS + 30000);
	began_ms = clock_mono_ms();
	assert_int_equal(token_thread_do(&at_once.task), -ETIMEDOUT);
	assert_true(clock_mono_ms() - began_ms < TOKEN_ANSWER_MS / 2);
	sem_post(&released);
	while (token_thread_is_inside())
		sched_yield();
	expect_done(&after);
	assert_int_equal(atomic_load(&late.runs) + atomic_load(&at_once.runs), 0);
	assert_int_equal(atomic_load(&late.ends) + atomic_load(&at_once.ends), 2);
}

static void *stop(void *arg)
{
	sem_wait(&begun);
	token_thread_stop();
	return NULL;
}

/* The last: nothing begins after it. */
static void test_stop(void **state)
{
	static struct job held;
	struct job after = JOB();
	pthread_t thread;

	held = JOB(.waits_for = &released);
	assert_int_equal(pthread_create(&thread, NULL, stop, NULL), 0);
	assert_int_equal(token_thread_do(&held.task), -ECANCELED);
	pthread_join(thread, NULL);
	assert_true(token_thread_is_inside());
	assert_int_equal(atomic_load(&held.ends), 0);
	assert_int_equal(token_thread_do(&after.task), -ECANCELED);
	assert_int_equal(atomic_load(&after.ends), 1);
	sem_post(&released);
	while (!atomic_load(&held.ends))
		sched_yield();
	assert_int_equal(atomic_load(&held.tells), 0); /* the log may be over */
	assert_false(token_thread_is_inside());
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_waited_for),
		cmocka_unit_test(test_order),
		cmocka_unit_test(test_held_up),
		cmocka_unit_test(test_stop),
	};

	sem_init(&begun, 0, 0);
	sem_init(&released, 0, 0);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
