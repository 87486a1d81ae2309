/* Passive health: what takes a target out, for how long, who may not be taken out. */
#include "core/mem.h"
#include "proxy/balance.h"
#include "proxy/group_state.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "members.h"

enum { MAX = 6, WORKERS = 2, START_MS = 1000000 };

static struct target *targets[MAX];
static struct target_member members[MAX];
static struct group_spec spec;
static struct target_group *group;
static uint64_t now_ms;
static char told[64]; /* "-b": b was taken out, "+b": let in again */

static int setup(void **state)
{
	members_make(targets, members, MAX, WORKERS);
	spec = (struct group_spec){
		.name = "group",
		.members = members,
		.n_members = 4,
		.n_workers = WORKERS,
		.outlier =
			{
				.enabled = true,
				.errors = 5,
				.gateway_errors = 3,
				.min_requests = 10,
				.interval_ms = 10000,
				.ejection_ms = 30000,
				.max_ejection_ms = 70000,
				.max_ejected_percent = 50,
			},
	};
	now_ms = START_MS;
	told[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	uint32_t i;

	target_group_put(group);
	for (i = 0; i < MAX; i++)
		target_put(targets[i]);
	return 0;
}

static void note_told(void *arg, struct target_group *of, struct target *target)
{
	size_t used = strlen(told);
	bool is_out = outlier_cause_of(&target->outlier) != OUTLIER_NONE;

	assert_ptr_equal(of, group);
	snprintf(told + used, sizeof(told) - used, "%c%c", is_out ? '-' : '+',
		(char)('a' + target->id));
}

static const char *look(uint64_t after_ms)
{
	told[0] = '\0';
	now_ms += after_ms;
	outlier_look(group, now_ms, note_told, NULL);
	return told;
}

static void serve(void)
{
	group = target_group_new(&spec);
	assert_string_equal(look(0), "");
}

static void answers(uint32_t target, uint32_t worker, unsigned int status, uint32_t n)
{
	while (n--)
		outlier_note_answer(group, targets[target], worker, status, 1000);
}

static bool is_out(uint32_t target)
{
	return outlier_cause_of(&targets[target]->outlier) != OUTLIER_NONE;
}

static bool gets_requests(uint32_t target)
{
	struct balance_ask ask = {.now_ms = now_ms};
	uint32_t i;

	for (i = 0; i < spec.n_members * 4; i++)
		if (balance_pick(group, 0, &ask) == targets[target])
			return true;
	return false;
}

static void errors_in_a_row(void **state)
{
	char text[OUTLIER_TEXT_BYTES];

	serve();
	answers(1, 0, 500, 4);
	answers(1, 0, 404, 1); /* the client's fault is no error of the target's */
	answers(1, 0, 500, 4);
	assert_false(is_out(1));
	assert_true(gets_requests(1));
	answers(1, 1, 500, 1); /* whatever worker sees it */
	assert_true(is_out(1));
	assert_false(gets_requests(1)); /* at once, before the control thread has looked */
	assert_string_equal(look(100), "-b");
	assert_string_equal(outlier_text(group, targets[1], text),
		"5 errors (status 5xx or no answer) in a row");
	assert_string_equal(look(100), "");
	assert_false(gets_requests(1));
}

static void gateway_errors_in_a_row(void **state)
{
	serve();
	answers(0, 0, 502, 1);
	outlier_note_failure(group, targets[0], 0);
	answers(0, 0, 500, 1); /* an error, but it is there */
	answers(0, 0, 503, 1);
	answers(0, 0, 504, 0);
	assert_false(is_out(0));
	outlier_note_failure(group, targets[0], 1);
	assert_true(is_out(0)); /* five errors */
	assert_int_equal(outlier_cause_of(&targets[0]->outlier), OUTLIER_ERRORS);
	answers(1, 0, 504, 2);
	outlier_note_failure(group, targets[1], 0);
	assert_int_equal(outlier_cause_of(&targets[1]->outlier), OUTLIER_GATEWAY_ERRORS);
	assert_string_equal(look(0), "-a-b");
}

static void nothing_without_the_setting(void **state)
{
	spec.outlier.enabled = false;
	serve();
	answers(1, 0, 500, 50);
	assert_false(is_out(1));
	assert_int_equal(targets[1]->workers[0].answers, 0);
	target_group_put(group);
	spec.outlier.enabled = true;
	spec.outlier.errors = spec.outlier.gateway_errors = 0;
	serve();
	answers(1, 0, 502, 50);
	assert_false(is_out(1));
}

/* 30 s, 60 s, then no more than 70 s; an interval without one makes the next one shorter. */
static void time_grows_and_shrinks(void **state)
{
	static const uint32_t times_ms[] = {30000, 60000, 70000, 70000};
	uint32_t i;

	spec.outlier.interval_ms = 1000000;
	serve();
	for (i = 0; i < array_len(times_ms); i++) {
		answers(2, 0, 500, 5);
		assert_string_equal(look(1), "-c");
		assert_string_equal(look(times_ms[i] - 1), "");
		assert_string_equal(look(1), "+c");
		assert_true(gets_requests(2));
		answers(2, 0, 500, 4);
		assert_false(is_out(2)); /* what was before does not count */
		answers(2, 0, 200, 1);
	}
	assert_int_equal(targets[2]->outlier.ejections_total, 4);
	for (i = 0; i < 4; i++)
		assert_string_equal(look(1000000), "");
	answers(2, 0, 500, 5);
	assert_string_equal(look(1), "-c");
	assert_string_equal(look(30000), "+c");
}

static void not_too_many(void **state)
{
	uint32_t i;

	serve();
	for (i = 0; i < 4; i++)
		answers(i, 0, 500, 5);
	assert_string_equal(look(0), "-a-b"); /* half of four */
	answers(2, 0, 500, 5);
	assert_false(is_out(2));
}

static void one_is_allowed_whatever_the_share(void **state)
{
	spec.n_members = 2;
	spec.outlier.max_ejected_percent = 10;
	serve();
	answers(0, 0, 500, 5);
	answers(1, 0, 500, 5);
	assert_string_equal(look(0), "-a");
	assert_false(is_out(1));
}

static void the_last_one_stays(void **state)
{
	spec.n_members = 3;
	spec.outlier.max_ejected_percent = 100;
	spec.fail_open = true;
	serve();
	atomic_store(&targets[0]->health, TARGET_UNHEALTHY);
	target_group_recount(group);
	answers(1, 0, 500, 5);
	assert_true(is_out(1));
	answers(2, 0, 500, 50);
	assert_false(is_out(2));
	assert_false(target_group_is_failing_open(group));
	/* now it goes by itself: the one whose checks are good is better than none */
	atomic_store(&targets[2]->health, TARGET_UNHEALTHY);
	target_group_recount(group);
	assert_true(!gets_requests(0) && gets_requests(1) && !gets_requests(2));
	atomic_store(&targets[1]->health, TARGET_UNHEALTHY);
	target_group_recount(group);
	assert_true(gets_requests(0) && gets_requests(1) && gets_requests(2));
}

static void success_rate(void **state)
{
	char text[OUTLIER_TEXT_BYTES];
	uint32_t i;

	spec.outlier.errors = spec.outlier.gateway_errors = 0;
	spec.outlier.success_percent = 80;
	serve();
	for (i = 0; i < 20; i++) { /* every other one */
		answers(0, 0, 200, 2);
		answers(1, 1, i & 1 ? 500 : 200, 2);
		answers(2, 0, 200, 2);
		answers(3, 0, i % 10 ? 200 : 500, 2); /* a tenth is let pass */
	}
	assert_string_equal(look(9999), "");
	assert_string_equal(look(1), "-b");
	assert_string_equal(outlier_text(group, targets[1], text),
		"50 % of its answers are good, 100 % of the others'");
	/* few answers say nothing */
	answers(0, 0, 500, 9);
	answers(2, 0, 200, 50);
	answers(3, 0, 200, 50);
	assert_string_equal(look(10000), "");
	/* all alike: nobody is an outlier */
	for (i = 0; i < 4; i++) {
		answers(i, 0, 500, 25);
		answers(i, 0, 200, 25);
	}
	assert_string_equal(look(10000), "");
	/* what happened while it was out does not count afterwards */
	assert_string_equal(look(10000), "+b");
	for (i = 0; i < 4; i++)
		answers(i, 0, 200, 20);
	assert_string_equal(look(10000), "");
}

static void latency(void **state)
{
	char text[OUTLIER_TEXT_BYTES];
	uint32_t i;

	spec.outlier.latency_ratio = 4;
	serve();
	for (i = 0; i < 10; i++) {
		outlier_note_answer(group, targets[0], 0, 200, 2000);
		outlier_note_answer(group, targets[1], 0, 200, 3000);
		outlier_note_answer(group, targets[2], 0, 200, 11000);
		outlier_note_answer(group, targets[3], 0, 200, 12001);
	}
	assert_string_equal(look(10000), "-d");
	assert_string_equal(outlier_text(group, targets[3], text),
		"answers after 12001 us on average, the others after 3000");
	for (i = 0; i < 10; i++) {
		outlier_note_answer(group, targets[0], 0, 200, 10);
		outlier_note_answer(group, targets[1], 0, 200, 20);
		outlier_note_answer(group, targets[2], 0, 200, 4999); /* nobody calls that slow */
	}
	assert_string_equal(look(10000), "");
}

/* Back through slow start, with its history kept by a reload. */
static void comes_back_slowly(void **state)
{
	struct target_group *old;

	spec.slow_start_ms = 60000;
	serve();
	answers(1, 0, 500, 5);
	assert_string_equal(look(0), "-b");
	old = group;
	spec.state = old->spec.state;
	group = target_group_new(&spec);
	target_group_put(old);
	assert_false(gets_requests(1));
	assert_string_equal(look(30000), "+b");
	assert_true(target_group_is_ramping(group, targets[1], now_ms));
	answers(1, 0, 500, 5);
	assert_string_equal(look(0), "-b");
	/* switched off: whoever is out is let in */
	old = group;
	spec.outlier.enabled = false;
	group = target_group_new(&spec);
	target_group_put(old);
	assert_string_equal(look(0), "+b");
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(errors_in_a_row),
		CASE(gateway_errors_in_a_row),
		CASE(nothing_without_the_setting),
		CASE(time_grows_and_shrinks),
		CASE(not_too_many),
		CASE(one_is_allowed_whatever_the_share),
		CASE(the_last_one_stays),
		CASE(success_rate),
		CASE(latency),
		CASE(comes_back_slowly),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
