/* Who connects most: heavy keys are found among many, within the error that is stated. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/top.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

static struct top_row rows[TOP_ROWS];

static int setup(void **state)
{
	*state = top_new();
	return 0;
}

static int teardown(void **state)
{
	top_free(*state);
	return 0;
}

static const struct top_row *find(struct top *top, const char *key)
{
	size_t n = top_copy(top, rows), i;

	for (i = 0; i < n; i++)
		if (strcmp(rows[i].key, key) == 0)
			return &rows[i];
	return NULL;
}

static void test_exact_while_there_is_room(void **state)
{
	const struct top_row *row;

	top_count(*state, SLICE("a"), false, 1);
	top_count(*state, SLICE("a"), true, 5);
	top_count(*state, SLICE("b"), false, 2);
	top_count(*state, SLICE("a"), false, 1);
	top_count(*state, SLICE(""), false, 1);
	assert_int_equal(top_copy(*state, rows), 2);
	row = find(*state, "a");
	assert_non_null(row);
	assert_int_equal(row->released, 2);
	assert_int_equal(row->refused, 5);
	assert_int_equal(row->error, 0);
	assert_int_equal(find(*state, "b")->released, 2);
}

static void test_long_keys_are_cut(void **state)
{
	char key[100];

	memset(key, 'k', sizeof(key));
	top_count(*state, (struct slice){key, sizeof(key)}, false, 1);
	top_count(*state, (struct slice){key, 63}, false, 1);
	key[63] = '\0';
	assert_int_equal(find(*state, key)->released, 2);
}

/* Ten heavy keys in a stream of 100,000 that occur once. */
static void test_heavy_among_many(void **state)
{
	enum { N = 100000, EACH = 20 };
	const struct top_row *row;
	uint64_t total = 0, sum = 0, heavy_counts[10] = {0};
	char key[32];
	size_t i, n;

	for (i = 0; i < N; i++) {
		snprintf(key, sizeof(key), "once %zu", i);
		top_count(*state, slice_of(key), true, 1);
		total++;
		if (i % EACH)
			continue;
		snprintf(key, sizeof(key), "heavy %zu", i / EACH % 10);
		top_count(*state, slice_of(key), false, 1 + i / EACH % 10);
		heavy_counts[i / EACH % 10] += 1 + i / EACH % 10;
		total += 1 + i / EACH % 10;
	}
	n = top_copy(*state, rows);
	assert_int_equal(n, TOP_ROWS);
	for (i = 0; i < n; i++) {
		sum += rows[i].released + rows[i].refused;
		assert_true(rows[i].error <= total / TOP_ROWS);
		assert_true(rows[i].error <= rows[i].released + rows[i].refused);
	}
	assert_int_equal(sum, total); /* nothing is lost, only put to somebody else's account */
	for (i = 0; i < 10; i++) {
		snprintf(key, sizeof(key), "heavy %zu", i);
		row = find(*state, key);
		assert_non_null(row);
		assert_true(row->released + row->refused >= heavy_counts[i]);
		assert_true(row->released + row->refused - row->error <= heavy_counts[i]);
	}
}

static void test_age(void **state)
{
	top_count(*state, SLICE("a"), false, 9);
	top_count(*state, SLICE("a"), true, 4);
	top_count(*state, SLICE("b"), false, 1);
	top_age(*state);
	assert_int_equal(find(*state, "a")->released, 4);
	assert_int_equal(find(*state, "a")->refused, 2);
	assert_null(find(*state, "b"));
	top_count(*state, SLICE("b"), false, 3);
	assert_int_equal(find(*state, "b")->released, 3);
}

/* After ageing the least counted still goes first. */
static void test_age_keeps_the_heavy(void **state)
{
	char key[32];
	size_t i, round;

	for (round = 0; round < 4; round++) {
		for (i = 0; i < 5000; i++) {
			snprintf(key, sizeof(key), "once %zu %zu", round, i);
			top_count(*state, slice_of(key), i % 2, 1);
			top_count(*state, SLICE("heavy"), i % 3 == 0, 1);
		}
		top_age(*state);
		assert_non_null(find(*state, "heavy"));
		assert_true(
			find(*state, "heavy")->released + find(*state, "heavy")->refused >= 2499);
	}
}

/* --- a reader beside the writer */
static atomic_bool stop;

static void *write_on(void *arg)
{
	char key[TOP_KEY_BYTES];
	uint32_t i;

	for (i = 0; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
		memset(key, 'a' + i % 26, TOP_KEY_BYTES - 1);
		key[TOP_KEY_BYTES - 1] = '\0';
		snprintf(key, 12, "%011u", i); /* many keys, each told by its last letters */
		key[11] = (char)('a' + i % 26);
		top_count(arg, slice_of(key), i % 2, 1);
	}
	return NULL;
}

static void test_copy_beside_a_writer(void **state)
{
	pthread_t thread;
	size_t n, i, j, turn;

	assert_int_equal(pthread_create(&thread, NULL, write_on, *state), 0);
	for (turn = 0; turn < 2000; turn++) {
		n = top_copy(*state, rows);
		for (i = 0; i < n; i++) {
			assert_int_equal(strlen(rows[i].key), TOP_KEY_BYTES - 1);
			/* both halves of one key */
			assert_int_equal(
				rows[i].key[11], 'a' + strtoul(rows[i].key, NULL, 10) % 26);
			for (j = 12; j < TOP_KEY_BYTES - 1; j++)
				assert_int_equal(rows[i].key[j], rows[i].key[11]);
		}
	}
	atomic_store(&stop, true);
	pthread_join(thread, NULL);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_exact_while_there_is_room),
		CASE(test_long_keys_are_cut),
		CASE(test_heavy_among_many),
		CASE(test_age),
		CASE(test_age_keeps_the_heavy),
		CASE(test_copy_beside_a_writer),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
