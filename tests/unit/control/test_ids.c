/* Numbers lent out: the lowest free one, to one borrower at a time, also from several threads. */
#include "control/ids.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>

#include <cmocka.h>

static uint32_t get(struct ids *ids)
{
	uint32_t id = UINT32_MAX;

	assert_int_equal(ids_get(ids, &id), 0);
	return id;
}

static void test_lowest_first(void **state)
{
	struct ids *ids = ids_new(200);
	uint32_t i;

	for (i = 0; i < 150; i++)
		assert_int_equal(get(ids), i);
	ids_put(ids, 130);
	ids_put(ids, 63);
	ids_put(ids, 64);
	assert_int_equal(get(ids), 63);
	assert_int_equal(get(ids), 64);
	assert_int_equal(get(ids), 130);
	assert_int_equal(get(ids), 150);
	ids_free(ids);
}

/* Around the words of the bitmap. */
static void test_all_are_lent(void **state)
{
	static const uint32_t sizes[] = {1, 63, 64, 65, 127, 128, 129};
	uint32_t i, n, id = 12345;
	struct ids *ids;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		ids = ids_new(sizes[i]);
		for (n = 0; n < sizes[i]; n++)
			assert_int_equal(get(ids), n);
		assert_int_equal(ids_get(ids, &id), -ENOSPC);
		assert_int_equal(id, 12345);
		ids_put(ids, sizes[i] - 1);
		assert_int_equal(get(ids), sizes[i] - 1);
		ids_free(ids);
	}
}

enum { THREADS = 3, ROUNDS = 2000, SHARED_IDS = 70 };

static struct ids *shared;
static atomic_int holders[SHARED_IDS];

static void *borrow(void *arg)
{
	uint32_t id;
	int i;

	for (i = 0; i < ROUNDS; i++) {
		if (ids_get(shared, &id) < 0 || atomic_fetch_add(&holders[id], 1) != 0)
			return "lent twice, or none left";
		atomic_fetch_sub(&holders[id], 1);
		ids_put(shared, id);
	}
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[THREADS];
	void *result;
	int i;

	shared = ids_new(SHARED_IDS);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, borrow, NULL), 0);
	for (i = 0; i < THREADS; i++) {
		pthread_join(threads[i], &result);
		assert_null(result);
	}
	assert_int_equal(get(shared), 0);
	ids_free(shared);
}

static void test_that_one(void **state)
{
	struct ids *ids = ids_new(3);

	assert_true(ids_take(ids, 1));
	assert_false(ids_take(ids, 1));
	assert_false(ids_take(ids, 3));
	assert_int_equal(get(ids), 0);
	assert_int_equal(get(ids), 2);
	ids_put(ids, 1);
	assert_true(ids_take(ids, 1));
	ids_free(ids);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lowest_first),
		cmocka_unit_test(test_all_are_lent),
		cmocka_unit_test(test_threads),
		cmocka_unit_test(test_that_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
