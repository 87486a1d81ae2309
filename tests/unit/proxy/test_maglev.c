/* Consistent hashing: shares by weight, what moves when a target goes, comes or is down, keys. */
#include "core/mem.h"
#include "proxy/balance.h"
#include "proxy/maglev.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MEMBERS_MAX = 1000, KEYS = 20000 };

/* Members called 0..n-1, without the one called `without`. Returns the table; its index `i` is the
 * member ret_names[i]. */
static struct maglev *table_of(
	uint32_t n, uint32_t without, const uint32_t *weights, uint32_t ret_names[MEMBERS_MAX])
{
	struct maglev_member members[MEMBERS_MAX];
	char name[32];
	uint32_t i, at = 0;

	for (i = 0; i < n; i++) {
		if (i == without)
			continue;
		snprintf(name, sizeof(name), "target %u", i);
		members[at].name_hash = balance_key_of(slice_of(name));
		snprintf(name, sizeof(name), "other %u", i);
		members[at].other_hash = balance_key_of(slice_of(name));
		members[at].weight = weights ? weights[i] : 1;
		ret_names[at++] = i;
	}
	return maglev_new(members, at);
}

static uint64_t key(uint32_t i)
{
	return balance_key_of((struct slice){(const char *)&i, sizeof(i)});
}

/* Every member of `n` has its share of the cells, give or take that many percent. */
static void check_shares(uint32_t n, const uint32_t *weights, uint32_t percent)
{
	uint32_t names[MEMBERS_MAX], *count = calloc(n, sizeof(*count)), i;
	struct maglev *maglev = table_of(n, n, weights, names);
	double total = 0, share;

	for (i = 0; i < n; i++)
		total += weights ? weights[i] : 1;
	for (i = 0; i < 65537; i++)
		count[maglev_at(maglev, i)]++;
	for (i = 0; i < n; i++) {
		share = 65537 * (weights ? weights[i] : 1) / total;
		assert_true(count[i] >= share * (100 - percent) / 100 - 1);
		assert_true(count[i] <= share * (100 + percent) / 100 + 1);
	}
	maglev_free(maglev);
	free(count);
}

static void shares_follow_weights(void **state)
{
	static const uint32_t weights[] = {1, 2, 0, 10, 1000, 7};

	check_shares(1, NULL, 0);
	check_shares(3, NULL, 1);
	check_shares(100, NULL, 1);
	check_shares(655, NULL, 2);
	check_shares(6, weights, 3);
}

static void nobody_has_a_weight(void **state)
{
	static const uint32_t weights[] = {0, 0};
	uint32_t names[MEMBERS_MAX];

	assert_null(table_of(2, 2, weights, names));
	assert_null(table_of(0, 0, NULL, names));
}

/* At most its own share and a few percent of the rest go elsewhere. */
static void check_disruption(uint32_t n, uint32_t gone)
{
	uint32_t with[MEMBERS_MAX], without[MEMBERS_MAX], moved = 0, i;
	struct maglev *before = table_of(n, n, NULL, with);
	struct maglev *after = table_of(n, gone, NULL, without);

	for (i = 0; i < KEYS; i++)
		moved += with[maglev_at(before, key(i))] != without[maglev_at(after, key(i))];
	assert_true(moved >= KEYS / n / 2);
	assert_true(moved <= KEYS / n + KEYS * 4 / 100);
	maglev_free(before);
	maglev_free(after);
}

static void little_moves_when_one_goes(void **state)
{
	uint32_t n;

	for (n = 2; n <= 100; n = n * 2 + 1) {
		check_disruption(n, 0);
		check_disruption(n, n / 2);
		check_disruption(n, n - 1);
	}
}

/* --- the group's choice */

enum { TARGETS = 10 };

static struct target *targets[TARGETS];
static struct target_group *group;

static int setup(void **state)
{
	struct target_member members[TARGETS];
	struct group_spec spec = {
		.name = "group",
		.algorithm = BALANCE_CONSISTENT_HASH,
		.members = members,
		.n_members = TARGETS,
		.n_workers = 2,
	};
	char text[ADDR_TEXT_BYTES];
	union addr addr;
	uint32_t i;

	for (i = 0; i < TARGETS; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u:80", i + 1);
		assert_int_equal(addr_parse(text, &addr), 0);
		targets[i] = target_new("group", NULL, &addr, i, 2);
		atomic_store(&targets[i]->health, TARGET_HEALTHY);
		members[i] = (struct target_member){targets[i], 1};
	}
	group = target_group_new(&spec);
	return 0;
}

static int teardown(void **state)
{
	uint32_t i;

	target_group_put(group);
	for (i = 0; i < TARGETS; i++)
		target_put(targets[i]);
	return 0;
}

static uint32_t pick(uint32_t worker, uint64_t by)
{
	struct balance_ask ask = {.key = by};
	struct target *target = balance_pick(group, worker, &ask);

	assert_non_null(target);
	return target->id;
}

/* All workers choose alike; while one is down only its keys go elsewhere, to all of the others; and
 * they come back. */
static void a_target_that_is_down_moves_its_keys_only(void **state)
{
	static uint32_t before[KEYS];
	uint32_t i, now, taken[TARGETS] = {0};

	for (i = 0; i < KEYS; i++)
		before[i] = pick(0, key(i));
	atomic_store(&targets[4]->health, TARGET_UNHEALTHY);
	for (i = 0; i < KEYS; i++) {
		now = pick(1, key(i));
		assert_true(before[i] == 4 ? now != 4 : now == before[i]);
		taken[now] += before[i] == 4;
	}
	for (i = 0; i < TARGETS; i++)
		if (i != 4)
			assert_in_range(taken[i], KEYS / TARGETS / 9 / 2, KEYS / TARGETS / 9 * 2);
	atomic_store(&targets[4]->health, TARGET_HEALTHY);
	for (i = 0; i < KEYS; i++)
		assert_int_equal(pick(1, key(i)), before[i]);
}

static void one_of_many_is_found(void **state)
{
	uint32_t i;

	for (i = 1; i < TARGETS; i++)
		atomic_store(&targets[i]->health, TARGET_UNHEALTHY);
	for (i = 0; i < 1000; i++)
		assert_int_equal(pick(0, key(i)), 0);
}

static void without_a_key_all_have_their_share(void **state)
{
	uint32_t i, count[TARGETS] = {0};

	for (i = 0; i < 10000; i++)
		count[pick(0, BALANCE_NO_KEY)]++;
	for (i = 0; i < TARGETS; i++)
		assert_in_range(count[i], 800, 1200);
}

/* --- the key of a request */

static struct http_header items[8];
static struct http_request request;

static uint64_t key_of(enum balance_key_part part, const char *name)
{
	struct balance_key_spec spec = {part, name};
	union addr client;

	assert_int_equal(addr_parse("192.0.2.77:1234", &client), 0);
	return balance_key(&spec, &request, &client);
}

static void start_request(const char *query)
{
	request = (struct http_request){.query = slice_of(query)};
	http_headers_lend(&request.headers, items, 8);
}

static void add(const char *name, const char *value)
{
	assert_int_equal(http_headers_add(&request.headers, slice_of(name), slice_of(value)), 0);
}

static void keys_of_requests(void **state)
{
	struct balance_key_spec by_source = {BALANCE_KEY_SOURCE_IP, NULL};
	union addr client, other_port, other;

	start_request("a=1&user=x&user=y&flag&empty=");
	add("X-User", "x");
	add("Cookie", "first=1; sid=\"q\" ;broken; last=z");
	add("cookie", "second=x");
	assert_int_equal(key_of(BALANCE_KEY_HEADER, "x-user"), balance_key_of(SLICE("x")));
	assert_int_equal(key_of(BALANCE_KEY_HEADER, "x-none"), BALANCE_NO_KEY);
	request.authority = SLICE("a.test:81"); /* HTTP/2 has no field of this name */
	assert_int_equal(key_of(BALANCE_KEY_HEADER, "HOST"), balance_key_of(SLICE("a.test:81")));
	assert_int_equal(key_of(BALANCE_KEY_QUERY, "user"), balance_key_of(SLICE("x")));
	assert_int_equal(key_of(BALANCE_KEY_QUERY, "empty"), balance_key_of(SLICE("")));
	assert_int_equal(key_of(BALANCE_KEY_QUERY, "flag"), balance_key_of(SLICE("")));
	assert_int_equal(key_of(BALANCE_KEY_QUERY, "User"), BALANCE_NO_KEY);
	assert_int_equal(key_of(BALANCE_KEY_COOKIE, "sid"), balance_key_of(SLICE("\"q\"")));
	assert_int_equal(key_of(BALANCE_KEY_COOKIE, "last"), balance_key_of(SLICE("z")));
	assert_int_equal(key_of(BALANCE_KEY_COOKIE, "second"), balance_key_of(SLICE("x")));
	assert_int_equal(key_of(BALANCE_KEY_COOKIE, "broken"), BALANCE_NO_KEY);
	assert_int_equal(addr_parse("192.0.2.77:1", &client), 0);
	assert_int_equal(addr_parse("192.0.2.77:2", &other_port), 0);
	assert_int_equal(addr_parse("192.0.2.78:1", &other), 0);
	assert_int_equal(
		balance_key(&by_source, NULL, &client), balance_key(&by_source, NULL, &other_port));
	assert_int_not_equal(
		balance_key(&by_source, NULL, &client), balance_key(&by_source, NULL, &other));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(shares_follow_weights),
		cmocka_unit_test(nobody_has_a_weight),
		cmocka_unit_test(little_moves_when_one_goes),
		cmocka_unit_test_setup_teardown(
			a_target_that_is_down_moves_its_keys_only, setup, teardown),
		cmocka_unit_test_setup_teardown(one_of_many_is_found, setup, teardown),
		cmocka_unit_test_setup_teardown(
			without_a_key_all_have_their_share, setup, teardown),
		cmocka_unit_test(keys_of_requests),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
