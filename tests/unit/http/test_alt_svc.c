/* Which texts are values of Alt-Svc. */
#include "http/alt_svc.h"

#include "core/attr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

static void test_values(void **state)
{
	static const struct {
		const char *text;
		bool is_good;
	} rows[] = {
		{"clear", true},
		{"h3=\":443\"", true},
		{"h3=\":443\"; ma=86400", true},
		{"h3=\":443\"; ma=86400; persist=1, h2=\"alt.example.com:8443\"", true},
		{"h2=\"[2001:db8::1]:443\";ma=\"60\"", true},
		{"w%3Dx%3Ay#z=\"new.example.org:8000\"", true},
		{"", false},
		{"h3", false},
		{"h3=:443", false},
		{"h3=\"443\"", false},
		{"h3=\":0\"", false},
		{"h3=\":65536\"", false},
		{"h3=\":44a\"", false},
		{"h3=\":443", false},
		{"h3=\":443\" ma=1", false},
		{"h3=\":443\";", false},
		{"h3=\":443\"; ma", false},
		{"h3=\":443\", ", false},
		{"h3=\":443\"\r\nX: y", false},
		{"h3=\"a\\b:443\"", false},
		{"=\":443\"", false},
		{"Clear", false},
	};
	size_t i;

	for (i = 0; i < array_len(rows); i++)
		if (alt_svc_is_good(slice_of(rows[i].text)) != rows[i].is_good)
			fail_msg("\"%s\" is %s", rows[i].text, rows[i].is_good ? "good" : "bad");
}

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_values)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
