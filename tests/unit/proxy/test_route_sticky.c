/* Clients that stick to a target group: whose cookies are taken, and for how long. */
#include "proxy/group.h"
#include "proxy/route_sticky.h"
#include "tls/tickets.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { NOW = 1800000000, HOUR_S = 3600, COOKIE_BYTES = 256 };

static struct target_group first = {.spec.name = "first"}, second = {.spec.name = "second"};
static struct rules_forward_spec forward[] = {{&first, 1}, {&second, 1}};
static struct rules rules = {.listener = (char *)"web"};
static char name[] = "WHERE";
static struct rules_rule rule = {.name = (char *)"rule",
	.forward = forward,
	.n_forward = 2,
	.sticky_s = HOUR_S,
	.cookie = name,
	.rules = &rules};
static struct http_header items[4];
static struct http_headers headers;
static char pair[COOKIE_BYTES];

static int setup(void **state)
{
	char text[COOKIE_BYTES];
	struct slice made;

	rules.tickets = tls_tickets_new();
	made = route_sticky_make(&rule, &second, NOW, true, text, sizeof(text));
	snprintf(pair, sizeof(pair), "%.*s", (int)strcspn(made.ptr, ";"), made.ptr);
	http_headers_lend(&headers, items, 4);
	return 0;
}

static int teardown(void **state)
{
	tls_tickets_put(rules.tickets);
	return 0;
}

static void add_cookie(const char *text)
{
	assert_int_equal(http_headers_add(&headers, SLICE("Cookie"), slice_of(text)), 0);
}

static struct target_group *found(int64_t now_unix_s)
{
	bool is_old = false;

	return route_sticky_find(&rule, &headers, now_unix_s, &is_old);
}

/* A node whose clock is behind knows it; a longer time than there is now is none. */
static void test_clocks(void **state)
{
	add_cookie(pair);
	assert_ptr_equal(found(NOW), &second);
	assert_ptr_equal(found(NOW - 1), &second);
	assert_ptr_equal(found(NOW - 300), &second);
	assert_null(found(NOW - 301));
	assert_ptr_equal(found(NOW + HOUR_S - 1), &second);
	assert_null(found(NOW + HOUR_S));
}

/* What another site under the same domain has planted does not hide the good one. */
static void test_behind_others(void **state)
{
	char both[2 * COOKIE_BYTES];

	snprintf(both, sizeof(both), "WHERE=planted; WHEREVER=1; WHERE=; a=b");
	add_cookie(both);
	assert_null(found(NOW));
	snprintf(both, sizeof(both), "WHERE=0; %s; WHERE=1", pair);
	add_cookie(both);
	assert_ptr_equal(found(NOW), &second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_clocks, setup, teardown),
		cmocka_unit_test_setup_teardown(test_behind_others, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
