/* The loader thread: jobs there and back, in order; the end; log lines, also those that are lost. */
#include "control/loader.h"
#include "core/log.h"

#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { JOBS = 200, LINES = 20000 };

struct numbered {
	struct job job;
	int number;
};

static struct loop *loop;
static struct loader *loader;
static struct numbered jobs[JOBS];
static pthread_t control;
static int n_run, n_done, stop_at;
static bool on_control, out_of_order;
static sem_t gate;

static int setup(void **state)
{
	n_run = n_done = 0;
	on_control = out_of_order = false;
	control = pthread_self();
	sem_init(&gate, 0, 0);
	assert_int_equal(loop_new(&loop), 0);
	return 0;
}

static int teardown(void **state)
{
	loop_free(loop);
	sem_destroy(&gate);
	return 0;
}

static void run(struct job *job)
{
	on_control |= pthread_equal(pthread_self(), control);
	out_of_order |= container_of(job, struct numbered, job)->number != n_run++;
}

static void done(struct job *job)
{
	assert_true(pthread_equal(pthread_self(), control));
	assert_int_equal(container_of(job, struct numbered, job)->number, n_done);
	if (++n_done == stop_at)
		loop_stop(loop);
}

static void submit(int n)
{
	int i;

	for (i = 0; i < n; i++) {
		jobs[i] = (struct numbered){.job = {.run = run, .done = done}, .number = i};
		loader_submit(loader, &jobs[i].job);
	}
}

static void test_jobs_there_and_back(void **state)
{
	assert_int_equal(loader_new(loop, "test-loader", true, &loader), 0);
	stop_at = JOBS;
	submit(JOBS);
	loop_run(loop);
	assert_int_equal(n_done, JOBS);
	loader_free(loader);
	assert_int_equal(n_run, JOBS);
	assert_false(out_of_order);
	assert_false(on_control);
}

/* As a reload that was asked for again while it ran. */
static void submit_next(struct job *job)
{
	int next = container_of(job, struct numbered, job)->number + 1;

	done(job);
	if (next == 5)
		return;
	jobs[next] = (struct numbered){.job = {.run = run, .done = submit_next}, .number = next};
	loader_submit(loader, &jobs[next].job);
}

static void test_done_may_submit(void **state)
{
	assert_int_equal(loader_new(loop, "test-loader", true, &loader), 0);
	stop_at = 5;
	jobs[0] = (struct numbered){.job = {.run = run, .done = submit_next}};
	loader_submit(loader, &jobs[0].job);
	loop_run(loop);
	assert_int_equal(n_run, 5);
	loader_free(loader);
	assert_false(out_of_order);
}

/* Whatever was handed in is done, although the control loop does not turn any more. */
static void test_free_finishes_all(void **state)
{
	assert_int_equal(loader_new(loop, "test-loader", true, &loader), 0);
	stop_at = 0;
	submit(JOBS);
	loader_free(loader);
	assert_int_equal(n_run, JOBS);
	assert_int_equal(n_done, JOBS);
	assert_false(out_of_order);
	loader_free(NULL);
}

static void wait_at_gate(struct job *job)
{
	sem_wait(&gate);
}

/* stderr is a pipe; the loader is busy while more lines come than the ring holds. */
static void test_lost_lines_are_reported(void **state)
{
	static char text[LINES * 64];
	struct job busy = {.run = wait_at_gate};
	int ends[2], before = dup(STDERR_FILENO), i;
	size_t len = 0;
	ssize_t got;
	char *note;
	unsigned long long lost;

	assert_int_equal(pipe(ends), 0);
	assert_true(dup2(ends[1], STDERR_FILENO) >= 0);
	close(ends[1]);
	assert_int_equal(log_start(), 0);
	assert_int_equal(loader_new(loop, "test-loader", true, &loader), 0);
	loader_submit(loader, &busy);
	for (i = 0; i < LINES; i++)
		log_write(LOG_LEVEL_INFO, "test", "line");
	lost = log_dropped();
	assert_in_range(lost, 1, LINES - 1);
	sem_post(&gate);
	do {
		got = read(ends[0], text + len, sizeof(text) - 1 - len);
		assert_true(got > 0);
		len += (size_t)got;
		text[len] = '\0';
		note = strstr(text, " lines were lost");
	} while (!note || !strchr(note, '\n'));
	while (note[-1] != ' ')
		note--;
	assert_int_equal(strtoull(note, NULL, 10), lost);
	loader_free(loader);
	log_stop();
	dup2(before, STDERR_FILENO);
	close(before);
	close(ends[0]);
}

/* Whoever hangs in a job is left alone. */
static void test_end_is_not_waited_for(void **state)
{
	struct job empty = {.run = wait_at_gate};

	assert_int_equal(loader_new(loop, "test-loader", false, &loader), 0);
	loader_submit(loader, &empty);
	assert_false(loader_free_within(loader, 20));
	sem_post(&gate);
	assert_true(loader_free_within(loader, 10 * 1000));
	assert_true(loader_free_within(NULL, 1));
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_jobs_there_and_back),
		CASE(test_done_may_submit),
		CASE(test_free_finishes_all),
		CASE(test_lost_lines_are_reported),
		CASE(test_end_is_not_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
