/* Byte buffers and the pools behind them. */
#include "core/buf.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_idle_buffer_owns_nothing(void **state)
{
	struct bufpool pool;
	struct buf buf = {0};

	bufpool_init(&pool);
	assert_int_equal(buf_len(&buf), 0);
	assert_int_equal(buf_space(&buf), 0);
	assert_null(buf_head(&buf));
	assert_true(buf_append(&buf, NULL, 0));
	assert_false(buf_append(&buf, "x", 1));
	buf_compact(&buf);
	buf_drop_if_empty(&buf, &pool);
	buf_drop(&buf, &pool);
	assert_int_equal(buf_hold(&buf, &pool, BUF_SMALL), 0);
	assert_int_equal(pool.small.used, 1);
	assert_int_equal(buf_space(&buf), BUF_SMALL);
	buf_drop_if_empty(&buf, &pool);
	assert_null(buf.data);
	assert_int_equal(pool.small.used, 0);
	bufpool_fini(&pool);
}

static void test_bytes_come_out_as_they_went_in(void **state)
{
	struct bufpool pool;
	struct buf buf = {0};

	bufpool_init(&pool);
	assert_int_equal(buf_hold(&buf, &pool, BUF_SMALL), 0);
	assert_true(buf_append(&buf, "hello world", 11));
	buf_consume(&buf, 6);
	assert_memory_equal(buf_head(&buf), "world", 5);
	buf_drop_if_empty(&buf, &pool);
	assert_int_equal(buf_len(&buf), 5);
	buf_compact(&buf);
	assert_int_equal(buf_space(&buf), BUF_SMALL - 5);
	assert_memory_equal(buf_head(&buf), "world", 5);
	/* holding again keeps block and bytes */
	assert_int_equal(buf_hold(&buf, &pool, BUF_LARGE), 0);
	assert_int_equal(buf.size, BUF_SMALL);
	assert_int_equal(buf_len(&buf), 5);
	/* taking the last byte makes the whole block free again */
	buf_consume(&buf, 5);
	assert_int_equal(buf_space(&buf), BUF_SMALL);
	buf_drop(&buf, &pool);
	bufpool_fini(&pool);
}

static void test_tiny_grows_at_once(void **state)
{
	static const char bytes[BUF_TINY];
	struct bufpool pool;
	struct buf buf = {0};

	bufpool_init(&pool);
	assert_int_equal(buf_hold(&buf, &pool, BUF_TINY), 0);
	assert_int_equal(pool.tiny.used, 1);
	assert_true(buf_append(&buf, bytes, BUF_TINY - 1));
	assert_true(buf_append(&buf, "x", 1));
	assert_false(buf_append(&buf, "y", 1));
	assert_int_equal(buf_grow(&buf, &pool), 0);
	assert_int_equal(pool.tiny.used, 0);
	assert_int_equal(pool.medium.used, 1);
	assert_int_equal(buf_len(&buf), BUF_TINY);
	assert_int_equal(buf_head(&buf)[BUF_TINY - 1], 'x');
	buf_drop(&buf, &pool);
	bufpool_fini(&pool);
}

static void test_append_all_or_nothing(void **state)
{
	static const char bytes[BUF_SMALL];
	struct bufpool pool;
	struct buf buf = {0};

	bufpool_init(&pool);
	assert_int_equal(buf_hold(&buf, &pool, BUF_SMALL), 0);
	assert_true(buf_append(&buf, bytes, BUF_SMALL - 1));
	assert_false(buf_append(&buf, "xy", 2));
	assert_int_equal(buf_len(&buf), BUF_SMALL - 1);
	assert_true(buf_append(&buf, "x", 1));
	assert_int_equal(buf_space(&buf), 0);
	buf_drop(&buf, &pool);
	bufpool_fini(&pool);
}

static void test_grow(void **state)
{
	struct bufpool pool;
	struct buf buf = {0};

	bufpool_init(&pool);
	assert_int_equal(buf_hold(&buf, &pool, BUF_SMALL), 0);
	assert_true(buf_append(&buf, "....kept", 8));
	buf_consume(&buf, 4);
	assert_int_equal(buf_grow(&buf, &pool), 0);
	assert_int_equal(buf.size, BUF_MEDIUM);
	assert_int_equal(buf_len(&buf), 4);
	assert_memory_equal(buf_head(&buf), "kept", 4);
	assert_int_equal(pool.small.used, 0);
	assert_int_equal(buf_grow(&buf, &pool), -ENOBUFS);
	buf_drop(&buf, &pool);
	assert_int_equal(pool.large.used, 0);
	assert_int_equal(buf_grow(&buf, &pool), 0); /* from no block at all */
	assert_int_equal(buf_space(&buf), BUF_MEDIUM);
	buf_drop(&buf, &pool);
	bufpool_fini(&pool);
}

/* Objects handed out at the same time are distinct and whole; `used` counts them. */
static void test_pool(void **state)
{
	enum { N = 100, BYTES = 40, KEEP = 10 };
	unsigned char *items[N];
	struct pool pool;
	int round, i, j;

	pool_init(&pool, BYTES, KEEP);
	pool_put(&pool, NULL);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < N; i++) {
			items[i] = pool_get(&pool);
			assert_non_null(items[i]);
			memset(items[i], i, BYTES);
		}
		assert_int_equal(pool.used, N);
		for (i = 0; i < N; i++) {
			for (j = 0; j < BYTES; j++)
				assert_int_equal(items[i][j], i);
			pool_put(&pool, items[i]);
		}
		assert_int_equal(pool.used, 0);
		assert_true(pool.free_len <= KEEP);
	}
	pool_fini(&pool);
	assert_null(pool.free_list);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_idle_buffer_owns_nothing),
		cmocka_unit_test(test_bytes_come_out_as_they_went_in),
		cmocka_unit_test(test_tiny_grows_at_once),
		cmocka_unit_test(test_append_all_or_nothing),
		cmocka_unit_test(test_grow),
		cmocka_unit_test(test_pool),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
