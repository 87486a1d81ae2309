/* The log: lines as a reader of stderr sees them. */
#define LOG_MODULE "test"
#include "core/log.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

enum { STAMP_BYTES = 25 }; /* "2026-01-02T03:04:05.678Z " */

static int file = -1, saved_stderr = -1;

/* stderr goes to memory from here on. */
static void capture(void)
{
	fflush(stderr);
	saved_stderr = dup(STDERR_FILENO);
	file = memfd_create("stderr", MFD_CLOEXEC);
	assert_true(saved_stderr >= 0 && file >= 0);
	assert_true(dup2(file, STDERR_FILENO) >= 0);
}

/* What was written since; the caller frees it. */
static char *captured(size_t *ret_len)
{
	off_t len = lseek(file, 0, SEEK_END);
	char *text = calloc(1, (size_t)len + 1);

	dup2(saved_stderr, STDERR_FILENO);
	close(saved_stderr);
	assert_non_null(text);
	assert_int_equal(pread(file, text, (size_t)len, 0), len);
	close(file);
	*ret_len = (size_t)len;
	return text;
}

static void test_line(void **state)
{
	char *text;
	size_t len;

	capture();
	log_info("listener %s opened", "web");
	log_error("%d", 42);
	log_debug("not at this level");
	text = captured(&len);
	assert_string_equal(strchr(text, '\n') + 1 + STAMP_BYTES, "error test: 42\n");
	*strchr(text, '\n') = '\0';
	assert_string_equal(text + STAMP_BYTES, "info  test: listener web opened");
	assert_int_equal(text[10], 'T');
	assert_int_equal(text[STAMP_BYTES - 2], 'Z');
	free(text);
}

static void test_levels(void **state)
{
	char *text;
	size_t len;

	log_level_set(LOG_LEVEL_ERROR);
	capture();
	log_warn("no");
	log_level_set(LOG_LEVEL_DEBUG);
	log_debug("yes");
	text = captured(&len);
	assert_int_equal(log_level_get(), LOG_LEVEL_DEBUG);
	log_level_set(LOG_LEVEL_INFO);
	assert_string_equal(text + STAMP_BYTES, "debug test: yes\n");
	free(text);
}

/* An outsider's bytes make neither a second line nor a terminal command. */
static void test_control_bytes(void **state)
{
	char *text;
	size_t len, i;

	capture();
	log_info("name=%s", "a\nerror fake: b\r\t\x1b[31m\x7f\x01\xc2\x9b"
			    "2J \xc3\xa9 \xe4\xb8\xad");
	text = captured(&len);
	assert_string_equal(text + STAMP_BYTES,
		"info  test: name=a?error fake: b???[31m??\xc2?2J \xc3\xa9 \xe4\xb8\xad\n");
	for (i = 0; i < len - 1; i++)
		assert_true((unsigned char)text[i] >= 0x20);
	free(text);
}

static void test_long_line_is_cut(void **state)
{
	char *text;
	size_t len;

	for (int width = LOG_LINE_BYTES - 60; width < LOG_LINE_BYTES + 60; width++) {
		capture();
		log_info("%0*d", width, 7);
		text = captured(&len);
		assert_true(len <= LOG_LINE_BYTES);
		assert_int_equal(strlen(text), len);
		assert_int_equal(text[len - 1], '\n');
		assert_ptr_equal(strchr(text, '\n'), text + len - 1);
		free(text);
	}
}

enum { WRITERS = 4, LINES = 3000 };

static void *write_lines(void *arg)
{
	int i;

	for (i = 0; i < LINES; i++)
		log_info("writer %d line %d end", *(int *)arg, i);
	return NULL;
}

static void *drain_lines(void *arg)
{
	atomic_bool *done = arg;

	while (!atomic_load(done))
		log_drain();
	return NULL;
}

/* Every line that arrived is whole; each writer's come in order; lost ones are counted. */
static void check_lines(char *text, uint64_t lost)
{
	int seen[WRITERS], who, number, end;
	uint64_t n_lines = 0;
	char *line, *rest = text;

	memset(seen, -1, sizeof(seen));
	while ((line = strsep(&rest, "\n")) && *line) {
		end = 0;
		assert_int_equal(sscanf(line + STAMP_BYTES, "info  test: writer %d line %d end%n",
					 &who, &number, &end),
			2);
		assert_int_equal(strlen(line), STAMP_BYTES + end);
		assert_in_range(who, 0, WRITERS - 1);
		assert_true(number > seen[who]);
		seen[who] = number;
		n_lines++;
	}
	assert_int_equal(n_lines + lost, WRITERS * LINES);
}

static void run_writers(bool with_reader)
{
	pthread_t writers[WRITERS], reader;
	int ids[WRITERS], i;
	atomic_bool done = false;
	uint64_t lost = log_dropped();
	size_t len;
	char *text;

	capture();
	assert_int_equal(log_start(), 0);
	if (with_reader)
		assert_int_equal(pthread_create(&reader, NULL, drain_lines, &done), 0);
	for (i = 0; i < WRITERS; i++) {
		ids[i] = i;
		assert_int_equal(pthread_create(&writers[i], NULL, write_lines, &ids[i]), 0);
	}
	for (i = 0; i < WRITERS; i++)
		pthread_join(writers[i], NULL);
	atomic_store(&done, true);
	if (with_reader)
		pthread_join(reader, NULL);
	log_stop();
	lost = log_dropped() - lost;
	text = captured(&len);
	check_lines(text, lost);
	free(text);
	if (!with_reader)
		assert_int_equal(lost, WRITERS * LINES - 2048);
}

static void test_many_writers(void **state)
{
	run_writers(true);
}

/* Nobody reads: the ring keeps what it has, the rest is lost and counted, nobody waits. */
static void test_full_ring(void **state)
{
	run_writers(false);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_levels),
		cmocka_unit_test(test_control_bytes),
		cmocka_unit_test(test_long_line_is_cut),
		cmocka_unit_test(test_many_writers),
		cmocka_unit_test(test_full_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
