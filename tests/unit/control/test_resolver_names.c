/* What is known about names: which answers count, when they are asked for again, what is forgotten. */
#include "control/resolver_names.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
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

/* Addresses with spaces; NULL: it failed. */
static bool take_at(struct name *name, const char *addresses, uint32_t ttl_s, const char *fault,
	uint64_t now_ms)
{
	union addr list[ROOM];
	struct dns_answer answer = {.addresses = list, .ttl_s = ttl_s, .fault = fault};
	char text[512], *word, *rest = text;

	snprintf(text, sizeof(text), "%s", addresses ? addresses : "");
	while ((word = strsep(&rest, " ")))
		if (*word)
			assert_int_equal(addr_parse(word, &list[answer.n++]), 0);
	return name_take(name, &answer, now_ms, NOW_S);
}

static bool take(struct name *name, const char *addresses)
{
	return take_at(name, addresses, 5, NULL, LONG_AGO_MS);
}

static void assert_addresses(const struct name *name, const char *expected)
{
	char text[512] = "", one[ADDR_TEXT_BYTES];
	uint32_t i;

	for (i = 0; i < name->n; i++) {
		if (i)
			strcat(text, " ");
		strcat(text, addr_format(&name->addresses[i], one));
	}
	assert_string_equal(text, expected);
}

static void answers_are_put_in_order(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_true(take(name, "10.0.0.2:0 [2001:db8::1]:0 10.0.0.1:0 10.0.0.2:0"));
	assert_addresses(name, "10.0.0.1 10.0.0.2 2001:db8::1");
	assert_false(take(name, "[2001:db8::1]:0 10.0.0.1:0 10.0.0.2:0"));
	assert_true(take(name, "[2001:db8::1]:0 10.0.0.1:0"));
	assert_addresses(name, "10.0.0.1 2001:db8::1");
}

static void no_target_is_nowhere(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_true(take(name, "0.0.0.0:0 10.0.0.1:0 224.0.0.1:0 255.255.255.255:0 [::]:0 "
			       "[ff02::1]:0 [::ffff:10.0.0.9]:0"));
	assert_addresses(name, "10.0.0.1");
	assert_false(take(name, "0.0.0.0:0")); /* is no answer */
	assert_addresses(name, "10.0.0.1");
	assert_string_equal(name->fault, "it has no addresses");
}

static void failures_change_nothing(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);
	uint64_t now_ms = LONG_AGO_MS;
	uint32_t pause_ms;

	assert_true(take(name, "10.0.0.1:0"));
	for (pause_ms = 1000; pause_ms < 60000; pause_ms *= 2) {
		assert_false(take_at(name, NULL, 0, "no answer", now_ms));
		assert_int_equal(name->due_ms - now_ms, pause_ms < 30000 ? pause_ms : 30000);
		now_ms = name->due_ms;
	}
	assert_string_equal(name->fault, "no answer");
	assert_addresses(name, "10.0.0.1");
	assert_false(take_at(name, "", 5, NULL, now_ms)); /* good, and empty */
	assert_addresses(name, "10.0.0.1");
	assert_false(take(name, "10.0.0.1:0"));
	assert_string_equal(name->fault, "");
	assert_int_equal(name->due_ms - LONG_AGO_MS, 5000);
}

/* One of two queries may fail without anybody hearing of it. */
static void a_family_goes_at_the_second_time(void **state)
{
	struct name *name = names_want(&names, "app", &by_ttl);

	assert_true(take(name, "10.0.0.1:0 [2001:db8::1]:0"));
	assert_false(take(name, "10.0.0.1:0"));
	assert_int_equal(name->due_ms - LONG_AGO_MS, 1000);
	assert_false(take(name, "10.0.0.1:0 [2001:db8::1]:0")); /* it is back */
	assert_false(take(name, "[2001:db8::1]:0"));
	assert_true(take(name, "[2001:db8::1]:0"));
	assert_addresses(name, "2001:db8::1");
	assert_false(take(name, "10.0.0.7:0"));
	assert_true(take(name, "10.0.0.8:0"));
	assert_addresses(name, "10.0.0.8");
}

static uint64_t pause_of(struct name *name, uint32_t ttl_s)
{
	take_at(name, "10.0.0.1:0", ttl_s, NULL, LONG_AGO_MS);
	return name->due_ms - LONG_AGO_MS;
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
	asked->is_asking = true;
	assert_ptr_not_equal(names_want(&names, "kept", &v4), kept);
	names_unwant(&names);
	names_want(&names, "kept", &by_ttl);
	names_forget(&names);
	assert_ptr_equal(names_find(&names, "kept", CONFIG_FAMILY_ANY), kept);
	assert_null(names_find(&names, "kept", CONFIG_FAMILY_V4));
	assert_null(names_find(&names, "gone", CONFIG_FAMILY_ANY));
	assert_ptr_equal(names_find(&names, "asked", CONFIG_FAMILY_ANY), asked);
	asked->is_asking = false;
	names_forget(&names);
	assert_null(names_find(&names, "asked", CONFIG_FAMILY_ANY));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(answers_are_put_in_order, setup, teardown),
		cmocka_unit_test_setup_teardown(no_target_is_nowhere, setup, teardown),
		cmocka_unit_test_setup_teardown(failures_change_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_family_goes_at_the_second_time, setup, teardown),
		cmocka_unit_test_setup_teardown(times_are_kept_to, setup, teardown),
		cmocka_unit_test_setup_teardown(unwanted_names_are_forgotten, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
