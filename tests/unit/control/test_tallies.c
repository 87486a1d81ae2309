/* Counts with rates: the rows of all tables, how fast they rise, when they rose last. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/tallies.h"
#include "core/attr.h"

#include <stdio.h>
#include <string.h>

static struct tallies tallies;
static uint64_t counts[TALLIES];

static int setup(void **state)
{
	memset(&tallies, 0, sizeof(tallies));
	memset(counts, 0, sizeof(counts));
	return 0;
}

static void sample(uint64_t seconds)
{
	tallies_add(&tallies, counts, seconds * 1000000, 5000 + (int64_t)seconds);
}

static double rate(uint32_t tally, uint64_t now_ms)
{
	return tallies_rate(&tallies, tally, counts[tally], now_ms * 1000);
}

static void row_is(uint32_t tally, const char *where, const char *reason, bool is_drop)
{
	struct tally_row row = tally_describe(tally);

	assert_string_equal(row.where, where);
	assert_string_equal(row.reason, reason);
	assert_int_equal(row.is_drop, is_drop);
}

/* The first and the last row of each table, and what is special. */
static void rows_of_all_tables(void **state)
{
	row_is(TALLY_XDP, "xdp", "deny_v4", true);
	row_is(TALLY_XDP + COUNTER_COUNT - 1, "xdp", "reuseport_migrated", false);
	row_is(TALLY_XDP + COUNTER_workers_stale_rst, "xdp", "workers_stale_rst", true);
	row_is(TALLY_XDP + COUNTER_syn_cookie, "xdp", "syn_cookie", false);
	row_is(TALLY_XSK_DROPPED, "xsk", "dropped", true);
	row_is(TALLY_XSK_FILL_EMPTY, "xsk", "fill_empty", false);
	row_is(TALLY_GATE + GATE_released, "gate", "released", false);
	row_is(TALLY_GATE + GATE_name_unknown, "gate", "name_unknown", true);
	row_is(TALLY_GATE + GATE_REASONS - 1, "gate", gate_reason_rows[GATE_REASONS - 1].name,
		gate_reason_rows[GATE_REASONS - 1].verdict == GATE_VERDICT_REFUSE);
	row_is(TALLY_GATE_DRY + GATE_name_handshake_limit, "gate", "dry_name_handshake_limit",
		false);
	row_is(TALLY_ACCEPT_QUEUE_FULL, "kernel", "accept_queue_full", true);
	row_is(TALLY_CLOSE + CLOSE_done, "user", "done", false);
	row_is(TALLY_CLOSE + CLOSE_bad_request, "user", "bad_request", true);
	row_is(TALLY_TLS + TLS_FAILURE_no_shared_version, "user", "tls_no_shared_version", true);
	assert_null(tally_describe(TALLY_TLS + TLS_FAILURE_none).where);
	assert_null(tally_describe(TALLY_GATE_DRY + GATE_name_unknown).where);
}

/* Two rows of the same place and name could not be told apart. */
static void names_are_unique(void **state)
{
	static struct tally_row rows[TALLIES];

	for (uint32_t i = 0; i < TALLIES; i++) {
		rows[i] = tally_describe(i);
		if (!rows[i].where)
			continue;
		assert_true(*rows[i].reason && *rows[i].help && *rows[i].verdict);
		for (uint32_t at = 0; at < i; at++)
			if (rows[at].where && strcmp(rows[at].where, rows[i].where) == 0)
				assert_string_not_equal(rows[at].reason, rows[i].reason);
	}
}

static void rate_is_over_the_last_seconds(void **state)
{
	assert_true(rate(7, 1000) < 0); /* nothing is known */
	counts[7] = 1000;
	sample(10);
	assert_true(rate(7, 10100) < 0); /* too short a time */
	counts[7] = 1300;
	assert_true(rate(7, 13000) == 100);
	for (uint64_t second = 11; second <= 30; second++) {
		counts[7] = 1000 + (second - 10) * 20;
		sample(second);
	}
	assert_true(rate(7, 30000) == 20);
	counts[7] += 1000; /* a second of more */
	assert_true(rate(7, 31000) > 180 && rate(7, 31000) < 185);
	for (uint64_t second = 31; second <= 36; second++)
		sample(second); /* and then nothing */
	assert_true(rate(7, 36000) == 0);
	counts[7] = 3; /* counted from zero again */
	assert_true(rate(7, 37000) == 0);
}

static void last_seen_is_the_tick_of_the_rise(void **state)
{
	counts[3] = 50; /* from before this start */
	sample(1);
	assert_int_equal(tallies_last_seen(&tallies, 3, 50, 5002), 0);
	counts[3] = 51;
	sample(2);
	sample(3);
	assert_int_equal(tallies_last_seen(&tallies, 3, 51, 5009), 5002);
	assert_int_equal(tallies_last_seen(&tallies, 3, 52, 5009), 5009); /* since the tick */
	counts[3] = 0; /* maps made anew */
	sample(4);
	assert_int_equal(tallies_last_seen(&tallies, 3, 0, 5009), 5002);
}

static void samples_are_half_a_second_apart(void **state)
{
	assert_true(tallies_is_due(&tallies, 0));
	sample(1);
	assert_false(tallies_is_due(&tallies, 1400000));
	assert_true(tallies_is_due(&tallies, 1500000));
}

#define TEST(test) cmocka_unit_test_setup(test, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_of_all_tables),
		TEST(names_are_unique),
		TEST(rate_is_over_the_last_seconds),
		TEST(last_seen_is_the_tick_of_the_rise),
		TEST(samples_are_half_a_second_apart),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
