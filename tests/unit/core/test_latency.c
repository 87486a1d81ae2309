/* Histograms of durations: which bucket is whose. */
#include "core/latency.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <cmocka.h>

static void buckets_have_what_is_up_to_their_bound(void **state)
{
	uint32_t i;

	assert_int_equal(latency_bucket(0), 0);
	assert_int_equal(latency_bucket(64), 0);
	assert_int_equal(latency_bucket(65), 1);
	for (i = 1; i < LATENCY_BOUNDS; i++) {
		assert_int_equal(latency_bound_us(i), 2 * latency_bound_us(i - 1));
		assert_int_equal(latency_bucket(latency_bound_us(i)), i);
		assert_int_equal(latency_bucket(latency_bound_us(i - 1) + 1), i);
	}
	assert_int_equal(latency_bucket(latency_bound_us(LATENCY_BOUNDS - 1) + 1), LATENCY_BOUNDS);
	assert_int_equal(latency_bucket(UINT64_MAX), LATENCY_BOUNDS);
}

static void sums(void **state)
{
	struct latency one = {0}, sum = {0};

	latency_note(&one, 10);
	latency_note(&one, 100000);
	latency_add(&sum, &one);
	latency_add(&sum, &one);
	assert_int_equal(sum.sum_us, 200020);
	assert_int_equal(sum.buckets[0], 2);
	assert_int_equal(sum.buckets[latency_bucket(100000)], 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(buckets_have_what_is_up_to_their_bound),
		cmocka_unit_test(sums),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
