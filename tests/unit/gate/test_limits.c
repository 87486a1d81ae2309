/* Token buckets in user space: exact for one key, whatever the number of threads; independent of
 * what other keys do. Time is the test's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/limits.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

enum { SECOND_US = 1000000 };

static const uint64_t start_us = 5000000000ull;

static int setup(void **state)
{
	*state = gate_limits_new();
	return 0;
}

static int teardown(void **state)
{
	gate_limits_free(*state);
	return 0;
}

static bool charge(struct gate_limits *limits, const struct gate_limit *limit, const char *key,
	uint64_t now_us)
{
	return gate_limits_charge(limits, limit, GATE_LIMIT_SOURCE, 1, key, strlen(key), now_us);
}

/* How many of `n` are granted at one point in time. */
static uint32_t granted(struct gate_limits *limits, const struct gate_limit *limit, const char *key,
	uint64_t now_us, uint32_t n)
{
	uint32_t got = 0;

	while (n--)
		got += charge(limits, limit, key, now_us);
	return got;
}

static void test_burst_and_rate(void **state)
{
	struct gate_limit limit = {.rate_per_s = 10, .burst = 25};
	struct gate_limits *limits = *state;
	uint64_t now_us = start_us;

	assert_int_equal(granted(limits, &limit, "a", now_us, 100), 25);
	assert_false(charge(limits, &limit, "a", now_us + 99000));
	assert_int_equal(granted(limits, &limit, "a", now_us + 100000, 5), 1);
	/* what is not used is saved, up to the burst */
	assert_int_equal(granted(limits, &limit, "a", now_us + 1100000, 100), 10);
	assert_int_equal(granted(limits, &limit, "a", now_us + 3600ull * SECOND_US, 100), 25);
	assert_int_equal(granted(limits, &limit, "b", now_us, 100), 25);
}

static void test_burst_of_one_second(void **state)
{
	struct gate_limit limit = {.rate_per_s = 7};

	assert_int_equal(granted(*state, &limit, "a", start_us, 100), 7);
	assert_int_equal(granted(*state, &limit, "a", start_us + SECOND_US, 100), 7);
}

static void test_no_limit(void **state)
{
	struct gate_limit limit = {.burst = 1};

	assert_int_equal(granted(*state, &limit, "a", start_us, 100000), 100000);
}

/* Rates that are no whole number of microseconds apart; the extremes. */
static void test_odd_rates(void **state)
{
	static const uint32_t rates[] = {3, 7, 999, 700001, 3000000};
	struct gate_limits *limits = *state;
	struct gate_limit limit = {.burst = 100};
	uint64_t now_us = start_us, got, wanted, until_us;
	uint32_t i, step_us;

	for (i = 0; i < sizeof(rates) / sizeof(*rates); i++) {
		limit.rate_per_s = rates[i];
		step_us = rates[i] < 1000 ? 10000 : 1;
		until_us = now_us + step_us * 100000ull;
		for (got = 0; now_us < until_us; now_us += step_us)
			got += granted(limits, &limit, "odd", now_us, 60);
		wanted = (uint64_t)rates[i] * step_us / 10 + limit.burst;
		assert_in_range(got, wanted - wanted / 1000 - 60, wanted + wanted / 1000);
		now_us += SECOND_US * 1000;
	}
	limit = (struct gate_limit){.rate_per_s = UINT32_MAX, .burst = UINT32_MAX};
	assert_int_equal(granted(limits, &limit, "a", start_us, 1000), 1000);
	limit = (struct gate_limit){.rate_per_s = 1, .burst = UINT32_MAX};
	assert_int_equal(granted(limits, &limit, "b", start_us, 1000), 1000);
	limit = (struct gate_limit){.rate_per_s = 1, .burst = 1};
	assert_int_equal(granted(limits, &limit, "c", start_us, 1000), 1);
}

static void test_a_change_takes_effect(void **state)
{
	struct gate_limit limit = {.rate_per_s = 1, .burst = 50};
	struct gate_limits *limits = *state;

	assert_int_equal(granted(limits, &limit, "a", start_us, 100), 50);
	limit.generation++;
	limit.burst = 5;
	assert_int_equal(granted(limits, &limit, "a", start_us, 100), 5);
	limit.generation++;
	limit.burst = 80;
	assert_int_equal(granted(limits, &limit, "a", start_us, 100), 80);
}

/* Equal bytes of another kind, another listener, another length: another bucket. */
static void test_keys_are_apart(void **state)
{
	struct gate_limit limit = {.rate_per_s = 1, .burst = 1};
	struct gate_limits *limits = *state;
	uint32_t kind, scope;

	for (kind = GATE_LIMIT_SOURCE; kind <= GATE_LIMIT_JA4; kind++)
		for (scope = 1; scope < 4; scope++) {
			assert_true(
				gate_limits_charge(limits, &limit, kind, scope, "aa", 2, start_us));
			assert_false(
				gate_limits_charge(limits, &limit, kind, scope, "aa", 2, start_us));
			assert_true(
				gate_limits_charge(limits, &limit, kind, scope, "a", 1, start_us));
			assert_true(
				gate_limits_charge(limits, &limit, kind, scope, NULL, 0, start_us));
			assert_false(
				gate_limits_charge(limits, &limit, kind, scope, "", 0, start_us));
		}
}

/* Ten thousand keys far over their limit; others still get theirs, but for a few whose two rows
 * are both shared. */
static void test_loud_neighbours(void **state)
{
	struct gate_limit limit = {.rate_per_s = 1, .burst = 10};
	struct gate_limits *limits = *state;
	uint32_t i, hurt = 0, loud = 0;
	char key[16];

	for (i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "loud %u", i);
		loud += granted(limits, &limit, key, start_us, 30);
	}
	/* none of them gets more than its own */
	assert_in_range(loud, 10000 * 10 * 98 / 100, 10000 * 10);
	for (i = 0; i < 10000; i++) {
		snprintf(key, sizeof(key), "quiet %u", i);
		hurt += granted(limits, &limit, key, start_us, 10) != 10;
	}
	assert_in_range(hurt, 0, 150);
}

/* --- several threads, one key */
struct runner {
	pthread_t thread;
	struct gate_limits *limits;
	const struct gate_limit *limit;
	uint32_t n, granted;
};

static _Atomic uint32_t began;

static void *run(void *arg)
{
	struct runner *runner = arg;
	uint64_t now_us = start_us;
	uint32_t i;

	atomic_fetch_add(&began, 1);
	while (atomic_load(&began) < 2)
		;
	for (i = 0; i < runner->n; i++)
		runner->granted += charge(runner->limits, runner->limit, "one", now_us);
	return NULL;
}

static void test_two_threads(void **state)
{
	struct gate_limit limit = {.rate_per_s = 1000000, .burst = 150000};
	struct runner runners[2];
	int round, i;

	for (round = 0; round < 5; round++) {
		limit.generation++;
		atomic_store(&began, 0);
		for (i = 0; i < 2; i++) {
			runners[i] =
				(struct runner){.limits = *state, .limit = &limit, .n = 100000};
			assert_int_equal(
				pthread_create(&runners[i].thread, NULL, run, &runners[i]), 0);
		}
		for (i = 0; i < 2; i++)
			pthread_join(runners[i].thread, NULL);
		assert_int_equal(runners[0].granted + runners[1].granted, 150000);
	}
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_burst_and_rate),
		CASE(test_burst_of_one_second),
		CASE(test_no_limit),
		CASE(test_odd_rates),
		CASE(test_a_change_takes_effect),
		CASE(test_keys_are_apart),
		CASE(test_loud_neighbours),
		CASE(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
