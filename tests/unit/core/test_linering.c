/* Rings of lines: order, wrapping, fullness, two threads. */
#include "core/linering.h"

#include <setjmp.h>
#include <stdarg.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>
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

static void lines_are_made_in_place(void **state)
{
	struct linering *ring = linering_new(16);
	char *room = linering_reserve(ring, 10);

	assert_non_null(room);
	memcpy(room, "0123456\n", 8);
	assert_true(linering_is_empty(ring));
	linering_commit(ring, 8);
	assert_non_null(linering_reserve(ring, 8));
	assert_null(linering_reserve(ring, 9)); /* more than is free */
	expect(ring, "0123456\n");
	assert_non_null(linering_reserve(ring, 16)); /* it was emptied: from the first byte on */
	assert_true(linering_put(ring, "0123456\n", 8));
	assert_true(linering_put(ring, "abc\n", 4));
	linering_take(ring, 8);
	assert_non_null(linering_reserve(ring, 4));
	assert_null(linering_reserve(ring, 5)); /* free, but in two pieces */
	assert_true(linering_put(ring, "01234567\n", 9));
	expect(ring, "abc\n01234567\n");
	assert_int_equal(linering_dropped(ring), 0);
	linering_free(ring);
}

static void the_reader_is_woken_once_for_much(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct linering *ring = linering_new(64);
	eventfd_t count;
	int i;

	linering_wake_at(ring, 16, fd);
	for (i = 0; i < 3; i++)
		assert_true(linering_put(ring, "0123\n", 5));
	assert_int_equal(eventfd_read(fd, &count), -1);
	for (i = 0; i < 4; i++)
		assert_true(linering_put(ring, "0123\n", 5));
	assert_int_equal(eventfd_read(fd, &count), 0);
	assert_int_equal(count, 1);
	linering_take(ring, 35);
	assert_true(linering_put(ring, "0123456789abcdef\n", 17));
	assert_int_equal(eventfd_read(fd, &count), 0);
	close(fd);
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
		cmocka_unit_test(lines_are_made_in_place),
		cmocka_unit_test(the_reader_is_woken_once_for_much),
		cmocka_unit_test(two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
