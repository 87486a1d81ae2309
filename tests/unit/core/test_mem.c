/* Memory for keys: not in core dumps, given back when it is not needed. */
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ITEM = 592, MANY = 2000, KEEP = 300, PER_BLOCK = (65536 - 64) / ITEM };

/* The flags of the mapping that has the address, as the kernel tells them; "" if there is none. */
static const char *flags_of(const void *address)
{
	static char line[512];
	unsigned long from, to;
	bool is_ours = false;
	FILE *file = fopen("/proc/self/smaps", "r");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2)
			is_ours = (unsigned long)address >= from && (unsigned long)address < to;
		if (is_ours && strncmp(line, "VmFlags:", 8) == 0) {
			fclose(file);
			return line;
		}
	}
	fclose(file);
	return "";
}

static void expect_hidden(const void *address)
{
	assert_non_null(strstr(flags_of(address), " dd"));
}

static void test_secret_pages(void **state)
{
	static const size_t sizes[] = {1, 4096, 4097, 100000};
	uint8_t *memory;
	size_t i, at;

	for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		memory = mem_secret_alloc(sizes[i]);
		for (at = 0; at < sizes[i]; at++)
			assert_int_equal(memory[at], 0);
		memset(memory, 'k', sizes[i]);
		expect_hidden(memory);
		expect_hidden(memory + sizes[i] - 1);
		mem_secret_free(memory, sizes[i]);
		assert_string_equal(flags_of(memory), "");
	}
}

static uint8_t *items[MANY];

static void get_all(struct pool *pool)
{
	int i;

	for (i = 0; i < MANY; i++) {
		items[i] = pool_get(pool);
		assert_non_null(items[i]);
		assert_int_equal((uintptr_t)items[i] % 16, 0);
		memset(items[i], i, ITEM);
	}
	for (i = 0; i < MANY; i++) /* no two of them overlap */
		assert_true(items[i][0] == (uint8_t)i && items[i][ITEM - 1] == (uint8_t)i);
	assert_int_equal(pool->used, MANY);
}

/* In an order of which no block knows. */
static void put_all(struct pool *pool)
{
	int i;

	for (i = 0; i < MANY; i++)
		pool_put(pool, items[i * 7 % MANY]);
	assert_int_equal(pool->used, 0);
}

static void test_secret_pool(void **state)
{
	struct pool pool;
	int i, round;

	pool_init_secret(&pool, ITEM - 7, KEEP);
	assert_int_equal(pool.item_bytes, ITEM);
	for (round = 0; round < 3; round++) {
		get_all(&pool);
		for (i = 0; pool.is_secret && i < MANY; i += 100)
			expect_hidden(items[i]);
		put_all(&pool);
		if (!pool.is_secret)
			continue; /* under sanitizers each is a malloc */
		/* Some are kept for the next ones, the rest is the kernel's again. */
		assert_in_range(pool.free_len, KEEP, KEEP + PER_BLOCK);
		assert_int_equal(pool.free_len % PER_BLOCK, 0);
	}
	pool_fini(&pool);
	assert_int_equal(pool.free_len, 0);
	for (i = 0; pool.is_secret && i < MANY; i++)
		if (i % 100 == 0)
			assert_string_equal(flags_of(items[i]), "");
}

/* One at a time, over and over: the same one, no system calls. */
static void test_secret_pool_at_rest(void **state)
{
	struct pool pool;
	void *first;
	int i;

	pool_init_secret(&pool, ITEM, KEEP);
	first = pool_get(&pool);
	pool_put(&pool, first);
	for (i = 0; pool.is_secret && i < 1000; i++) {
		assert_ptr_equal(pool_get(&pool), first);
		pool_put(&pool, first);
	}
	pool_fini(&pool);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_secret_pages),
		cmocka_unit_test(test_secret_pool),
		cmocka_unit_test(test_secret_pool_at_rest),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
