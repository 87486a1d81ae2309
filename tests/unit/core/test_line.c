/* Lines of text: numbers, times, escapes, what does not fit. */
#include "core/line.h"

#include <setjmp.h>
#include <stdarg.h>
#include <time.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static char bytes[256];
static struct line line;

static void expect(const char *text)
{
	assert_int_equal(line.len, strlen(text));
	assert_memory_equal(bytes, text, line.len);
	line.len = 0;
}

static int setup(void **state)
{
	line = (struct line){.bytes = bytes, .size = sizeof(bytes)};
	return 0;
}

static void numbers(void **state)
{
	line_put_number(&line, 0);
	expect("0");
	line_put_number(&line, 1234567890);
	expect("1234567890");
	line_put_number(&line, UINT64_MAX);
	expect("18446744073709551615");
	line_put_hex(&line, 0xdeadbeef01);
	expect("000000deadbeef01");
	line_put_seconds(&line, 0);
	expect("0.000000");
	line_put_seconds(&line, 61000250);
	expect("61.000250");
	assert_false(line.cut);
}

/* As the C library has it, on every day for some centuries. */
static void times(void **state)
{
	char text[64];
	struct tm utc;
	time_t at;

	line_put_time(&line, UINT64_C(1795322077000042));
	expect("2026-11-22T04:34:37.000042Z");
	for (at = 86399; at < 150000 * (time_t)86400; at += 86400) {
		gmtime_r(&at, &utc);
		strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S.999999Z", &utc);
		line_put_time(&line, (uint64_t)at * 1000000 + 999999);
		expect(text);
	}
}

static void escapes(void **state)
{
	struct slice text = {"a\"b\\c\n\0\x7f\xc3\xa9z", 11};

	line_put_json(&line, text, sizeof(bytes));
	expect("a\\\"b\\\\c\\u000a\\u0000\\u007f\\u00c3\\u00a9z");
	line_put_hexed(&line, text, sizeof(bytes));
	expect("a\\x22b\\x5cc\\x0a\\x00\\x7f\\xc3\\xa9z");
	line_put_json(&line, (struct slice){NULL, 0}, 10);
	expect("");
	assert_false(line.cut);
}

/* Memory of just that length, so that nothing beyond it may be looked at. */
static void expect_byte(unsigned int c, size_t at, size_t len)
{
	char *text = malloc(len), expected[32];

	memset(text, 'a', len);
	text[at] = (char)c;
	line_put_hexed(&line, (struct slice){text, len}, sizeof(bytes));
	if (c >= 0x20 && c < 0x7f && c != '"' && c != '\\')
		snprintf(expected, sizeof(expected), "%.*s", (int)len, text);
	else
		snprintf(expected, sizeof(expected), "%.*s\\x%02x%.*s", (int)at, text, c,
			(int)(len - at - 1), text + at + 1);
	free(text);
	expect(expected);
}

/* Each byte at each place among ordinary ones, in texts of every length. */
static void every_byte_everywhere(void **state)
{
	unsigned int c;
	size_t at, len;

	for (c = 0; c < 256; c++)
		for (len = 1; len <= 20; len++)
			for (at = 0; at < len; at++)
				expect_byte(c, at, len);
}

/* Never within an escape. */
static void texts_are_cut(void **state)
{
	line_put_json(&line, SLICE("abcdef"), 6);
	assert_false(line.cut);
	expect("abcdef");
	line_put_json(&line, SLICE("abcdefg"), 6);
	assert_true(line.cut);
	expect("abcdef");
	setup(NULL);
	line_put_json(&line, SLICE("abc\n"), 8);
	assert_true(line.cut);
	expect("abc");
	line_put_hexed(&line, SLICE("abc\n"), 7);
	expect("abc\\x0a");
}

static void nothing_is_put_beyond_the_end(void **state)
{
	line.size = 5;
	bytes[5] = '!';
	line_put_literal(&line, "abc");
	line_put_number(&line, 12345);
	assert_true(line.cut);
	line_put_json(&line, SLICE("\n"), 100);
	line_put_json(&line, SLICE("defg"), 100);
	expect("abcde");
	assert_int_equal(bytes[5], '!');
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(numbers, setup),
		cmocka_unit_test_setup(times, setup),
		cmocka_unit_test_setup(escapes, setup),
		cmocka_unit_test_setup(every_byte_everywhere, setup),
		cmocka_unit_test_setup(texts_are_cut, setup),
		cmocka_unit_test_setup(nothing_is_put_beyond_the_end, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
