/* Log files: writing, reopening, changing, files that cannot be written. */
#include "control/logfile.h"

#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

static char dir[] = "/tmp/sluice-test-logfile-XXXXXX";
static struct logfile *log;

static const char *path_of(const char *name)
{
	static char paths[8][64];
	static unsigned int next;
	char *path = paths[next++ % 8];

	snprintf(path, sizeof(paths[0]), "%s/%s", dir, name);
	return path;
}

static int setup(void **state)
{
	log = logfile_new("test log", 2);
	return 0;
}

static int teardown(void **state)
{
	char command[64];

	logfile_free(log);
	snprintf(command, sizeof(command), "rm -rf '%s'/*", dir);
	return system(command);
}

static void put(uint32_t writer, const char *line)
{
	assert_true(linering_put(logfile_ring(log, writer), line, strlen(line)));
}

static void expect_file(const char *name, const char *text)
{
	char bytes[256] = "";
	FILE *in = fopen(path_of(name), "re");

	assert_non_null(in);
	bytes[fread(bytes, 1, sizeof(bytes) - 1, in)] = '\0';
	fclose(in);
	assert_string_equal(bytes, text);
}

static struct logfile_counts counts(void)
{
	struct logfile_counts now;

	logfile_counts(log, &now);
	return now;
}

static void without_a_path_there_is_no_ring(void **state)
{
	assert_null(logfile_ring(log, 0));
	assert_false(logfile_has_work(log));
	logfile_reopen(log);
	assert_false(logfile_has_work(log));
	logfile_set_path(log, NULL);
	logfile_drain(log);
	assert_false(counts().is_open);
}

/* Of a configuration that was refused. */
static void what_was_never_written_makes_no_file(void **state)
{
	struct logfile *other = logfile_new("other log", 1);

	logfile_set_path(other, path_of("never"));
	logfile_free(other);
	assert_int_equal(access(path_of("never"), F_OK), -1);
}

static void lines_are_written(void **state)
{
	struct stat about;

	logfile_set_path(log, path_of("a"));
	assert_true(logfile_has_work(log));
	logfile_drain(log);
	assert_false(logfile_has_work(log));
	assert_int_equal(stat(path_of("a"), &about), 0);
	assert_int_equal(about.st_mode & 0777 & ~0640, 0);
	put(0, "one\n");
	put(1, "three\n");
	put(0, "two\n");
	assert_true(logfile_has_work(log));
	logfile_drain(log);
	assert_false(logfile_has_work(log));
	expect_file("a", "one\ntwo\nthree\n");
	assert_int_equal(counts().written, 3);
	assert_int_equal(counts().bytes, 14);
	assert_int_equal(counts().dropped_error, 0);
	assert_true(counts().is_open);
}

static void a_file_is_continued(void **state)
{
	logfile_set_path(log, path_of("a"));
	put(0, "one\n");
	logfile_free(log); /* writes the rest */
	log = logfile_new("test log", 2);
	logfile_set_path(log, path_of("a"));
	put(1, "two\n");
	logfile_drain(log);
	expect_file("a", "one\ntwo\n");
}

static void a_renamed_file_is_opened_again(void **state)
{
	logfile_set_path(log, path_of("a"));
	put(0, "one\n");
	logfile_drain(log);
	assert_int_equal(rename(path_of("a"), path_of("a.1")), 0);
	put(0, "two\n");
	logfile_drain(log);
	logfile_reopen(log);
	put(0, "three\n");
	logfile_drain(log);
	expect_file("a.1", "one\ntwo\n");
	expect_file("a", "three\n");
	assert_int_equal(counts().reopened, 1);
}

static void the_path_changes(void **state)
{
	struct linering *ring;

	logfile_set_path(log, path_of("a"));
	put(0, "one\n");
	logfile_drain(log);
	logfile_set_path(log, path_of("b"));
	put(0, "two\n");
	logfile_drain(log);
	expect_file("a", "one\n");
	expect_file("b", "two\n");
	ring = logfile_ring(log, 0);
	put(0, "last\n");
	logfile_set_path(log, NULL);
	assert_null(logfile_ring(log, 0));
	assert_true(linering_put(ring, "late\n", 5)); /* a writer that has not seen it yet */
	logfile_drain(log);
	expect_file("b", "two\nlast\nlate\n");
	assert_false(counts().is_open);
	assert_int_equal(counts().reopened, 0);
}

static void a_file_that_cannot_be_opened(void **state)
{
	logfile_set_path(log, path_of("no/a"));
	put(0, "one\n");
	put(0, "two\n");
	logfile_drain(log);
	assert_false(counts().is_open);
	assert_string_equal(counts().error, "cannot open: No such file or directory");
	assert_int_equal(counts().dropped_error, 2);
	assert_int_equal(mkdir(path_of("no"), 0700), 0);
	logfile_reopen(log); /* else it is tried once a second */
	logfile_drain(log);
	assert_true(counts().is_open);
	assert_string_equal(counts().error, "");
	put(0, "three\n");
	logfile_drain(log);
	expect_file("no/a", "three\n");
}

static void a_full_disk(void **state)
{
	logfile_set_path(log, "/dev/full");
	put(0, "one\n");
	logfile_drain(log);
	put(1, "two\n");
	logfile_drain(log);
	assert_int_equal(counts().written, 0);
	assert_int_equal(counts().dropped_error, 2);
	assert_string_equal(counts().error, "cannot write: No space left on device");
	logfile_set_path(log, path_of("a"));
	put(0, "three\n");
	logfile_drain(log);
	expect_file("a", "three\n");
	assert_string_equal(counts().error, "");
}

static void a_full_ring(void **state)
{
	static char line[LOGFILE_RING_BYTES / 4];
	int i;

	memset(line, 'x', sizeof(line));
	line[sizeof(line) - 1] = '\n';
	logfile_set_path(log, path_of("a"));
	for (i = 0; i < 4; i++)
		assert_true(linering_put(logfile_ring(log, 0), line, sizeof(line)));
	assert_false(linering_put(logfile_ring(log, 0), line, sizeof(line)));
	assert_int_equal(counts().dropped_full, 1);
	logfile_drain(log);
	assert_int_equal(counts().written, 4);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(without_a_path_there_is_no_ring),
		TEST(what_was_never_written_makes_no_file),
		TEST(lines_are_written),
		TEST(a_file_is_continued),
		TEST(a_renamed_file_is_opened_again),
		TEST(the_path_changes),
		TEST(a_file_that_cannot_be_opened),
		TEST(a_full_disk),
		TEST(a_full_ring),
	};
	int failed;

	if (!mkdtemp(dir))
		return 1;
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	rmdir(dir);
	return failed;
}
