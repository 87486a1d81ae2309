/* Refused first flights for whoever watches: a bounded ring between two threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/events.h"
#include <pthread.h>

static int setup(void **state)
{
	*state = gate_events_new();
	return 0;
}

static int teardown(void **state)
{
	gate_events_free(*state);
	return 0;
}

static struct gate_event event(int64_t n)
{
	struct gate_event made = {.at_unix_us = n, .reason = GATE_name_unknown};

	snprintf(made.server_name, sizeof(made.server_name), "n%lld.test", (long long)n);
	return made;
}

static void put(struct gate_events *events, int64_t n)
{
	struct gate_event made = event(n);

	gate_events_put(events, &made);
}

static void expect(struct gate_events *events, int64_t n)
{
	struct gate_event wanted = event(n), got;

	assert_true(gate_events_take(events, &got));
	assert_int_equal(got.at_unix_us, wanted.at_unix_us);
	assert_int_equal(got.reason, wanted.reason);
	assert_string_equal(got.server_name, wanted.server_name);
}

static void test_order(void **state)
{
	struct gate_event got;

	assert_false(gate_events_take(*state, &got));
	gate_events_watch(*state, true);
	put(*state, 1);
	put(*state, 2);
	expect(*state, 1);
	put(*state, 3);
	expect(*state, 2);
	expect(*state, 3);
	assert_false(gate_events_take(*state, &got));
}

/* Nothing is kept while nobody watches, and what a watcher left is not shown to the next. */
static void test_nobody_watches(void **state)
{
	struct gate_event got;

	put(*state, 1);
	assert_false(gate_events_wanted(*state));
	gate_events_watch(*state, true);
	assert_true(gate_events_wanted(*state));
	assert_false(gate_events_take(*state, &got));
	put(*state, 2);
	gate_events_watch(*state, true); /* a second watcher takes nothing away */
	expect(*state, 2);
	put(*state, 3);
	gate_events_watch(*state, false);
	put(*state, 4);
	gate_events_watch(*state, true);
	assert_false(gate_events_take(*state, &got));
	assert_int_equal(gate_events_lost(*state), 0);
}

static void test_full(void **state)
{
	struct gate_event got;
	int64_t n;

	gate_events_watch(*state, true);
	for (n = 0; n < GATE_EVENTS_MAX + 7; n++)
		put(*state, n);
	assert_int_equal(gate_events_lost(*state), 7);
	for (n = 0; n < GATE_EVENTS_MAX; n++)
		expect(*state, n);
	assert_false(gate_events_take(*state, &got));
}

enum { TURNS = 200000 };

static void *put_all(void *arg)
{
	int64_t n;

	for (n = 1; n <= TURNS; n++)
		put(arg, n);
	return NULL;
}

static void test_two_threads(void **state)
{
	struct gate_event got, wanted;
	uint64_t n = 0;
	int64_t last = 0;
	pthread_t thread;

	gate_events_watch(*state, true);
	assert_int_equal(pthread_create(&thread, NULL, put_all, *state), 0);
	while (n + gate_events_lost(*state) < TURNS) {
		if (!gate_events_take(*state, &got))
			continue;
		wanted = event(got.at_unix_us);
		assert_string_equal(got.server_name, wanted.server_name);
		assert_true(got.at_unix_us > last);
		last = got.at_unix_us;
		n++;
	}
	pthread_join(thread, NULL);
	assert_true(n >= GATE_EVENTS_MAX);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_order),
		CASE(test_nobody_watches),
		CASE(test_full),
		CASE(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
