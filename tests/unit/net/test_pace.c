/* Pace: when a stream is given large blocks, and when no longer. */
#include "net/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static void test_begins_with_medium(void **state)
{
	struct pace pace = {0};

	assert_int_equal(pace_block_bytes(&pace), BUF_MEDIUM);
	pace_moved(&pace, PACE_TRUST_BYTES - 1, 10);
	assert_int_equal(pace_block_bytes(&pace), BUF_MEDIUM);
	pace_moved(&pace, 1, 10);
	assert_int_equal(pace_block_bytes(&pace), BUF_LARGE);
}

static void test_short_waits_are_forgiven(void **state)
{
	struct pace pace = {.trusted_bytes = PACE_TRUST_BYTES};

	pace_blocked(&pace, 1000);
	pace_moved(&pace, 1, 1000 + PACE_WAIT_MS);
	assert_int_equal(pace_block_bytes(&pace), BUF_LARGE);
}

/* The wait counts from its first refusal, however often it is tried meanwhile. */
static void test_long_wait_ends_trust(void **state)
{
	struct pace pace = {.trusted_bytes = PACE_TRUST_BYTES};

	pace_blocked(&pace, 1000);
	pace_blocked(&pace, 1000 + PACE_WAIT_MS);
	pace_moved(&pace, 1, 1000 + PACE_WAIT_MS + 1);
	assert_int_equal(pace_block_bytes(&pace), BUF_MEDIUM);
	pace_moved(&pace, PACE_TRUST_BYTES, 5000);
	assert_int_equal(pace_block_bytes(&pace), BUF_LARGE);
}

static void test_large_amounts_do_not_wrap(void **state)
{
	struct pace pace = {0};

	pace_moved(&pace, UINT32_MAX, 1);
	pace_moved(&pace, UINT32_MAX, 1);
	assert_int_equal(pace_block_bytes(&pace), BUF_LARGE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_begins_with_medium),
		cmocka_unit_test(test_short_waits_are_forgiven),
		cmocka_unit_test(test_long_wait_ends_trust),
		cmocka_unit_test(test_large_amounts_do_not_wrap),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
