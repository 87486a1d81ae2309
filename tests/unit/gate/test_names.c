/* Server names of a listener: exact, wildcard, unknown. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "gate/names.h"

static struct gate_names *new_names(const char *const *texts, size_t n)
{
	struct gate_name names[8];
	struct gate_names *made;
	struct err err = {""};
	size_t i;

	for (i = 0; i < n; i++)
		names[i] = (struct gate_name){slice_of(texts[i]), (uint32_t)i + 10};
	assert_int_equal(gate_names_new(names, n, &made, &err), 0);
	return made;
}

static void expect(const struct gate_names *names, const char *name, enum gate_name_kind kind,
	uint32_t expected)
{
	uint32_t value = 0;

	assert_int_equal(gate_names_match(names, slice_of(name), &value), kind);
	assert_int_equal(value, expected);
	value = 0;
	assert_int_equal(gate_names_find(names, slice_of(name), &value), expected ? 0 : -ENOENT);
	assert_int_equal(value, expected);
}

static void test_look_up(void **state)
{
	static const char *const texts[] = {"www.Example.com", "*.example.com", "*.com", "single"};
	struct gate_names *names = new_names(texts, 4);

	expect(names, "www.example.com", GATE_NAME_EXACT, 10);
	expect(names, "WWW.EXAMPLE.COM.", GATE_NAME_EXACT, 10);
	expect(names, "a.example.com", GATE_NAME_WILDCARD, 11);
	expect(names, "A.Example.Com.", GATE_NAME_WILDCARD, 11);
	expect(names, "example.com", GATE_NAME_WILDCARD, 12);
	expect(names, "single", GATE_NAME_EXACT, 13);
	/* one level; something has to stand in its place; neither is a name */
	expect(names, "a.b.example.com", GATE_NAME_UNKNOWN, 0);
	expect(names, ".example.com", GATE_NAME_UNKNOWN, 0);
	expect(names, "com", GATE_NAME_UNKNOWN, 0);
	expect(names, "*.single", GATE_NAME_UNKNOWN, 0);
	expect(names, "", GATE_NAME_UNKNOWN, 0);
	expect(names, ".", GATE_NAME_UNKNOWN, 0);
	gate_names_free(names);
}

static void test_none(void **state)
{
	struct gate_names *names = new_names(NULL, 0);

	expect(names, "www.example.com", GATE_NAME_UNKNOWN, 0);
	gate_names_free(names);
	gate_names_free(NULL);
}

static void test_refused(void **state)
{
	static const char *const bad[] = {"", ".", "a*.example.com", "www.*.com", "*", "*."};
	struct gate_name names[2] = {{SLICE("www.test"), 1}, {SLICE("WWW.test."), 1}};
	char long_name[300];
	struct gate_names *made;
	struct err err = {""};
	size_t i;

	assert_int_equal(gate_names_new(names, 2, &made, &err), 0); /* the same twice */
	gate_names_free(made);
	names[1].value = 2;
	assert_int_equal(gate_names_new(names, 2, &made, &err), -EEXIST);
	assert_string_equal(err.text, "server name WWW.test. stands there twice");
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		names[1].name = slice_of(bad[i]);
		assert_int_equal(gate_names_new(names, 2, &made, &err), -EINVAL);
	}
	memset(long_name, 'a', sizeof(long_name));
	names[1].name = (struct slice){long_name, 254};
	assert_int_equal(gate_names_new(names, 2, &made, &err), -EINVAL);
	names[1].name.len = 253;
	assert_int_equal(gate_names_new(names, 2, &made, &err), 0);
	expect(made, "www.test", GATE_NAME_EXACT, 1);
	gate_names_free(made);
}

/* A full table: every name is found, and its neighbours are not. */
static void test_many(void **state)
{
	enum { N = 5000 };
	static char texts[N][32];
	static struct gate_name list[N];
	struct gate_names *names;
	struct err err = {""};
	char other[40];
	uint32_t i;

	for (i = 0; i < N; i++) {
		snprintf(texts[i], sizeof(texts[i]), "%sn%u.test", i % 2 ? "*." : "", i);
		list[i] = (struct gate_name){slice_of(texts[i]), i + 1};
	}
	assert_int_equal(gate_names_new(list, N, &names, &err), 0);
	for (i = 0; i < N; i++) {
		snprintf(other, sizeof(other), "%sn%u.test", i % 2 ? "x." : "", i);
		expect(names, other, i % 2 ? GATE_NAME_WILDCARD : GATE_NAME_EXACT, i + 1);
		snprintf(other, sizeof(other), "%sn%u.test", i % 2 ? "" : "x.", i);
		expect(names, other, GATE_NAME_UNKNOWN, 0);
	}
	gate_names_free(names);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_look_up),
		cmocka_unit_test(test_none),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
