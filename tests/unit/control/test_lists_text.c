/* Lines of prefixes and the state file: what is read, what is refused with which words. */
#include "control/lists_state.h"
#include "control/lists_text.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static const struct lists_text_spec deny_file = {
	.name = "deny.txt", .kind = LIST_DENY, .source = LIST_FROM_FILE, .max = 100};
static const struct lists_text_spec import = {
	.name = "import", .kind = LIST_ALLOW, .source = LIST_FROM_API, .expires = true, .max = 100};

static struct lists_entries parse(const struct lists_text_spec *spec, const char *text)
{
	struct lists_entries entries = {};
	struct err err = {};

	if (lists_text_parse(slice_of(text), spec, &entries, &err))
		fail_msg("%s", err.text);
	return entries;
}

static const char *text_of(const struct lists_entry *entry)
{
	static char text[DP_PREFIX_TEXT_BYTES];

	dp_prefix_print(&entry->prefix, text);
	return text;
}

static void check_refused(
	const struct lists_text_spec *spec, const char *text, int code, const char *words)
{
	struct lists_entries entries = {};
	struct err err = {};

	assert_int_equal(lists_text_parse(slice_of(text), spec, &entries, &err), code);
	if (!strstr(err.text, words))
		fail_msg("'%s' is not in '%s'", words, err.text);
	assert_null(entries.rows);
}

static void test_lines(void **state)
{
	struct lists_entries entries = parse(&deny_file,
		"# head\n\n  2001:db8::/32 # tail\r\n198.51.100.7\n::ffff:192.0.2.0/120\n"
		"198.51.100.7\n198.51.0.0/16");

	assert_int_equal(entries.count, 4);
	assert_string_equal(text_of(&entries.rows[0]), "192.0.2.0/24");
	assert_string_equal(text_of(&entries.rows[1]), "198.51.0.0/16");
	assert_string_equal(text_of(&entries.rows[2]), "198.51.100.7");
	assert_string_equal(text_of(&entries.rows[3]), "2001:db8::/32");
	assert_int_equal(entries.rows[0].source, LIST_FROM_FILE);
	assert_int_equal(entries.rows[0].kind, LIST_DENY);
	lists_entries_free(&entries);
	entries = parse(&deny_file, "");
	assert_int_equal(entries.count, 0);
	lists_entries_free(&entries);
}

static void test_faults_name_the_line(void **state)
{
	check_refused(&deny_file, "192.0.2.1\n\n192.0.2.1/24\n", -EINVAL,
		"deny.txt:3: '192.0.2.1/24' has bits set behind its length: 192.0.2.0/24");
	check_refused(&deny_file, "x", -EINVAL, "deny.txt:1: 'x' is not an address prefix");
	check_refused(&deny_file, "192.0.2.1 192.0.2.2", -EINVAL, "one prefix per line");
	check_refused(
		&deny_file, "192.0.2.1 until 2030-01-31T12:00:00Z", -EINVAL, "one prefix per line");
	check_refused(&import, "192.0.2.1 until tomorrow", -EINVAL, "import:1: 'until' takes");
	check_refused(&import, "192.0.2.1 until 2030-02-31T12:00:00Z", -EINVAL, "import:1:");
	check_refused(&import, "192.0.2.1 until 2030-01-31T12:00:00Z x", -EINVAL, "import:1:");
	check_refused(&import, "192.0.2.1 until", -EINVAL, "import:1:");
}

static void test_too_many(void **state)
{
	struct lists_text_spec two = deny_file;

	two.max = 2;
	check_refused(&two, "192.0.2.1\n192.0.2.2\n192.0.2.3\n", -E2BIG,
		"deny.txt:3: more than 2 prefixes");
}

static void test_missing_file(void **state)
{
	struct lists_text_spec spec = deny_file;
	struct lists_entries entries = {};
	struct err err = {};

	spec.name = "/nonexistent/deny.txt";
	assert_int_equal(lists_text_read(&spec, &entries, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/deny.txt: No such file"));
}

/* What is exported can be imported; of a prefix that comes twice the last line counts. */
static void test_export_comes_back(void **state)
{
	static const char text[] = "192.0.2.0/24\n192.0.2.7 until 2030-01-31T12:00:00Z\n"
				   "2001:db8::1 until 2031-12-01T00:00:01Z\n";
	struct lists_entries entries =
		parse(&import, "2001:db8::1\n192.0.2.7 until 2030-01-31T12:00:00Z\n192.0.2.0/24\n"
			       "2001:db8::1 until 2031-12-01T00:00:01Z\n");
	size_t len;
	char *back = lists_text_print(&entries, &len);

	assert_string_equal(back, text);
	assert_int_equal(len, sizeof(text) - 1);
	assert_int_equal(entries.rows[1].expires_unix_s, 1896091200);
	free(back);
	lists_entries_free(&entries);
}

static void test_match(void **state)
{
	struct lists_entries entries =
		parse(&deny_file, "0.0.0.0/0\n192.0.2.0/24\n192.0.2.128/25\n2001:db8::/33\n");
	static const uint8_t in[] = {192, 0, 2, 200}, near[] = {192, 0, 2, 1}, far[] = {8, 8, 8, 8};
	static const uint8_t v6_in[16] = {0x20, 1, 0xd, 0xb8, 0x7f},
			     v6_out[16] = {0x20, 1, 0xd, 0xb8, 0x80};

	assert_string_equal(text_of(lists_entries_match(&entries, false, in)), "192.0.2.128/25");
	assert_string_equal(text_of(lists_entries_match(&entries, false, near)), "192.0.2.0/24");
	assert_string_equal(text_of(lists_entries_match(&entries, false, far)), "0.0.0.0/0");
	assert_string_equal(text_of(lists_entries_match(&entries, true, v6_in)), "2001:db8::/33");
	assert_null(lists_entries_match(&entries, true, v6_out));
	lists_entries_free(&entries);
}

/* --- the state file */

static char folder[] = "/tmp/sluice-lists-XXXXXX", path[64], damaged[80];

static int folder_make(void **state)
{
	if (!mkdtemp(folder))
		return -1;
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(damaged, sizeof(damaged), "%s.damaged", path);
	return 0;
}

static int folder_remove(void **state)
{
	unlink(path);
	unlink(damaged);
	return rmdir(folder); /* fails where something was left behind */
}

static void save(const char *deny, const char *allow)
{
	struct lists_entries entries[LIST_KINDS] = {parse(&import, deny), parse(&import, allow)};
	struct err err = {};

	if (lists_state_save(path, entries, &err))
		fail_msg("%s", err.text);
	lists_entries_free(&entries[0]);
	lists_entries_free(&entries[1]);
}

static void check_loads(const char *deny, const char *allow)
{
	struct lists_entries entries[LIST_KINDS] = {};
	const char *expected[] = {deny, allow};
	struct err err = {};

	if (lists_state_load(path, entries, &err))
		fail_msg("%s", err.text);
	for (int kind = 0; kind < LIST_KINDS; kind++) {
		size_t len;
		char *text = lists_text_print(&entries[kind], &len);

		assert_string_equal(text, expected[kind]);
		for (size_t i = 0; i < entries[kind].count; i++) {
			assert_int_equal(entries[kind].rows[i].kind, kind);
			assert_int_equal(entries[kind].rows[i].source, LIST_FROM_API);
		}
		free(text);
		lists_entries_free(&entries[kind]);
	}
}

static void check_damaged(void)
{
	struct lists_entries entries[LIST_KINDS] = {};
	struct err err = {};

	assert_int_equal(lists_state_load(path, entries, &err), -EBADMSG);
	assert_non_null(strstr(err.text, path));
	assert_non_null(strstr(err.text, damaged));
	assert_null(entries[0].rows);
	assert_null(entries[1].rows);
	assert_int_equal(access(damaged, F_OK), 0);
	check_loads("", ""); /* the next start has a clean slate */
}

static void test_state_comes_back(void **state)
{
	check_loads("", "");
	save("192.0.2.0/24 until 2030-01-31T12:00:00Z\n2001:db8::1\n", "::/0\n");
	check_loads("192.0.2.0/24 until 2030-01-31T12:00:00Z\n2001:db8::1\n", "::/0\n");
	save("", "");
	check_loads("", "");
	unlink(path);
}

/* Every length a torn write can leave. */
static void test_torn_state_is_refused(void **state)
{
	struct stat file;

	save("192.0.2.0/24\n", "2001:db8::1\n");
	assert_int_equal(stat(path, &file), 0);
	for (off_t len = 0; len < file.st_size; len++) {
		save("192.0.2.0/24\n", "2001:db8::1\n");
		assert_int_equal(truncate(path, len), 0);
		check_damaged();
	}
}

static void test_changed_state_is_refused(void **state)
{
	struct stat file;

	save("192.0.2.0/24\n", "2001:db8::1\n");
	assert_int_equal(stat(path, &file), 0);
	for (off_t at = 0; at < file.st_size; at++) {
		char byte;
		int fd;

		save("192.0.2.0/24\n", "2001:db8::1\n");
		fd = open(path, O_RDWR);
		assert_int_equal(pread(fd, &byte, 1, at), 1);
		byte ^= 1;
		assert_int_equal(pwrite(fd, &byte, 1, at), 1);
		close(fd);
		check_damaged();
	}
}

/* Where the new file cannot be written the old one stays, and nothing lies about. */
static void test_failed_save_keeps_the_old(void **state)
{
	struct lists_entries none[LIST_KINDS] = {};
	struct err err = {};
	char fresh[80];

	save("192.0.2.0/24\n", "");
	snprintf(fresh, sizeof(fresh), "%s.new", path);
	assert_int_equal(mkdir(fresh, 0700), 0);
	assert_true(lists_state_save(path, none, &err) < 0);
	assert_non_null(strstr(err.text, path));
	assert_int_equal(rmdir(fresh), 0);
	check_loads("192.0.2.0/24\n", "");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_faults_name_the_line),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_missing_file),
		cmocka_unit_test(test_export_comes_back),
		cmocka_unit_test(test_match),
		cmocka_unit_test(test_state_comes_back),
		cmocka_unit_test(test_torn_state_is_refused),
		cmocka_unit_test(test_changed_state_is_refused),
		cmocka_unit_test(test_failed_save_keeps_the_old),
	};

	return cmocka_run_group_tests_name("control/lists_text", tests, folder_make, folder_remove);
}
