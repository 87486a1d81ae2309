/* The timer wheel against a model that knows only due times; its clock is the test's. */
#include "core/mem.h"
#include "core/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GRAIN_MS = 8, LAP_MS = 2048 };

static uint64_t now; /* milliseconds */

struct alarm {
	struct timer timer;
	uint64_t due;      /* what the model expects; 0: not set */
	uint64_t fired_at; /* 0: never */
	uint32_t fired;
	struct wheel *wheel;
	uint64_t again_after; /* set again when it fires, that much later */
	struct alarm *victim; /* cleared when this one fires */
};

static void fire(struct timer *timer)
{
	struct alarm *alarm = container_of(timer, struct alarm, timer);

	assert_false(timer_is_set(timer));
	assert_true(alarm->due != 0);
	assert_true(now >= alarm->due);
	alarm->due = 0;
	alarm->fired_at = now;
	alarm->fired++;
	if (alarm->victim) {
		timer_clear(&alarm->victim->timer);
		alarm->victim->due = 0;
	}
	if (alarm->again_after) {
		alarm->due = now + alarm->again_after;
		wheel_set(alarm->wheel, timer, alarm->due);
	}
}

static void set(struct wheel *wheel, struct alarm *alarm, uint64_t due)
{
	alarm->timer.fire = fire;
	alarm->wheel = wheel;
	alarm->due = due;
	wheel_set(wheel, &alarm->timer, due);
}

/* Sleeps as a loop does, for as long as the wheel says, until `until`; returns the turns it took.
 */
static uint32_t run_until(struct wheel *wheel, uint64_t until)
{
	uint32_t wait, turns = 0;

	while (now < until) {
		wait = wheel_next_ms(wheel, now);
		assert_true(wait <= LAP_MS);
		now = now + wait < until ? now + wait : until;
		wheel_advance(wheel, now);
		turns++;
		assert_true(turns < 2000000);
		if (!wait)
			now++;
	}
	return turns;
}

/* From every phase of the clock: fires not early and late by less than the grain, when the loop
 * sleeps for as long as the wheel tells it. */
static void test_due_times(void **state)
{
	static const uint64_t afters[] = {
		0, 1, 7, 8, 9, 100, 2000, 2047, 2048, 2049, 5000, 60000, 524287, 524288, 600000};
	uint64_t phase, due;
	size_t i;

	for (phase = 0; phase < 2 * LAP_MS; phase += 3)
		for (i = 0; i < array_len(afters); i++) {
			struct alarm alarm = {0};
			struct wheel *wheel;

			now = 1000000 + phase;
			wheel = wheel_new(now);
			due = now + afters[i];
			set(wheel, &alarm, due);
			run_until(wheel, due + 3 * GRAIN_MS);
			assert_int_equal(alarm.fired, 1);
			assert_true(alarm.fired_at >= due);
			assert_true(alarm.fired_at <= due + GRAIN_MS);
			wheel_free(wheel);
		}
}

/* Other timers keep the loop turning at any moment, also just before a lap of the wheel ends. */
static void test_turns_between_change_nothing(void **state)
{
	uint64_t turn_at;

	for (turn_at = 1; turn_at < 3 * LAP_MS; turn_at += 4) {
		struct alarm alarm = {0};
		struct wheel *wheel;
		uint64_t due;

		now = 4 * LAP_MS;
		wheel = wheel_new(now);
		wheel_advance(wheel, now);
		due = now + 3 * LAP_MS + 100;
		set(wheel, &alarm, due);
		now += turn_at;
		wheel_advance(wheel, now);
		run_until(wheel, due + 3 * GRAIN_MS);
		assert_int_equal(alarm.fired, 1);
		assert_in_range(alarm.fired_at, due, due + GRAIN_MS);
		wheel_free(wheel);
	}
}

static void test_set_again(void **state)
{
	struct alarm alarm = {0};
	struct wheel *wheel;
	int i;

	now = 777;
	wheel = wheel_new(now);
	/* pushed forward again and again, as by requests on a connection: never fires */
	for (i = 0; i < 2000; i++) {
		set(wheel, &alarm, now + 500);
		now += 100;
		wheel_advance(wheel, now);
		assert_int_equal(alarm.fired, 0);
	}
	/* brought nearer: fires then, once */
	set(wheel, &alarm, now + 100000);
	set(wheel, &alarm, now + 20);
	run_until(wheel, now + 20 + GRAIN_MS);
	assert_int_equal(alarm.fired, 1);
	run_until(wheel, now + 200000);
	assert_int_equal(alarm.fired, 1);
	wheel_free(wheel);
}

static void test_clear(void **state)
{
	struct alarm alarm = {0};
	struct wheel *wheel;

	now = 5;
	wheel = wheel_new(now);
	timer_clear(&alarm.timer); /* never set */
	set(wheel, &alarm, now + 50);
	assert_true(timer_is_set(&alarm.timer));
	timer_clear(&alarm.timer);
	timer_clear(&alarm.timer);
	assert_false(timer_is_set(&alarm.timer));
	run_until(wheel, now + 1000);
	assert_int_equal(alarm.fired, 0);
	set(wheel, &alarm, now + 50);
	run_until(wheel, now + 100);
	assert_int_equal(alarm.fired, 1);
	wheel_free(wheel);
}

/* All in one slot; the first that fires clears the next: wherever it stands, it must not fire. */
static void test_clear_inside_callback(void **state)
{
	struct alarm alarms[10] = {0};
	struct wheel *wheel;
	size_t i;
	uint32_t fired = 0;

	now = 100;
	wheel = wheel_new(now);
	for (i = 0; i < array_len(alarms); i++)
		set(wheel, &alarms[i], now + 40);
	for (i = 0; i < array_len(alarms); i++)
		alarms[i].victim = &alarms[(i + 1) % array_len(alarms)];
	run_until(wheel, now + 100);
	for (i = 0; i < array_len(alarms); i++)
		fired += alarms[i].fired;
	assert_int_equal(fired, array_len(alarms) / 2);
	wheel_free(wheel);
}

static void test_set_inside_callback(void **state)
{
	struct alarm alarm = {.again_after = 100}, at_once = {0};
	struct wheel *wheel;

	now = 100;
	wheel = wheel_new(now);
	set(wheel, &alarm, now + 100);
	run_until(wheel, 100 + 10500);
	/* every 100 ms, late by the grain at most each time */
	assert_in_range(alarm.fired, 10500 / (100 + GRAIN_MS), 105);
	alarm.again_after = 0;
	/* over a long pause it fires once, not once for each period missed */
	alarm.fired = 0;
	alarm.again_after = 100;
	now += 3600 * 1000;
	wheel_advance(wheel, now);
	assert_in_range(alarm.fired, 1, 2);
	timer_clear(&alarm.timer);
	/* due now, set by a callback: does not keep wheel_advance() from returning */
	set(wheel, &at_once, now);
	at_once.again_after = 0;
	wheel_advance(wheel, now + GRAIN_MS);
	wheel_free(wheel);
}

/* Further than the wheel reaches (37 h), and over jumps of the clock of any length. */
static void test_far_and_jumps(void **state)
{
	static const uint64_t hour = 3600 * 1000;
	static const uint64_t afters[] = {36 * hour, 37 * hour, 38 * hour, 100 * hour};
	size_t i;

	for (i = 0; i < array_len(afters); i++) {
		struct alarm alarm = {0};
		struct wheel *wheel;
		uint64_t due;

		now = 123456789;
		wheel = wheel_new(now);
		due = now + afters[i];
		set(wheel, &alarm, due);
		while (now + 61 * 60 * 1000 < due) {
			now += 61 * 60 * 1000;
			wheel_advance(wheel, now);
			assert_int_equal(alarm.fired, 0);
		}
		now = due - 1;
		wheel_advance(wheel, now);
		assert_int_equal(alarm.fired, 0);
		run_until(wheel, due + GRAIN_MS);
		assert_int_equal(alarm.fired, 1);
		wheel_free(wheel);
	}
}

static uint64_t random_after(void)
{
	switch (rand() % 5) {
	case 0:
		return (uint64_t)(rand() % 20);
	case 1:
		return (uint64_t)(rand() % 3000);
	case 2:
		return (uint64_t)(rand() % 600000);
	case 3:
		return (uint64_t)(rand() % 8) * LAP_MS;
	default:
		return (uint64_t)(rand() % 20000);
	}
}

/* Nobody may be overdue by more than the grain once the wheel has been advanced. */
static void check_none_overdue(const struct alarm *alarms, size_t n)
{
	size_t i;

	for (i = 0; i < n; i++) {
		assert_int_equal(timer_is_set(&alarms[i].timer), alarms[i].due != 0);
		assert_true(!alarms[i].due || alarms[i].due + GRAIN_MS > now);
	}
}

static void test_random_operations(void **state)
{
	enum { N = 200, OPERATIONS = 100000 };
	struct alarm *alarms = mem_zalloc(N * sizeof(*alarms));
	struct wheel *wheel;
	uint32_t fired = 0;
	int i;

	srand(1);
	now = 987654;
	wheel = wheel_new(now);
	for (i = 0; i < OPERATIONS; i++) {
		struct alarm *alarm = &alarms[rand() % N];

		alarm->again_after = rand() % 50 ? 0 : 1 + random_after();
		alarm->victim = rand() % 50 ? NULL : &alarms[rand() % N];
		if (alarm->victim == alarm)
			alarm->victim = NULL;
		if (rand() % 4) {
			set(wheel, alarm, now + random_after());
		} else {
			timer_clear(&alarm->timer);
			alarm->due = 0;
		}
		if (rand() % 3 == 0) {
			now += rand() % 100 ? wheel_next_ms(wheel, now) : random_after();
			wheel_advance(wheel, now);
			check_none_overdue(alarms, N);
		}
	}
	for (i = 0; i < N; i++)
		fired += alarms[i].fired;
	assert_true(fired > 1000);
	wheel_free(wheel);
	free(alarms);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_due_times),
		cmocka_unit_test(test_turns_between_change_nothing),
		cmocka_unit_test(test_set_again),
		cmocka_unit_test(test_clear),
		cmocka_unit_test(test_clear_inside_callback),
		cmocka_unit_test(test_set_inside_callback),
		cmocka_unit_test(test_far_and_jumps),
		cmocka_unit_test(test_random_operations),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
