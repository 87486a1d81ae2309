/* Rings of lines: order, wrapping, fullness, two threads. */
#include "core/linering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static void expect(struct linering *ring, const char *text)
{
	struct slice runs[2];
	size_t len = linering_peek(ring, runs);

	assert_int_equal(len, strlen(text));
	assert_int_equal(runs[0].len + runs[1].len, len);
	assert_memory_equal(runs[0].ptr, text, runs[0].len);
	assert_memory_equal(runs[1].ptr, text + runs[0].len, runs[1].len);
	linering_take(ring, len);
	assert_true(linering_is_empty(ring));
}

static void lines_come_in_order(void **state)
{
	struct linering *ring = linering_new(16);

	assert_true(linering_is_empty(ring));
	expect(ring, "");
	for (int i = 0; i < 20; i++) {
		assert_true(linering_put(ring, "abc\n", 4));
		assert_true(linering_put(ring, "defgh\n", 6));
		assert_false(linering_is_empty(ring));
		expect(ring, "abc\ndefgh\n");
	}
	assert_int_equal(linering_dropped(ring), 0);
	linering_free(ring);
}

static void what_does_not_fit_is_dropped_whole(void **state)
{
	struct linering *ring = linering_new(16);

	assert_true(linering_put(ring, "0123456789\n", 11));
	assert_false(linering_put(ring, "abcdef\n", 7));
	assert_true(linering_put(ring, "abc\n", 4));
	assert_false(linering_put(ring, "xx", 2));
	assert_int_equal(linering_dropped(ring), 2);
	expect(ring, "0123456789\nabc\n");
	assert_false(linering_put(ring, "0123456789abcdef\n", 17));
	assert_true(linering_put(ring, "0123456789abcde\n", 16));
	expect(ring, "0123456789abcde\n");
	linering_free(ring);
}

enum { LINES = 200000 };

static void *write_lines(void *arg)
{
	struct linering *ring = arg;
	char line[32];
	int len;

	for (int i = 0; i < LINES; i++) {
		len = snprintf(line, sizeof(line), "%d\n", i);
		while (!linering_put(ring, line, (size_t)len))
			sched_yield();
	}
	return NULL;
}

static void two_threads(void **state)
{
	struct linering *ring = linering_new(256);
	struct slice runs[2];
	int next = 0, number = 0;
	pthread_t thread;
	size_t len;

	assert_int_equal(pthread_create(&thread, NULL, write_lines, ring), 0);
	while (next < LINES) {
		len = linering_peek(ring, runs);
		for (int run = 0; run < 2; run++)
			for (size_t i = 0; i < runs[run].len; i++) {
				char c = runs[run].ptr[i];

				if (c != '\n') {
					number = number * 10 + (c - '0');
					continue;
				}
				assert_int_equal(number, next++);
				number = 0;
			}
		assert_int_equal(number, 0); /* whole lines only */
		linering_take(ring, len);
		if (!len)
			sched_yield();
	}
	pthread_join(thread, NULL);
	linering_free(ring);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lines_come_in_order),
		cmocka_unit_test(what_does_not_fit_is_dropped_whole),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
