/* Which target a request gets: algorithms, weights, tiers, a target to avoid, several workers. */
#include "core/mem.h"
#include "proxy/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "members.h"

enum { MAX = 4, WORKERS = 3 };

static struct target *targets[MAX];
static struct target_member members[MAX];
static struct group_spec spec;
static struct target_group *group;

static int setup(void **state)
{
	members_make(targets, members, MAX, WORKERS);
	spec = (struct group_spec){
		.name = "group", .members = members, .n_members = 3, .n_workers = WORKERS};
	group = NULL;
	return 0;
}

static int teardown(void **state)
{
	uint32_t i;

	target_group_put(group);
	for (i = 0; i < MAX; i++) {
		assert_int_equal(atomic_load(&targets[i]->shared.refs), 1);
		target_put(targets[i]);
	}
	return 0;
}

static void health(uint32_t target, enum target_health now)
{
	atomic_store(&targets[target]->health, now);
}

/* The next `n` choices of a worker, as letters: "abc"; "-": none. */
static const char *picks(uint32_t worker, uint32_t n, const struct target *avoid)
{
	static char text[64];
	struct balance_tried tried = {.targets = {avoid}};
	struct balance_ask ask = {.tried = &tried};
	const struct target *target;
	uint32_t i;

	for (i = 0; i < n; i++) {
		target = balance_pick(group, worker, &ask);
		text[i] = target ? (char)('a' + target->id) : '-';
	}
	text[n] = '\0';
	return text;
}

static void test_round_robin(void **state)
{
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 7, NULL), "abcabca");
	health(1, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 4, NULL), "caca");
	health(1, TARGET_HEALTHY);
	assert_string_equal(picks(0, 3, NULL), "bca");
}

static void test_workers_start_apart(void **state)
{
	char first[WORKERS + 1] = "";
	uint32_t i;

	group = target_group_new(&spec);
	for (i = 0; i < WORKERS; i++)
		first[i] = *picks(i, 1, NULL);
	assert_true(first[0] != first[1] && first[1] != first[2] && first[0] != first[2]);
}

static void test_weights(void **state)
{
	uint32_t i, count[MAX] = {0};

	members[0].weight = 5;
	members[1].weight = 2;
	members[2].weight = 1;
	group = target_group_new(&spec);
	/* smooth: the heavy one is not taken five times in a row */
	assert_string_equal(picks(0, 8, NULL), "abaacaba");
	for (i = 0; i < 800; i++)
		count[*picks(0, 1, NULL) - 'a']++;
	assert_int_equal(count[0], 500);
	assert_int_equal(count[1], 200);
	assert_int_equal(count[2], 100);
}

static void test_weight_zero_gets_nothing(void **state)
{
	members[1].weight = 0;
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 4, NULL), "acac");
}

static void test_all_weights_zero(void **state)
{
	members[0].weight = members[1].weight = members[2].weight = 0;
	spec.fail_open = true;
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 2, NULL), "--");
}

static void test_empty_group(void **state)
{
	spec.n_members = 0;
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 2, NULL), "--");
}

static void test_least_outstanding(void **state)
{
	spec.algorithm = BALANCE_LEAST_OUTSTANDING;
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 4, NULL), "abca"); /* equals take turns */
	atomic_store(&targets[0]->outstanding, 2);
	atomic_store(&targets[1]->outstanding, 1);
	atomic_store(&targets[2]->outstanding, 3);
	assert_string_equal(picks(0, 3, NULL), "bbb");
	health(1, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 2, NULL), "aa");
}

static void test_least_outstanding_weighted(void **state)
{
	spec.algorithm = BALANCE_LEAST_OUTSTANDING;
	spec.n_members = 2;
	members[0].weight = 4;
	group = target_group_new(&spec);
	atomic_store(&targets[0]->outstanding, 7);
	atomic_store(&targets[1]->outstanding, 2);
	assert_string_equal(picks(0, 2, NULL), "aa"); /* 7/4 is less than 2/1 */
	atomic_store(&targets[0]->outstanding, 9);
	assert_string_equal(picks(0, 2, NULL), "bb");
}

static void test_tiers(void **state)
{
	group = target_group_new(&spec);
	health(0, TARGET_INITIAL);
	health(1, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 3, NULL), "ccc"); /* healthy before not yet checked */
	health(2, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 3, NULL), "aaa");
	health(0, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 3, NULL), "---");
}

static void test_fail_open(void **state)
{
	uint32_t i;

	spec.fail_open = true;
	group = target_group_new(&spec);
	for (i = 0; i < 3; i++)
		health(i, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 4, NULL), "abca");
	assert_string_equal(picks(0, 4, targets[1]), "caca");
	health(2, TARGET_HEALTHY);
	assert_string_equal(picks(0, 2, NULL), "cc");
}

static void test_avoid(void **state)
{
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 4, targets[0]), "bcbc");
	health(1, TARGET_INITIAL);
	health(2, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 2, targets[0]), "bb"); /* rather one that is not checked yet */
	health(1, TARGET_UNHEALTHY);
	assert_string_equal(picks(0, 2, targets[0]), "aa"); /* than nobody */
}

/* Those that were tried come last, and of these the one that was tried last. */
static void test_tried(void **state)
{
	struct balance_tried tried = {{NULL}};
	struct balance_ask ask = {.tried = &tried};
	char text[5] = "";
	uint32_t i;

	spec.algorithm = BALANCE_CONSISTENT_HASH; /* which begins at the same one every time */
	ask.key = 7;
	group = target_group_new(&spec);
	for (i = 0; i < 4; i++) {
		const struct target *target = balance_pick(group, 0, &ask);

		assert_int_equal(balance_has_another(group, &tried, target), i < 2);
		balance_note_tried(&tried, target);
		assert_ptr_equal(tried.targets[0], target);
		text[i] = (char)('a' + target->id);
	}
	assert_null(memchr(text + 1, text[0], 2));
	assert_int_not_equal(text[1], text[2]);
	assert_int_not_equal(text[3], text[2]);
	assert_non_null(tried.targets[2]); /* each is noted once */
	assert_null(tried.targets[3]);
}

/* More are tried than are remembered. */
static void test_tried_many(void **state)
{
	static const uint8_t numbers[BALANCE_TRIED_MAX + 2];
	struct balance_tried tried = {{NULL}};
	uint32_t i;

	group = target_group_new(&spec); /* torn down as others are */
	for (i = 0; i < BALANCE_TRIED_MAX + 2; i++)
		balance_note_tried(&tried, (const struct target *)&numbers[i]);
	for (i = 0; i < BALANCE_TRIED_MAX; i++)
		assert_ptr_equal(tried.targets[i], &numbers[BALANCE_TRIED_MAX + 1 - i]);
}

/* A connection of a listener that is gone may still hold its group. */
static void test_removed(void **state)
{
	group = target_group_new(&spec);
	atomic_store(&targets[0]->removed, true);
	assert_string_equal(picks(0, 4, NULL), "bcbc");
	atomic_store(&targets[1]->removed, true);
	atomic_store(&targets[2]->removed, true);
	assert_string_equal(picks(0, 3, NULL), "abc");
	atomic_store(&targets[1]->expired, true);
	assert_string_equal(picks(0, 3, NULL), "aca");
}

static void test_fail_open_below(void **state)
{
	members[3] = (struct target_member){targets[3], 0}; /* does not count */
	spec.n_members = 4;
	spec.fail_open = true;
	spec.fail_open_below = 2;
	group = target_group_new(&spec);
	health(0, TARGET_UNHEALTHY);
	target_group_recount(group);
	assert_string_equal(picks(0, 4, NULL), "bcbc");
	health(1, TARGET_UNHEALTHY);
	target_group_recount(group);
	assert_true(target_group_is_failing_open(group));
	assert_string_equal(picks(0, 3, NULL), "abc");
	target_group_put(group);
	spec.fail_open_below = 1;
	spec.fail_open_below_percent = 34; /* one of three is 33 % */
	group = target_group_new(&spec);
	assert_string_equal(picks(0, 3, NULL), "abc");
	health(1, TARGET_INITIAL);
	target_group_recount(group);
	assert_string_equal(picks(0, 2, NULL), "cc");
}

static void test_requests_at_their_limit(void **state)
{
	struct balance_ask ask = {.key = 0};

	spec.limits.requests = 2;
	spec.fail_open = true;
	group = target_group_new(&spec);
	health(2, TARGET_UNHEALTHY);
	atomic_store(&targets[0]->outstanding, 2);
	atomic_store(&targets[1]->outstanding, 1);
	assert_string_equal(picks(0, 2, NULL), "bb");
	atomic_store(&targets[1]->outstanding, 2);
	/* not the unhealthy one, although the group fails open */
	assert_null(balance_pick(group, 0, &ask));
	assert_true(ask.is_limited);
	atomic_store(&targets[1]->outstanding, 0);
	assert_non_null(balance_pick(group, 0, &ask));
}

static void test_connections_at_their_limit(void **state)
{
	spec.limits.connections = 2;
	group = target_group_new(&spec);
	atomic_store(&targets[0]->open, 2); /* in another worker's pool */
	assert_string_equal(picks(0, 3, NULL), "abc");
	atomic_store(&targets[0]->outstanding, 2);
	assert_string_equal(picks(0, 2, NULL), "bc");
	atomic_store(&targets[0]->outstanding, 0);
}

/* Choices per target of `n` asks at that time. */
static void spread(uint32_t n, uint64_t now_ms, uint32_t ret_counts[MAX])
{
	struct balance_ask ask = {.now_ms = now_ms};
	uint32_t i;

	memset(ret_counts, 0, MAX * sizeof(*ret_counts));
	for (i = 0; i < n; i++)
		ret_counts[balance_pick(group, 0, &ask)->id]++;
}

static void test_slow_start(void **state)
{
	uint32_t count[MAX];

	spec.slow_start_ms = 30000;
	group = target_group_new(&spec);
	target_group_ramp(group, targets[1], 100000);
	assert_true(target_group_is_ramping(group, targets[1], 100000));
	spread(2100, 100000, count);
	assert_in_range(count[1], 90, 110); /* a tenth of the others' share */
	assert_in_range(count[0], 990, 1010);
	spread(2500, 115000, count);
	assert_in_range(count[1], 490, 510); /* half of it */
	spread(3000, 130000, count);
	assert_in_range(count[1], 990, 1010);
	assert_false(target_group_is_ramping(group, targets[1], 130000));
}

static void test_slow_start_of_the_least_busy(void **state)
{
	uint32_t count[MAX];

	spec.algorithm = BALANCE_LEAST_OUTSTANDING;
	spec.slow_start_ms = 30000;
	group = target_group_new(&spec);
	target_group_ramp(group, targets[1], 100000);
	spread(60, 103000, count);
	assert_int_equal(count[1], 0); /* having nothing to do makes it no better */
	atomic_store(&targets[0]->outstanding, 20);
	atomic_store(&targets[2]->outstanding, 20);
	spread(60, 103000, count);
	assert_int_equal(count[1], 60);
	spread(60, 131000, count);
	assert_int_equal(count[1], 60);
	atomic_store(&targets[0]->outstanding, 0);
	atomic_store(&targets[2]->outstanding, 0);
	spread(60, 131000, count);
	assert_int_equal(count[1], 20);
}

/* Somebody must take the rest: else all is as it was. */
static void test_no_slow_start_alone(void **state)
{
	spec.slow_start_ms = 30000;
	group = target_group_new(&spec);
	health(0, TARGET_UNHEALTHY);
	health(2, TARGET_INITIAL);
	target_group_ramp(group, targets[1], 1000);
	assert_false(target_group_is_ramping(group, targets[1], 1000));
	health(2, TARGET_HEALTHY);
	targets[2]->is_founder = true; /* came with the group, as the others did */
	target_group_ramp(group, targets[2], 1000);
	assert_false(target_group_is_ramping(group, targets[2], 1000));
	target_group_ramp(group, targets[2], 2000);
	assert_true(target_group_is_ramping(group, targets[2], 2000));
	health(0, TARGET_HEALTHY);
	target_group_ramp(group, targets[0], 2500); /* the second has its whole share */
	assert_true(target_group_is_ramping(group, targets[0], 2500));
}

static void test_by_chance(void **state)
{
	uint32_t count[MAX];

	members[0].weight = 6;
	members[1].weight = 3;
	spec.algorithm = BALANCE_WEIGHTED_RANDOM;
	group = target_group_new(&spec);
	spread(10000, 0, count); /* standard deviations: 49, 46, 30 */
	assert_in_range(count[0], 5700, 6300);
	assert_in_range(count[1], 2700, 3300);
	assert_in_range(count[2], 820, 1180);
	health(0, TARGET_UNHEALTHY);
	spread(10000, 0, count);
	assert_int_equal(count[0], 0);
	assert_in_range(count[1], 7200, 7800);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_round_robin),
		CASE(test_workers_start_apart),
		CASE(test_weights),
		CASE(test_weight_zero_gets_nothing),
		CASE(test_all_weights_zero),
		CASE(test_empty_group),
		CASE(test_least_outstanding),
		CASE(test_least_outstanding_weighted),
		CASE(test_tiers),
		CASE(test_fail_open),
		CASE(test_avoid),
		CASE(test_tried),
		CASE(test_tried_many),
		CASE(test_removed),
		CASE(test_fail_open_below),
		CASE(test_requests_at_their_limit),
		CASE(test_connections_at_their_limit),
		CASE(test_slow_start),
		CASE(test_slow_start_of_the_least_busy),
		CASE(test_no_slow_start_alone),
		CASE(test_by_chance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
