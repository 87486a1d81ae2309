/* How many requests a rule lets through: rates, bursts, clients, workers at the same time. */
#include "proxy/rate_limit.h"

#include "core/attr.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

enum { S = 1000000 };

static const uint64_t begin_us = 12345678 * UINT64_C(1000000);

static union addr addr_of(const char *text)
{
	union addr addr;

	assert_int_equal(addr_parse(text, &addr), 0);
	return addr;
}

/* How many of `n` go through at that time. */
static uint32_t passed(struct rate_limit *limit, const char *client, uint64_t at_us, uint32_t n)
{
	union addr addr = addr_of(client);
	uint32_t count = 0;

	while (n--)
		count += rate_limit_take(limit, &addr, begin_us + at_us) == 0;
	return count;
}

static void test_all_together(void **state)
{
	struct rate_limit *limit =
		rate_limit_new(&(struct rate_limit_spec){.all = {.per_second = 10, .burst = 5}});
	union addr addr = addr_of("192.0.2.9:1");
	uint32_t i, count = 0;

	assert_int_equal(passed(limit, "192.0.2.1:1", 0, 3), 3);
	assert_int_equal(passed(limit, "192.0.2.2:1", 0, 9), 2);
	assert_int_equal(rate_limit_take(limit, &addr, begin_us), 1);
	assert_int_equal(passed(limit, "192.0.2.3:1", S / 10 + 10, 9), 1);
	assert_int_equal(passed(limit, "192.0.2.3:1", 100 * S, 9), 5); /* no more, after a rest */
	for (i = 0; i < 10000; i++) /* ten seconds of a thousand each */
		count += passed(limit, "192.0.2.3:1", UINT64_C(200) * S + i * 1000, 1);
	assert_in_range(count, 103, 105);
	rate_limit_put(limit);
}

/* A rate without a burst has that of a second. */
static void test_rates(void **state)
{
	static const uint32_t rates[] = {1, 3, 7, 60, 999, 70000, 123456, RATE_MAX};
	size_t i;

	for (i = 0; i < array_len(rates); i++) {
		struct rate_limit *limit = rate_limit_new(&(struct rate_limit_spec){
			.client = {.per_second = rates[i]}, .max_clients = RATE_CLIENTS_MIN});
		uint32_t first = passed(limit, "192.0.2.1:1", 0, rates[i] + 1), later;

		assert_int_equal(first, rates[i]);
		later = passed(limit, "192.0.2.1:1", S, rates[i] + 100);
		assert_in_range(later, rates[i] - rates[i] / 1000, rates[i] + rates[i] / 500);
		rate_limit_put(limit);
	}
}

static void test_retry_after(void **state)
{
	struct rate_limit *limit = rate_limit_new(&(struct rate_limit_spec){
		.client = {.per_second = 1, .burst = 30}, .max_clients = RATE_CLIENTS_MIN});
	union addr addr = addr_of("192.0.2.1:1");

	assert_int_equal(passed(limit, "192.0.2.1:1", 0, 100), 30);
	assert_int_equal(rate_limit_take(limit, &addr, begin_us), 1);
	assert_int_equal(rate_limit_take(limit, &addr, begin_us + S), 0);
	rate_limit_put(limit);
}

/* IPv6 clients are prefixes; ports are nobody's. */
static void test_clients(void **state)
{
	struct rate_limit *limit = rate_limit_new(&(struct rate_limit_spec){
		.client = {.per_second = 2}, .ipv6_bits = 56, .max_clients = RATE_CLIENTS_MIN});

	assert_int_equal(passed(limit, "192.0.2.1:1", 0, 1), 1);
	assert_int_equal(passed(limit, "192.0.2.1:2", 0, 9), 1);
	assert_int_equal(passed(limit, "192.0.2.2:1", 0, 9), 2);
	assert_int_equal(passed(limit, "[2001:db8:0:1::1]:1", 0, 1), 1);
	assert_int_equal(passed(limit, "[2001:db8:0:ff:1234::2]:1", 0, 9), 1);
	assert_int_equal(passed(limit, "[2001:db8:0:100::1]:1", 0, 9), 2);
	assert_int_equal(passed(limit, "[::ffff:192.0.2.9]:1", 0, 9), 2);
	assert_int_equal(passed(limit, "[::ffff:192.0.2.8]:1", 0, 9), 2);
	rate_limit_put(limit);
}

/* What a client may not has nothing to do with the rest. */
static void test_both(void **state)
{
	struct rate_limit *limit = rate_limit_new(&(struct rate_limit_spec){
		.all = {.per_second = 10}, .client = {.per_second = 4}, .max_clients = 1024});

	assert_int_equal(passed(limit, "192.0.2.1:1", 0, 1000), 4);
	assert_int_equal(passed(limit, "192.0.2.2:1", 0, 1000), 4);
	assert_int_equal(passed(limit, "192.0.2.3:1", 0, 1000), 2);
	rate_limit_put(limit);
}

/* Far more clients than there is room for: nobody who asks once is refused. */
static void test_crowd(void **state)
{
	struct rate_limit *limit =
		rate_limit_new(&(struct rate_limit_spec){.client = {.per_second = 1, .burst = 1},
			.ipv6_bits = 64,
			.max_clients = RATE_CLIENTS_MIN});
	union addr addr = addr_of("10.0.0.0:1");
	uint32_t i, refused = 0;

	for (i = 0; i < 100000; i++) {
		addr.v4.sin_addr.s_addr = htonl(0x0a000000 + i);
		refused += rate_limit_take(limit, &addr, begin_us + i) != 0;
	}
	assert_true(refused < 12); /* twenty bits of a hash may be the same */
	/* And it holds those who are not crowded out. */
	assert_int_equal(passed(limit, "192.0.2.1:1", 100 * S, 9), 1);
	assert_int_equal(passed(limit, "192.0.2.1:1", 100 * S + S / 2, 9), 0);
	rate_limit_put(limit);
}

/* Points in time wrap; what is left of a client is no debt when they come round. */
static void test_long_ago(void **state)
{
	struct rate_limit *limit = rate_limit_new(&(struct rate_limit_spec){
		.client = {.per_second = RATE_MAX, .burst = 1}, .max_clients = 1024});
	uint64_t at_us;

	for (at_us = 0; at_us < UINT64_C(100) * 3600 * S; at_us += UINT64_C(700) * S)
		assert_int_equal(passed(limit, "192.0.2.1:1", at_us, 2), 1);
	rate_limit_put(limit);
}

/* --- workers */
struct worker {
	struct rate_limit *limit;
	pthread_barrier_t *barrier;
	uint32_t passed;
};

static void *run(void *arg)
{
	struct worker *worker = arg;
	union addr addr = addr_of("192.0.2.1:1");
	uint32_t i;

	pthread_barrier_wait(worker->barrier);
	for (i = 0; i < 50000; i++)
		worker->passed += rate_limit_take(worker->limit, &addr, begin_us + i) == 0;
	return NULL;
}

/* Together they let through what one would. */
static uint32_t passed_by_four(const struct rate_limit_spec *spec)
{
	struct rate_limit *limit = rate_limit_new(spec);
	struct worker workers[4];
	pthread_barrier_t barrier;
	pthread_t threads[4];
	uint32_t sum = 0;
	size_t i;

	pthread_barrier_init(&barrier, NULL, array_len(workers));
	for (i = 0; i < array_len(workers); i++) {
		workers[i] = (struct worker){limit, &barrier, 0};
		assert_int_equal(pthread_create(&threads[i], NULL, run, &workers[i]), 0);
	}
	for (i = 0; i < array_len(workers); i++) {
		pthread_join(threads[i], NULL);
		sum += workers[i].passed;
	}
	pthread_barrier_destroy(&barrier);
	rate_limit_put(limit);
	return sum;
}

static void test_workers(void **state)
{
	struct rate_limit_spec all = {.all = {.per_second = 1000, .burst = 2000}};
	struct rate_limit_spec client = {
		.client = {.per_second = 1000, .burst = 2000}, .max_clients = RATE_CLIENTS_MIN};

	/* 50 ms go by: 50 more than the burst. */
	assert_in_range(passed_by_four(&all), 2049, 2051);
	assert_in_range(passed_by_four(&client), 2048, 2053);
}

static void test_specs(void **state)
{
	struct rate_limit_spec spec = {.all = {1, 2},
				       .client = {3, 4},
				       .ipv6_bits = 64,
				       .max_clients = 1024},
			       other = spec;
	struct rate_limit *limit = rate_limit_new(&spec);

	assert_true(rate_limit_spec_eq(rate_limit_spec(limit), &other));
	other.client.burst = 5;
	assert_false(rate_limit_spec_eq(&spec, &other));
	other = spec;
	other.dry_run = true;
	assert_false(rate_limit_spec_eq(&spec, &other));
	assert_ptr_equal(rate_limit_get(limit), limit);
	rate_limit_put(limit);
	rate_limit_put(limit);
	rate_limit_put(NULL);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_all_together),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_clients),
		cmocka_unit_test(test_both),
		cmocka_unit_test(test_crowd),
		cmocka_unit_test(test_long_ago),
		cmocka_unit_test(test_workers),
		cmocka_unit_test(test_specs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
