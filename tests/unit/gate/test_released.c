/* First flights that were released a moment ago: put by one worker, taken once by another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/released.h"
#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>

enum { LISTENER = 3 };

static const uint64_t start_us = 777000000ull;

static union addr client(uint32_t n)
{
	union addr addr = {0};

	addr.v4.sin_family = AF_INET;
	addr.v4.sin_addr.s_addr = htonl(0x0a000000 + n / 50000);
	addr.v4.sin_port = htons((uint16_t)(1024 + n % 50000));
	return addr;
}

static union addr parse(const char *text)
{
	union addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

static int setup(void **state)
{
	*state = gate_released_new();
	return 0;
}

static int teardown(void **state)
{
	gate_released_free(*state);
	return 0;
}

static void test_taken_once(void **state)
{
	union addr a = parse("192.0.2.1:4000"), b = parse("192.0.2.1:4001");
	struct gate_released *released = *state;

	assert_false(gate_released_take(released, &a, LISTENER, start_us));
	gate_released_put(released, &a, LISTENER, start_us);
	gate_released_put(released, &b, LISTENER, start_us);
	assert_false(gate_released_take(released, &a, LISTENER + 1, start_us));
	assert_true(gate_released_take(released, &a, LISTENER, start_us + 1000));
	assert_false(gate_released_take(released, &a, LISTENER, start_us + 1000));
	assert_true(gate_released_take(released, &b, LISTENER, start_us + 1000));
}

/* The gate sees IPv4 frames; a socket may say the same address as IPv6. */
static void test_families(void **state)
{
	union addr v4 = parse("192.0.2.1:4000"), mapped = parse("[::ffff:192.0.2.1]:4000"),
		   v6 = parse("[2001:db8::1]:4000");

	gate_released_put(*state, &v4, LISTENER, start_us);
	assert_false(gate_released_take(*state, &v6, LISTENER, start_us));
	assert_true(gate_released_take(*state, &mapped, LISTENER, start_us));
	gate_released_put(*state, &v6, LISTENER, start_us);
	assert_true(gate_released_take(*state, &v6, LISTENER, start_us));
}

static void test_old_ones_do_not_count(void **state)
{
	union addr a = parse("192.0.2.1:4000");

	gate_released_put(*state, &a, LISTENER, start_us);
	assert_false(gate_released_take(*state, &a, LISTENER, start_us + 60000000));
	gate_released_put(*state, &a, LISTENER, start_us);
	assert_true(gate_released_take(*state, &a, LISTENER, start_us + 3000000));
}

/* The clock of the loop that accepts may have been read before that of the gate. */
static void test_clocks_differ(void **state)
{
	union addr a = parse("192.0.2.1:4000");

	gate_released_put(*state, &a, LISTENER, start_us);
	assert_true(gate_released_take(*state, &a, LISTENER, start_us - 20000));
	gate_released_put(*state, &a, LISTENER, start_us);
	assert_false(gate_released_take(*state, &a, LISTENER, start_us - 60000000));
}

/* A flight whose segment came again is released again: one row. */
static void test_released_again(void **state)
{
	union addr a = parse("192.0.2.1:4000");

	gate_released_put(*state, &a, LISTENER, start_us);
	gate_released_put(*state, &a, LISTENER, start_us + 1000);
	assert_true(gate_released_take(*state, &a, LISTENER, start_us + 2000));
	assert_false(gate_released_take(*state, &a, LISTENER, start_us + 2000));
}

/* More than there is room for: nothing is mixed up, and the room comes back. */
static void test_overfull(void **state)
{
	enum { N = 200000 };
	uint32_t i, found = 0, round;
	union addr addr;

	for (round = 0; round < 2; round++) {
		uint64_t now_us = start_us + round * 100000000ull;

		for (i = 0; i < N; i++) {
			addr = client(i);
			gate_released_put(*state, &addr, LISTENER, now_us);
		}
		for (found = 0, i = 0; i < N; i++) {
			addr = client(i);
			found += gate_released_take(*state, &addr, LISTENER, now_us);
			addr = client(N + i);
			assert_false(gate_released_take(*state, &addr, LISTENER, now_us));
		}
		assert_in_range(found, 30000, 40000);
	}
}

/* A moderate number: practically all are found. */
static void test_load(void **state)
{
	enum { N = 8000 };
	uint32_t i, found = 0;
	union addr addr;

	for (i = 0; i < N; i++) {
		addr = client(i);
		gate_released_put(*state, &addr, LISTENER, start_us);
	}
	for (i = 0; i < N; i++) {
		addr = client(i);
		found += gate_released_take(*state, &addr, LISTENER, start_us);
	}
	assert_in_range(found, N * 98 / 100, N);
}

/* --- put by one thread, taken by another; and two that put and take the same */
enum { TURNS = 100000, WINDOW = 1000 };

static _Atomic uint32_t produced, mistakes;
static _Atomic uint32_t taken[TURNS];

static void *put_all(void *arg)
{
	union addr addr;
	uint32_t i;

	for (i = 0; i < TURNS; i++) {
		addr = client(i);
		gate_released_put(arg, &addr, LISTENER, start_us);
		atomic_store_explicit(&produced, i + 1, memory_order_relaxed);
	}
	return NULL;
}

static void *take_all(void *arg)
{
	uint32_t i, from = 0, until;
	union addr addr;

	do {
		until = atomic_load_explicit(&produced, memory_order_relaxed);
		for (i = from > WINDOW ? from - WINDOW : 0; i < until; i++) {
			addr = client(i);
			if (!gate_released_take(arg, &addr, LISTENER, start_us))
				continue;
			if (atomic_fetch_add(&taken[i], 1))
				atomic_fetch_add(&mistakes, 1);
		}
		from = until;
	} while (until < TURNS);
	return NULL;
}

static void test_threads(void **state)
{
	pthread_t threads[3];
	uint32_t i, n = 0;

	assert_int_equal(pthread_create(&threads[0], NULL, take_all, *state), 0);
	assert_int_equal(pthread_create(&threads[1], NULL, take_all, *state), 0);
	assert_int_equal(pthread_create(&threads[2], NULL, put_all, *state), 0);
	for (i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(mistakes, 0);
	for (i = 0; i < TURNS; i++)
		n += taken[i];
	assert_in_range(n, TURNS / 4, TURNS);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_taken_once),
		CASE(test_families),
		CASE(test_old_ones_do_not_count),
		CASE(test_clocks_differ),
		CASE(test_released_again),
		CASE(test_overfull),
		CASE(test_load),
		CASE(test_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
