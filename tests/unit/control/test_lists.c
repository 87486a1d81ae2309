/* The node's lists: what is in force after which change, what is refused, expiry, and what a restart
 * keeps. The packet plane is switched off: what it does with lists is tested in tests/bpf. */
#include "control/lists.h"
#include "control/lists_text.h"
#include "core/clock.h"
#include "core/mem.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { DEADLINE_MS = 20000, LOOK_MS = 20 };

static struct loop *loop;
static struct loader *loader;
static struct dataplane *plane;
static struct lists *lists;
static char folder[] = "/tmp/sluice-lists-XXXXXX", state_path[64], file_path[64];

static struct dp_prefix prefix_of(const char *text)
{
	struct dp_prefix prefix = {};
	struct err err = {};

	if (dp_prefix_parse(slice_of(text), &prefix, &err))
		fail_msg("%s", err.text);
	return prefix;
}

/* --- running the loop until something is so */

struct waiting {
	struct timer timer;
	bool (*is_so)(void);
	uint64_t deadline_ms;
	bool late;
};

static void look(struct timer *timer)
{
	struct waiting *waiting = container_of(timer, struct waiting, timer);

	waiting->late = clock_mono_ms() > waiting->deadline_ms;
	if (waiting->late || waiting->is_so())
		loop_stop(loop);
	else
		timer_set(loop, &waiting->timer, LOOK_MS);
}

static void wait_until(bool (*is_so)(void))
{
	struct waiting waiting = {
		.timer.fire = look, .is_so = is_so, .deadline_ms = clock_mono_ms() + DEADLINE_MS};

	timer_set(loop, &waiting.timer, 1);
	loop_run(loop);
	timer_clear(&waiting.timer);
	assert_false(waiting.late);
}

static struct told {
	struct lists_request request;
	int times, code;
	char text[ERR_TEXT_BYTES];
} told;

static void request_done(struct lists_request *request, int code, const char *text)
{
	assert_ptr_equal(request, &told.request);
	told.times++;
	told.code = code;
	snprintf(told.text, sizeof(told.text), "%s", text);
}

static bool is_told(void)
{
	return told.times > 0;
}

static bool is_settled(void)
{
	struct lists_report report;

	lists_report(lists, &report);
	return !report.is_changing;
}

static struct lists_request *ask(void)
{
	told = (struct told){.request.done = request_done};
	return &told.request;
}

static void answered(int code)
{
	wait_until(is_told);
	if (told.code != code)
		fail_msg("%d: %s", told.code, told.text);
	assert_int_equal(told.times, 1);
	wait_until(is_settled);
}

static int change(const char *prefix, bool del, int64_t expires_unix_s, struct err *err)
{
	struct lists_change row = {.kind = LIST_DENY,
		.del = del,
		.prefix = prefix_of(prefix),
		.expires_unix_s = expires_unix_s};

	return lists_change(lists, &row, 1, ask(), err);
}

static void add(const char *prefix, int64_t expires_unix_s)
{
	struct err err = {};

	if (change(prefix, false, expires_unix_s, &err))
		fail_msg("%s", err.text);
	answered(0);
}

static void import(enum list_kind kind, const char *text, int code)
{
	lists_import(lists, kind, mem_strdup(text), strlen(text), ask());
	answered(code);
}

/* --- what there is */

static char in_force_text[1024];

static const char *in_force(enum list_kind kind)
{
	struct lists_view *view = lists_view_get(lists);

	in_force_text[0] = '\0';
	for (size_t i = 0; i < lists_view_count(view, kind); i++) {
		struct lists_entry entry = lists_view_entry(view, kind, i);
		char text[DP_PREFIX_TEXT_BYTES];
		size_t len = strlen(in_force_text);

		dp_prefix_print(&entry.prefix, text);
		snprintf(in_force_text + len, sizeof(in_force_text) - len, "%s:%s ",
			lists_source_name((enum lists_source)entry.source), text);
	}
	lists_view_put(view);
	return in_force_text;
}

/* --- life of a test */

static struct lists_config *config_of(const char *deny, const char *file)
{
	struct dp_prefix prefix = prefix_of(deny);
	struct lists_config_spec spec = {
		.prefixes = {[LIST_DENY] = &prefix}, .counts = {[LIST_DENY] = 1}};
	struct lists_config *config = NULL;
	struct err err = {};

	if (file) {
		FILE *out = fopen(file_path, "w");

		fputs(file, out);
		fclose(out);
		spec.paths[LIST_DENY] = file_path;
	}
	if (lists_config_new(&spec, &config, &err))
		fail_msg("%s", err.text);
	return config;
}

static void begin(struct lists_config *config)
{
	struct lists_spec spec = {.loop = loop, .dp = plane, .state_path = state_path};
	struct err err = {};

	assert_int_equal(loader_new(loop, "test-loader", true, &loader), 0);
	spec.loader = loader;
	if (lists_new(&spec, config, &lists, &err))
		fail_msg("%s", err.text);
}

static void end(void)
{
	loader_free(loader);
	lists_free(lists);
	loader = NULL;
	lists = NULL;
}

static void restart(void)
{
	end();
	begin(config_of("192.0.2.0/24", NULL));
}

static int setup(void **state)
{
	struct dataplane_spec off = {.workers = 1};
	struct err err = {};

	if (!mkdtemp(folder) || loop_new(&loop) || dataplane_open(&off, &plane, &err))
		return -1;
	snprintf(state_path, sizeof(state_path), "%s/state", folder);
	snprintf(file_path, sizeof(file_path), "%s/deny", folder);
	return 0;
}

static int teardown(void **state)
{
	dataplane_close(plane, DATAPLANE_DETACH);
	loop_free(loop);
	return rmdir(folder);
}

static int test_begin(void **state)
{
	begin(config_of("192.0.2.0/24", NULL));
	return 0;
}

static int test_end(void **state)
{
	char damaged[80];

	if (lists)
		end();
	snprintf(damaged, sizeof(damaged), "%s.damaged", state_path);
	unlink(damaged);
	unlink(state_path);
	unlink(file_path);
	return 0;
}

static void test_config_and_file(void **state)
{
	static const uint8_t address[] = {192, 0, 2, 77};
	struct lists_report report;
	struct lists_entry entry;
	struct lists_view *view;

	begin(config_of("192.0.2.0/24", "2001:db8::/32\n192.0.2.64/26 # half\n"));
	assert_string_equal(
		in_force(LIST_DENY), "config:192.0.2.0/24 file:192.0.2.64/26 file:2001:db8::/32 ");
	view = lists_view_get(lists);
	assert_true(lists_view_match(view, LIST_DENY, false, address, &entry));
	assert_int_equal(entry.prefix.length_bits, 26);
	assert_int_equal(entry.source, LIST_FROM_FILE);
	assert_false(lists_view_match(view, LIST_ALLOW, false, address, &entry));
	lists_view_put(view);
	lists_report(lists, &report);
	assert_int_equal(report.counts[LIST_DENY][LIST_FROM_FILE], 2);
	assert_string_equal(report.error, "");
}

static void test_file_fault_refuses_the_configuration(void **state)
{
	struct lists_config_spec spec = {.paths = {[LIST_DENY] = file_path}};
	struct lists_config *config = NULL;
	struct err err = {};
	FILE *out = fopen(file_path, "w");

	fputs("192.0.2.1\n192.0.2.2/24\n", out);
	fclose(out);
	assert_int_equal(lists_config_new(&spec, &config, &err), -EINVAL);
	assert_null(config);
	assert_non_null(strstr(err.text, "/deny:2: '192.0.2.2/24'"));
}

static void test_changes_survive_a_restart(void **state)
{
	int64_t later = clock_unix_s() + 1000;
	struct err err = {};

	add("198.51.100.7", later);
	add("2001:db8::/48", 0);
	import(LIST_ALLOW, "198.51.100.0/24\n", 0);
	restart();
	assert_string_equal(
		in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.7 api:2001:db8::/48 ");
	assert_string_equal(in_force(LIST_ALLOW), "api:198.51.100.0/24 ");
	assert_int_equal(change("198.51.100.7", true, 0, &err), 0);
	answered(0);
	restart();
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 api:2001:db8::/48 ");
}

static void test_refused_at_once(void **state)
{
	struct lists_change both[] = {
		{.kind = LIST_DENY, .prefix = prefix_of("198.51.100.1")},
		{.kind = LIST_DENY, .del = true, .prefix = prefix_of("198.51.100.2")},
	};
	struct err err = {};

	assert_int_equal(lists_change(lists, both, 2, ask(), &err), -ENOENT);
	assert_string_equal(err.text, "198.51.100.2 is not on the deny list");
	assert_int_equal(change("192.0.2.0/24", true, 0, &err), -EPERM);
	assert_non_null(strstr(err.text, "192.0.2.0/24 is on the deny list by the configuration"));
	assert_int_equal(change("198.51.100.1", false, clock_unix_s(), &err), -EINVAL);
	assert_int_equal(lists_change(lists, both, 0, ask(), &err), -EINVAL);
	add("198.51.100.3", 0); /* nothing of the refused ones came along */
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.3 ");
	assert_int_equal(told.times, 1);
}

/* Changes that wait for the same turn count in their order. */
static void test_changes_in_order(void **state)
{
	struct err err = {};

	assert_int_equal(change("198.51.100.1", false, 0, &err), 0);
	assert_int_equal(change("198.51.100.1", true, 0, &err), 0);
	assert_int_equal(change("198.51.100.1", true, 0, &err), -ENOENT);
	assert_int_equal(change("198.51.100.2", true, 0, &err), -ENOENT);
	assert_int_equal(change("198.51.100.2", false, 0, &err), 0);
	wait_until(is_settled);
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.2 ");
}

static void test_import(void **state)
{
	struct lists_view *view;
	char *text;
	size_t len;

	add("198.51.100.7", 0);
	import(LIST_DENY, "203.0.113.9 until 2099-01-01T00:00:00Z\n203.0.113.0/24\n", 0);
	assert_string_equal(
		in_force(LIST_DENY), "config:192.0.2.0/24 api:203.0.113.0/24 api:203.0.113.9 ");
	import(LIST_DENY, "198.51.100.7\nnonsense\n", -EINVAL);
	assert_non_null(strstr(told.text, "import:2: 'nonsense'"));
	assert_string_equal(
		in_force(LIST_DENY), "config:192.0.2.0/24 api:203.0.113.0/24 api:203.0.113.9 ");
	view = lists_view_get(lists);
	text = lists_view_export(view, LIST_DENY, &len);
	assert_string_equal(text, "203.0.113.0/24\n203.0.113.9 until 2099-01-01T00:00:00Z\n");
	free(text);
	lists_view_put(view);
	import(LIST_DENY, "", 0);
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 ");
}

static bool is_expired(void)
{
	return strcmp(in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.2 ") == 0;
}

static void test_expiry(void **state)
{
	int64_t expires = clock_unix_s() + 2;

	add("198.51.100.2", 0);
	add("198.51.100.1", expires);
	wait_until(is_expired);
	assert_true(clock_unix_s() >= expires);
	wait_until(is_settled);
	restart();
	assert_true(is_expired());
}

static void test_reload_keeps_what_was_added(void **state)
{
	struct err err = {};

	add("198.51.100.7", 0);
	lists_config_set(lists, config_of("203.0.113.0/24", "192.0.2.1\n"), NULL);
	lists_config_set(lists, config_of("203.0.113.0/25", "192.0.2.2\n"), ask());
	wait_until(is_told);
	assert_int_equal(told.code, 0);
	assert_string_equal(
		in_force(LIST_DENY), "config:203.0.113.0/25 file:192.0.2.2 api:198.51.100.7 ");
	/* nothing new: nothing to wait for */
	wait_until(is_settled);
	lists_config_set(lists, config_of("203.0.113.0/25", "192.0.2.2\n"), ask());
	assert_int_equal(told.times, 1);
	wait_until(is_settled);
	assert_int_equal(change("192.0.2.2", true, 0, &err), -EPERM);
}

/* What cannot be kept is not put in force either. */
static void test_unwritable_state(void **state)
{
	char fresh[80], inside[96];
	struct err err = {};

	snprintf(fresh, sizeof(fresh), "%s.new", state_path);
	snprintf(inside, sizeof(inside), "mkdir %s", fresh);
	assert_int_equal(system(inside), 0);
	assert_int_equal(change("198.51.100.7", false, 0, &err), 0);
	wait_until(is_told);
	assert_true(told.code < 0);
	assert_non_null(strstr(told.text, state_path));
	wait_until(is_settled);
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 ");
	assert_int_equal(rmdir(fresh), 0);
	add("198.51.100.8", 0);
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.8 ");
}

static void test_damaged_state(void **state)
{
	add("198.51.100.7", 0);
	end();
	assert_int_equal(truncate(state_path, 60), 0);
	begin(config_of("192.0.2.0/24", NULL));
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 ");
	add("198.51.100.8", 0);
	restart();
	assert_string_equal(in_force(LIST_DENY), "config:192.0.2.0/24 api:198.51.100.8 ");
}

/* The daemon stops with a change on its way: whoever asked is told, once. */
static void test_stop_tells(void **state)
{
	struct err err = {};

	add("198.51.100.7", 0);
	assert_int_equal(change("198.51.100.8", false, 0, &err), 0); /* waits for its second */
	end();
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, -ECANCELED);
	begin(config_of("192.0.2.0/24", NULL));
	assert_int_equal(change("198.51.100.9", false, 0, &err), 0); /* on its way */
	end();
	assert_int_equal(told.times, 1);
	assert_int_equal(told.code, 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_config_and_file, test_end),
		cmocka_unit_test_teardown(test_file_fault_refuses_the_configuration, test_end),
		TEST(test_changes_survive_a_restart),
		TEST(test_refused_at_once),
		TEST(test_changes_in_order),
		TEST(test_import),
		TEST(test_expiry),
		TEST(test_reload_keeps_what_was_added),
		TEST(test_unwritable_state),
		TEST(test_damaged_state),
		TEST(test_stop_tells),
	};

	return cmocka_run_group_tests_name("control/lists", tests, setup, teardown);
}
