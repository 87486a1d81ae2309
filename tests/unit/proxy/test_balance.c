/* Which target a request gets: algorithms, weights, tiers, a target to avoid, several workers. */
#include "core/mem.h"
#include "proxy/group.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX = 4, WORKERS = 3 };

static struct target *targets[MAX];
static struct target_member members[MAX];
static struct group_spec spec;
static struct target_group *group;

static int setup(void **state)
{
	char text[ADDR_TEXT_BYTES];
	union addr addr;
	uint32_t i;

	for (i = 0; i < MAX; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u:80", i + 1);
		assert_int_equal(addr_parse(text, &addr), 0);
		targets[i] = target_new("group", NULL, &addr, i, WORKERS);
		atomic_store(&targets[i]->health, TARGET_HEALTHY);
		members[i] = (struct target_member){targets[i], 1};
	}
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
	const struct target *target;
	uint32_t i;

	for (i = 0; i < n; i++) {
		target = balance_pick(group, worker, avoid);
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
		CASE(test_removed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
