/* What is known about names: which answers count, when they are asked for again, what is forgotten. */
#include "control/resolver_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <cmocka.h>

enum { LONG_AGO_MS = 1000000, NOW_S = 1700000000, ROOM = 16 };

static struct names names;
static const struct config_group_dns by_ttl = {.family = CONFIG_FAMILY_ANY};

static int setup(void **state)
{
	names_init(&names);
	return 0;
}

static int teardown(void **state)
{
	names_fini(&names);
	return 0;
}

/* Addresses of one family, with spaces; "": it has none. */
static bool take_half(struct name *name, enum name_family family, const char *addresses,
	uint32_t ttl_s, uint64_t now_ms)
{
	union addr list[ROOM];
	struct dns_answer answer = {.addresses = list, .ttl_s = ttl_s};
	char text[512], *word, *rest = text;

	snprintf(text, sizeof(text), "%s", addresses);
	while ((word = strsep(&rest, " ")))
		if (*word)
			assert_int_equal(addr_parse(word, &list[answer.n++]), 0);
	if (!answer.n) {
		answer.fault = "there are none";
		answer.says_none = true;
	}
	return name_take(&name->half[family], &answer, now_ms, NOW_S);
}

static bool fail_half(struct name *name, enum name_family family, uint64_t now_ms)
{
	struct dns_answer answer = {.fault = "no answer"};

	return name_take(&name->half[family], &answer, now_ms, NOW_S);
}

/* Of a name with IPv4 addresses only. */
static bool take_at(struct name *name, const char *addresses, uint32_t ttl_s, uint64_t now_ms)
{
	bool is_other;

	name->half[NAME_V6].is_asking = name->half[NAME_V6].is_wanted;
	is_other = take_half(name, NAME_V4, addresses, ttl_s, now_ms);
	if (name->half[NAME_V6].is_wanted)
		is_other |= take_half(name, NAME_V6, "", ttl_s, now_ms);
	return is_other;
}

static bool take(struct name *name, const char *addresses)
{
	return take_at(name, addresses, 5, LONG_AGO_MS);
}

static void assert_addresses(const struct name *name, const char *expected)
{
	char text[512] = "", one[ADDR_TEXT_BYTES];
	union addr list[ROOM];
	uint32_t i, n = name_read(name, list, ROOM);

	for (i = 0; i < n; i++) {
		if (i)
			strcat(text, " ");
		strcat(text, addr_format(&list[i], one));
	}
	assert_string_equal(text, expected);
}

static void answers_are_put_in_order(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_true(take_half(name, NAME_V6, "[2001:db8::1]:0", 5, 1000));
	assert_true(take_half(name, NAME_V4, "10.0.0.2:0 10.0.0.1:0 10.0.0.2:0", 5, 1000));
	assert_addresses(name, "10.0.0.1 10.0.0.2 2001:db8::1");
	assert_false(take_half(name, NAME_V4, "10.0.0.1:0 10.0.0.2:0", 5, 2000));
	assert_true(take_half(name, NAME_V4, "10.0.0.1:0", 5, 3000));
	assert_addresses(name, "10.0.0.1 2001:db8::1");
}

static void no_target_is_nowhere(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_true(take(name, "0.0.0.0:0 10.0.0.1:0 224.0.0.1:0 255.255.255.255:0"));
	assert_false(
		take_half(name, NAME_V6, "[::]:0 [ff02::1]:0 [::ffff:10.0.0.9]:0", 5, LONG_AGO_MS));
	assert_addresses(name, "10.0.0.1");
	assert_false(take(name, "0.0.0.0:0")); /* is no answer */
	assert_addresses(name, "10.0.0.1");
	assert_string_equal(name_fault(name), "it has no addresses");
}

/* Whether it is the servers that fail, or they know nothing of the name any more. */
static void failures_change_nothing(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);
	uint64_t now_ms = LONG_AGO_MS;
	uint32_t pause_ms;

	assert_true(take(name, "10.0.0.1:0"));
	for (pause_ms = 1000; pause_ms < 60000; pause_ms *= 2) {
		assert_false(fail_half(name, NAME_V4, now_ms));
		assert_int_equal(
			name->half[NAME_V4].due_ms - now_ms, pause_ms < 30000 ? pause_ms : 30000);
		now_ms += pause_ms;
	}
	assert_string_equal(name->told, "no answer");
	assert_addresses(name, "10.0.0.1");
	assert_false(take_at(name, "", 5, now_ms));
	assert_false(take_at(name, "", 5, now_ms + 100000));
	assert_int_equal(name_expires_ms(name), UINT64_MAX);
	assert_false(name_expire(name, now_ms + 1000000));
	assert_addresses(name, "10.0.0.1");
	assert_string_equal(name->told, "there are none");
	assert_false(take_at(name, "10.0.0.1:0", 5, now_ms + 200000));
	assert_string_equal(name->told, "");
	assert_int_equal(name->half[NAME_V4].due_ms - now_ms, 205000);
	assert_int_equal(name->half[NAME_V6].due_ms - now_ms, 205000);
	assert_false(take_at(name, "10.0.0.1:0", 5, now_ms + 300000));
	assert_addresses(name, "10.0.0.1");
}

/* A family goes by answers of its own alone, however often the other one's come. */
static void half_a_failure_changes_nothing(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);
	uint64_t now_ms = LONG_AGO_MS;
	int i;

	assert_true(take_half(name, NAME_V6, "[2001:db8::1]:0", 5, now_ms));
	assert_true(take_half(name, NAME_V4, "10.0.0.1:0", 5, now_ms));
	for (i = 0; i < 5; i++) {
		now_ms += 60000;
		assert_false(fail_half(name, NAME_V6, now_ms));
		assert_false(take_half(name, NAME_V4, "10.0.0.1:0", 5, now_ms));
	}
	assert_string_equal(name->told, "no answer");
	assert_addresses(name, "10.0.0.1 2001:db8::1");
	assert_false(take_half(name, NAME_V6, "[2001:db8::1]:0", 5, now_ms + 1));
	assert_string_equal(name->told, "");
}

/* "There are none" may be said of both families while a server knows nothing of the name: what is not
 * there counts when the other family is. */
static void a_family_goes_when_the_name_is_there(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);
	uint64_t now_ms = LONG_AGO_MS;

	take_half(name, NAME_V6, "[2001:db8::1]:0", 300, now_ms);
	take_half(name, NAME_V4, "10.0.0.1:0", 300, now_ms);
	now_ms += 300000;
	assert_false(take_half(name, NAME_V4, "", 0, now_ms));
	assert_int_equal(name->half[NAME_V4].due_ms, now_ms + 1000); /* both, soon */
	assert_false(take_half(name, NAME_V6, "", 0, now_ms));
	assert_int_equal(name->half[NAME_V6].due_ms, now_ms + 1000);
	now_ms += 1000;
	assert_false(take_half(name, NAME_V6, "[2001:db8::1]:0", 300, now_ms)); /* it is back */
	assert_addresses(name, "10.0.0.1 2001:db8::1"); /* and the other one may be, too */
	assert_true(take_half(name, NAME_V4, "", 0, now_ms));
	assert_addresses(name, "2001:db8::1");
	assert_true(name->half[NAME_V4].due_ms <= now_ms + 4000);
	now_ms += 4000;
	assert_false(take_half(name, NAME_V4, "", 0, now_ms));
	assert_int_equal(name->half[NAME_V4].due_ms, name->half[NAME_V6].due_ms);
	assert_false(take_half(name, NAME_V6, "", 0, now_ms + 300000)); /* the last one stays */
	assert_false(take_half(name, NAME_V4, "", 0, now_ms + 301000));
	assert_addresses(name, "2001:db8::1");
}

/* Answers that are another part of all addresses each time: none goes that is back in time. */
static void missing_addresses_are_held(void **state)
{
	const struct config_group_dns held = {.family = CONFIG_FAMILY_V4, .hold_ms = 30000},
				      shorter = {.family = CONFIG_FAMILY_V4, .hold_ms = 1000};
	struct name *name = names_want(&names, "app", &held);
	struct resolver_facts facts;
	uint64_t now_ms = LONG_AGO_MS;
	int i;

	assert_ptr_equal(names_want(&names, "app", &shorter), name); /* the longest counts */
	assert_true(take_half(name, NAME_V4, "10.0.0.1:0 10.0.0.2:0", 5, now_ms));
	assert_true(take_half(name, NAME_V4, "10.0.0.3:0 10.0.0.4:0", 5, now_ms + 20000));
	assert_int_equal(name_expires_ms(name), now_ms + 50000);
	for (i = 0; i < 5; i++) {
		now_ms += 40000;
		assert_false(take_half(name, NAME_V4, "10.0.0.1:0 10.0.0.2:0", 5, now_ms));
		assert_false(take_half(name, NAME_V4, "10.0.0.4:0 10.0.0.3:0", 5, now_ms + 20000));
	}
	assert_addresses(name, "10.0.0.1 10.0.0.2 10.0.0.3 10.0.0.4");
	name_facts(name, &facts);
	assert_int_equal(facts.n_addresses, 4);
	assert_int_equal(facts.n_missing, 2);
	assert_false(fail_half(name, NAME_V4, now_ms + 40000)); /* which changes nothing about it */
	assert_false(name_expire(name, now_ms + 49999));
	assert_true(name_expire(name, now_ms + 50000));
	assert_addresses(name, "10.0.0.3 10.0.0.4");
	assert_int_equal(name_expires_ms(name), UINT64_MAX);
}

/* A new address takes nobody's place. */
static void those_that_are_there_stay(void **state)
{
	const struct config_group_dns held = {.family = CONFIG_FAMILY_V4, .hold_ms = 30000};
	struct name *name = names_want(&names, "app", &held);
	union addr list[ROOM];
	char text[ADDR_TEXT_BYTES];

	take_half(name, NAME_V4, "10.0.0.8:0 10.0.0.9:0", 5, LONG_AGO_MS);
	take_half(name, NAME_V4, "10.0.0.1:0 10.0.0.9:0", 5, LONG_AGO_MS + 5000);
	assert_int_equal(name_read(name, list, 2), 2);
	assert_string_equal(addr_format(&list[0], text), "10.0.0.8");
	assert_true(name_expire(name, LONG_AGO_MS + 35000));
	assert_int_equal(name_read(name, list, 1), 1);
	assert_string_equal(addr_format(&list[0], text), "10.0.0.9");
	assert_addresses(name, "10.0.0.1 10.0.0.9");
}

/* However many a server makes up. */
static void there_is_an_end_to_them(void **state)
{
	const struct config_group_dns held = {.family = CONFIG_FAMILY_V4, .hold_ms = 1000000};
	struct name *name = names_want(&names, "app", &held);
	union addr addr;
	struct dns_answer answer = {.addresses = &addr, .n = 1, .ttl_s = 1};
	uint32_t i;

	for (i = 0; i < NAME_ADDRESSES_MAX + 100; i++) {
		assert_int_equal(addr_parse("10.0.0.0:0", &addr), 0);
		addr.v4.sin_addr.s_addr |= htonl(i);
		assert_true(name_take(&name->half[NAME_V4], &answer, LONG_AGO_MS + i, NOW_S));
	}
	assert_int_equal(name->n, NAME_ADDRESSES_MAX);
}

/* A family that is gone is not asked about again and again while the other one's answer is waited for. */
static bool take_many(struct name *name, uint32_t first, uint32_t n, uint64_t now_ms)
{
	union addr *list = calloc(n, sizeof(*list));
	struct dns_answer answer = {.addresses = list, .ttl_s = 5};
	bool is_other;

	for (; answer.n < n; answer.n++) {
		assert_int_equal(addr_parse("10.0.0.0:0", &list[answer.n]), 0);
		list[answer.n].v4.sin_addr.s_addr = htonl(0x0a000000 + first + answer.n);
	}
	is_other = name_take(&name->half[NAME_V4], &answer, now_ms, NOW_S);
	free(list);
	return is_other;
}

static const struct config_group_dns held_long = {.family = CONFIG_FAMILY_V4, .hold_ms = 60000};

/* Half of them go, and as many come: where there is no room they take the places of those. */
static void the_missing_make_room(void **state)
{
	struct name *name = names_want(&names, "app", &held_long);
	uint32_t n = NAME_ADDRESSES_MAX;

	assert_true(take_many(name, 0, n, LONG_AGO_MS));
	assert_true(take_many(name, n / 2, n, LONG_AGO_MS + 5000));
	assert_int_equal(name->n, n);
	assert_int_equal(name_expires_ms(name), UINT64_MAX);
	assert_false(take_many(name, n / 2, n, LONG_AGO_MS + 6000));
}

static double cost_of(uint32_t n)
{
	struct name *name = names_want(&names, "app", &held_long);
	clock_t began;
	int i;

	assert_true(take_many(name, 0, n, LONG_AGO_MS));
	began = clock();
	for (i = 0; i < 100; i++)
		assert_false(take_many(name, 0, n, LONG_AGO_MS + 1000));
	names_fini(&names);
	names_init(&names);
	return (double)(clock() - began);
}

/* A name of many addresses costs what they cost one by one: eight times as many, and not 64 times. */
static void many_cost_no_more_each(void **state)
{
	double few = cost_of(NAME_ADDRESSES_MAX / 8), many = cost_of(NAME_ADDRESSES_MAX);

	assert_true(many < 25 * few);
}

static void nobody_is_asked_in_a_circle(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);
	uint64_t now_ms = LONG_AGO_MS;
	uint32_t n = 0;

	take_half(name, NAME_V6, "[2001:db8::1]:0", 5, now_ms);
	take_half(name, NAME_V4, "10.0.0.1:0", 5, now_ms);
	now_ms += 5000;
	name->half[NAME_V6].is_asking = true; /* for a minute */
	for (; now_ms < LONG_AGO_MS + 65000; n++) {
		take_half(name, NAME_V4, "", 5, now_ms);
		assert_true(name->half[NAME_V4].due_ms > now_ms);
		now_ms = name->half[NAME_V4].due_ms;
	}
	assert_true(n < 10);
	name->half[NAME_V6].is_asking = false;
}

/* The log is told when both families' look-ups are over. */
static void halves_wait_for_each_other(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	name->half[NAME_V4].is_asking = name->half[NAME_V6].is_asking = true;
	assert_true(name_is_asking(name));
	take_half(name, NAME_V6, "", 5, LONG_AGO_MS);
	assert_string_equal(name->told, "");
	assert_false(name_is_settled(name));
	take_half(name, NAME_V4, "10.0.0.1:0", 5, LONG_AGO_MS);
	assert_string_equal(name->told, "");
	assert_true(name_is_settled(name));
	assert_false(name_is_asking(name));
}

static uint64_t pause_of(struct name *name, uint32_t ttl_s)
{
	take_at(name, "10.0.0.1:0", ttl_s, LONG_AGO_MS);
	assert_int_equal(name->half[NAME_V6].due_ms, name->half[NAME_V4].due_ms);
	return name->half[NAME_V4].due_ms - LONG_AGO_MS;
}

static void times_are_kept_to(void **state)
{
	const struct config_group_dns often = {.interval_ms = 7000},
				      seldom = {.interval_ms = 60000};
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_int_equal(pause_of(name, 1), 1000);
	assert_int_equal(pause_of(name, 300), 300000);
	assert_int_equal(pause_of(name, UINT32_MAX), 3600 * 1000);
	assert_int_equal(pause_of(name, 0), 10000); /* there is none */
	assert_ptr_equal(names_want(&names, "app", &seldom), name);
	assert_int_equal(pause_of(name, 300), 60000);
	assert_int_equal(pause_of(name, 2), 2000); /* who goes by it */
	names_unwant(&names);
	names_want(&names, "app", &seldom);
	assert_int_equal(pause_of(name, 2), 60000);
	names_want(&names, "app", &often);
	assert_int_equal(pause_of(name, 2), 7000);
}

static void unwanted_names_are_forgotten(void **state)
{
	const struct config_group_dns v4 = {.family = CONFIG_FAMILY_V4};
	struct name *kept = names_want(&names, "kept", &by_ttl), *asked;

	names_want(&names, "gone", &by_ttl);
	asked = names_want(&names, "asked", &by_ttl);
	asked->half[NAME_V6].is_asking = true;
	assert_ptr_not_equal(names_want(&names, "kept", &v4), kept);
	names_unwant(&names);
	names_want(&names, "kept", &by_ttl);
	names_forget(&names);
	assert_ptr_equal(names_find(&names, "kept", CONFIG_FAMILY_ANY), kept);
	assert_null(names_find(&names, "kept", CONFIG_FAMILY_V4));
	assert_null(names_find(&names, "gone", CONFIG_FAMILY_ANY));
	assert_ptr_equal(names_find(&names, "asked", CONFIG_FAMILY_ANY), asked);
	asked->half[NAME_V6].is_asking = false;
	names_forget(&names);
	assert_null(names_find(&names, "asked", CONFIG_FAMILY_ANY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_are_put_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(no_target_is_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(half_a_failure_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_family_goes_when_the_name_is_there, setup, teardown),
		cmocka_unit_test_setup_teardown(missing_addresses_are_held, setup, teardown),
		cmocka_unit_test_setup_teardown(those_that_are_there_stay, setup, teardown),
		cmocka_unit_test_setup_teardown(there_is_an_end_to_them, setup, teardown),
		cmocka_unit_test_setup_teardown(the_missing_make_room, setup, teardown),
		cmocka_unit_test_setup_teardown(many_cost_no_more_each, setup, teardown),
		cmocka_unit_test_setup_teardown(nobody_is_asked_in_a_circle, setup, teardown),
		cmocka_unit_test_setup_teardown(halves_wait_for_each_other, setup, teardown),
		cmocka_unit_test_setup_teardown(times_are_kept_to, setup, teardown),
		cmocka_unit_test_setup_teardown(unwanted_names_are_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
