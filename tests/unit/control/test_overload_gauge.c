/* From what is used to a level: up at once, down with a margin and after a second. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/overload_gauge.h"

static const struct overload_gauge fresh = {.marks = {0, 80, 90, 98}};

static void rises_at_once(void **state)
{
	static const struct {
		uint64_t used, limit;
		enum overload_level level;
	} rows[] = {
		{0, 1000, OVERLOAD_NONE},
		{799, 1000, OVERLOAD_NONE},
		{800, 1000, OVERLOAD_SHORT},
		{899, 1000, OVERLOAD_SHORT},
		{900, 1000, OVERLOAD_PAUSED},
		{980, 1000, OVERLOAD_SHED},
		{5000, 1000, OVERLOAD_SHED}, /* the limit was lowered */
		{3, 4, OVERLOAD_NONE},
		{4, 4, OVERLOAD_SHED},
		{1000, 0, OVERLOAD_NONE}, /* no limit */
		{UINT64_C(1) << 40, UINT64_C(1) << 40, OVERLOAD_SHED},
		{UINT64_C(7) << 37, UINT64_C(1) << 40, OVERLOAD_SHORT},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct overload_gauge gauge = fresh;

		assert_int_equal(overload_gauge_tell(&gauge, rows[i].used, rows[i].limit, 10, 5),
			rows[i].level != OVERLOAD_NONE);
		assert_int_equal(gauge.level, rows[i].level);
	}
}

static void a_level_may_be_missing(void **state)
{
	struct overload_gauge gauge = {.marks = {0, 90, 0, 0}};

	assert_true(overload_gauge_tell(&gauge, 200, 100, 10, 5));
	assert_int_equal(gauge.level, OVERLOAD_SHORT);
}

static void falls_after_a_second(void **state)
{
	struct overload_gauge gauge = fresh;

	assert_true(overload_gauge_tell(&gauge, 900, 1000, 10, 100));
	assert_false(overload_gauge_tell(&gauge, 700, 1000, 10, 200));
	assert_false(overload_gauge_tell(&gauge, 700, 1000, 10, 1199));
	assert_true(overload_gauge_tell(&gauge, 700, 1000, 10, 1200));
	assert_int_equal(gauge.level, OVERLOAD_NONE);
}

static void does_not_fall_within_the_margin(void **state)
{
	struct overload_gauge gauge = fresh;

	assert_true(overload_gauge_tell(&gauge, 900, 1000, 10, 100));
	assert_false(overload_gauge_tell(&gauge, 850, 1000, 10, 200));
	assert_false(overload_gauge_tell(&gauge, 850, 1000, 10, 9000));
	assert_int_equal(gauge.level, OVERLOAD_PAUSED);
}

/* From one level to the next, as far as each margin allows. */
static void falls_step_by_step(void **state)
{
	struct overload_gauge gauge = fresh;

	assert_true(overload_gauge_tell(&gauge, 1000, 1000, 10, 100));
	assert_false(overload_gauge_tell(&gauge, 780, 1000, 10, 200));
	assert_true(overload_gauge_tell(&gauge, 780, 1000, 10, 1300));
	assert_int_equal(gauge.level, OVERLOAD_SHORT);
	assert_false(overload_gauge_tell(&gauge, 749, 1000, 10, 1400));
	assert_true(overload_gauge_tell(&gauge, 749, 1000, 10, 2400));
	assert_int_equal(gauge.level, OVERLOAD_NONE);
}

/* What is high again in between begins the second anew. */
static void a_peak_keeps_it(void **state)
{
	struct overload_gauge gauge = fresh;

	assert_true(overload_gauge_tell(&gauge, 900, 1000, 10, 100));
	assert_false(overload_gauge_tell(&gauge, 100, 1000, 10, 200));
	assert_false(overload_gauge_tell(&gauge, 900, 1000, 10, 900));
	assert_false(overload_gauge_tell(&gauge, 100, 1000, 10, 1000));
	assert_false(overload_gauge_tell(&gauge, 860, 1000, 10, 1500));
	assert_false(overload_gauge_tell(&gauge, 100, 1000, 10, 1600));
	assert_false(overload_gauge_tell(&gauge, 100, 1000, 10, 2500));
	assert_true(overload_gauge_tell(&gauge, 100, 1000, 10, 2600));
}

static void a_limit_that_is_lifted(void **state)
{
	struct overload_gauge gauge = fresh;

	assert_true(overload_gauge_tell(&gauge, 990, 1000, 10, 100));
	assert_false(overload_gauge_tell(&gauge, 0, 0, 10, 200));
	assert_true(overload_gauge_tell(&gauge, 0, 0, 10, 1200));
	assert_int_equal(gauge.level, OVERLOAD_NONE);
}

static const struct overload_gauge memory = {.marks = {0, 85, 92, 96}};

/* Whether it says `level` all the time, told each 100 ms. */
static void stays(struct overload_gauge *gauge, uint64_t used, uint32_t open, uint64_t from_ms,
	uint64_t to_ms, enum overload_level level)
{
	for (; from_ms < to_ms; from_ms += 100) {
		overload_gauge_tell(gauge, used, 1000, open, from_ms);
		assert_int_equal(gauge->level, level);
	}
}

/* As at the start of a process that is larger than its limit. */
static void nobody_is_there_to_end(void **state)
{
	static const uint64_t uses[] = {920, 990, 1500};

	for (size_t i = 0; i < sizeof(uses) / sizeof(uses[0]); i++) {
		struct overload_gauge gauge = memory;

		overload_gauge_tell(&gauge, uses[i], 1000, 0, 100);
		assert_true(gauge.level >= OVERLOAD_PAUSED);
		stays(&gauge, uses[i], 0, 200, 2100, gauge.level);
		assert_true(overload_gauge_tell(&gauge, uses[i], 1000, 0, 2100));
		assert_true(gauge.has_given_up);
		stays(&gauge, uses[i], 0, 2200, 700000, OVERLOAD_SHORT);
		stays(&gauge, uses[i] + 19, 500, 700000, 800000, OVERLOAD_SHORT);
		/* Those who came take more than there was then. */
		assert_true(overload_gauge_tell(&gauge, uses[i] + 21, 1000, 500, 800000));
		assert_true(gauge.level >= OVERLOAD_PAUSED && !gauge.has_given_up);
	}
}

/* They have ended, and the process keeps their memory. */
static void most_have_ended(void **state)
{
	struct overload_gauge gauge = memory;

	stays(&gauge, 930, 100, 100, 10000, OVERLOAD_PAUSED);
	stays(&gauge, 900, 51, 10000, 20000, OVERLOAD_PAUSED);
	stays(&gauge, 900, 50, 20000, 22000, OVERLOAD_PAUSED);
	assert_true(overload_gauge_tell(&gauge, 900, 1000, 50, 22000));
	assert_int_equal(gauge.level, OVERLOAD_SHORT);
	stays(&gauge, 860, 10, 22100, 30000, OVERLOAD_SHORT);
	assert_false(gauge.has_given_up);
	stays(&gauge, 920, 10, 30000, 30100, OVERLOAD_PAUSED);
}

/* Whoever has the memory: it is waited for, and longer each time. */
static void use_does_not_fall(void **state)
{
	struct overload_gauge gauge = memory;

	stays(&gauge, 930, 100, 100, 20000, OVERLOAD_PAUSED);
	stays(&gauge, 922, 100, 20000, 50000, OVERLOAD_PAUSED);
	assert_true(overload_gauge_tell(&gauge, 924, 1000, 100, 50000));
	assert_int_equal(gauge.level, OVERLOAD_SHORT);
	stays(&gauge, 945, 100, 50100, 110100, OVERLOAD_PAUSED);
	assert_true(overload_gauge_tell(&gauge, 945, 1000, 100, 110100));
	/* Another limit is another matter. */
	assert_true(overload_gauge_tell(&gauge, 945, 1001, 100, 110200));
	assert_int_equal(gauge.level, OVERLOAD_PAUSED);
}

/* Descriptors come back when connections end, and only then. */
static void descriptors_are_waited_for(void **state)
{
	struct overload_gauge gauge = fresh;

	gauge.is_exact = true;
	stays(&gauge, 930, 100, 100, 5000000, OVERLOAD_PAUSED);
	stays(&gauge, 930, 0, 5000000, 5002000, OVERLOAD_PAUSED);
	stays(&gauge, 930, 0, 5002000, 5009000, OVERLOAD_SHORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(rises_at_once),
		cmocka_unit_test(a_level_may_be_missing),
		cmocka_unit_test(falls_after_a_second),
		cmocka_unit_test(does_not_fall_within_the_margin),
		cmocka_unit_test(falls_step_by_step),
		cmocka_unit_test(a_peak_keeps_it),
		cmocka_unit_test(a_limit_that_is_lifted),
		cmocka_unit_test(nobody_is_there_to_end),
		cmocka_unit_test(most_have_ended),
		cmocka_unit_test(use_does_not_fall),
		cmocka_unit_test(descriptors_are_waited_for),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
