/* Versions of objects on disk: what a crash, a full disk or damage at any point leaves is a whole
 * version, the one before or the one after. */
#include "control/versions.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STEPS_MAX = 100, KILLED = 77 };

/* --- a kernel that fails */

enum fault { FAULT_NONE, FAULT_FULL, FAULT_KILL };

static enum fault fault;
static int steps_left; /* until then all goes well */
static bool is_head_stuck; /* HEAD alone cannot be renamed */

/* True: this step is the one. */
static bool is_now(void)
{
	if (fault == FAULT_NONE || steps_left-- != 0)
		return false;
	if (fault == FAULT_KILL)
		_exit(KILLED);
	errno = ENOSPC;
	return true;
}

/* A part of the bytes is written before anything happens. */
static ssize_t faulty_write(int fd, const void *bytes, size_t len)
{
	if (fault != FAULT_NONE && steps_left == 0 && len > 1)
		(void)!write(fd, bytes, len / 2);
	return is_now() ? -1 : write(fd, bytes, len);
}

static int n_syncs; /* calls that wait for the disk */

static int faulty_fsync(int fd)
{
	n_syncs++;
	return is_now() ? -1 : fsync(fd);
}

static int faulty_rename(int old_dir, const char *old_name, int new_dir, const char *new_name)
{
	if (is_head_stuck && strcmp(new_name, "HEAD") == 0) {
		errno = EIO;
		return -1;
	}
	return is_now() ? -1 : renameat(old_dir, old_name, new_dir, new_name);
}

static int faulty_syncfs(int fd)
{
	n_syncs++;
	return is_now() ? -1 : syncfs(fd);
}

static const struct disk_calls calls = {faulty_write, faulty_fsync, faulty_rename, faulty_syncfs};

/* --- a folder */

static char folder[64];

static int setup(void **state)
{
	fault = FAULT_NONE;
	is_head_stuck = false;
	strcpy(folder, "/tmp/sluice-versions-XXXXXX");
	return mkdtemp(folder) ? 0 : -1;
}

static void remove_all(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *name = mem_printf("%s/%s", path, entry->d_name);

		if (entry->d_name[0] != '.' && unlink(name) < 0)
			remove_all(name);
		free(name);
	}
	if (dir)
		closedir(dir);
	rmdir(path);
}

static int teardown(void **state)
{
	remove_all(folder);
	return 0;
}

static int count_files(const char *below)
{
	char *path = mem_printf("%s/objects/%s", folder, below);
	DIR *dir = opendir(path);
	struct dirent *entry;
	int n = 0;

	while (dir && (entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	if (dir)
		closedir(dir);
	free(path);
	return n;
}

/* --- versions */

static struct versions *versions;
static struct object_set set;
static struct err warning;

static void open_all(void)
{
	struct err err;

	if (versions_open(folder, &calls, &versions, &set, &warning, &err) < 0)
		fail_msg("%s", err.text);
}

static void close_all(void)
{
	versions_free(versions);
	versions = NULL;
	object_set_fini(&set);
}

/* Has content `body` under the name "shop". What HEAD does not name is in force nevertheless. */
static int change_to(const char *body, struct err *err)
{
	struct version about = {
		.at_unix_s = 1000, .uid = 7, .pid = 99, .changes = (char *)"[{\"op\":\"put\"}]"};
	char hex[DIGEST_HEX_BYTES];
	struct object_set next;
	int r = versions_put_blob(versions, body, strlen(body), hex, err);

	if (r < 0) {
		versions_abandon(versions);
		return r;
	}
	object_set_copy(&next, &set);
	object_set_put(&next, "certificates", "shop",
		mem_printf("{\n  \"cert\": {\"blob\": \"%s\"}\n}", hex));
	r = versions_prepare(versions, &about, &next, err);
	if (r < 0) {
		object_set_fini(&next);
		return r;
	}
	object_set_fini(&set);
	set = next;
	return versions_commit(versions, err);
}

static void must_change_to(const char *body)
{
	struct err err;

	if (change_to(body, &err) < 0)
		fail_msg("%s", err.text);
}

/* The content that "shop" has in `objects`. */
static void assert_content(const struct object_set *objects, const char *body)
{
	const struct object *shop = object_set_find(objects, "certificates", "shop");
	char hex[DIGEST_HEX_BYTES];

	assert_non_null(shop);
	digest_hex(body, strlen(body), hex);
	assert_non_null(strstr(shop->text, hex));
	assert_true(versions_has_blob(versions, hex));
}

static void nothing_is_made_before_a_change(void **state)
{
	struct stat about;

	open_all();
	assert_int_equal(versions_head(versions), 0);
	assert_int_equal(set.n, 0);
	close_all();
	assert_int_equal(count_files(""), 0);
	open_all();
	must_change_to("one");
	close_all();
	char *blob = mem_printf("%s/objects/blobs", folder);
	assert_int_equal(stat(blob, &about), 0);
	assert_int_equal(about.st_mode & 0777, 0700);
	free(blob);
}

static void a_restart_has_what_was_committed(void **state)
{
	const struct version *list;
	size_t n;

	open_all();
	must_change_to("one");
	must_change_to("two");
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_int_equal(versions_head(versions), 2);
	assert_content(&set, "two");
	list = versions_list(versions, &n);
	assert_int_equal(n, 2);
	assert_int_equal(list[1].number, 2);
	assert_int_equal(list[1].at_unix_s, 1000);
	assert_int_equal(list[1].uid, 7);
	assert_int_equal(list[1].pid, 99);
	assert_string_equal(list[1].changes, "[{\"op\":\"put\"}]");
	close_all();
}

static void an_older_version_can_be_read(void **state)
{
	struct object_set old;
	struct err err;

	open_all();
	must_change_to("one");
	must_change_to("two");
	assert_int_equal(versions_read(versions, 1, &old, &err), 0);
	assert_content(&old, "one");
	object_set_fini(&old);
	assert_int_equal(versions_read(versions, 3, &old, &err), -ENOENT);
	close_all();
}

/* Contents go with the last version that has them, not before. */
static void old_versions_go_with_their_contents(void **state)
{
	struct object_set old;
	struct err err;

	open_all();
	must_change_to("one");
	must_change_to("two");
	must_change_to("one");
	must_change_to("three");
	assert_int_equal(count_files("blobs"), 3);
	versions_prune(versions, 3); /* two, one, three */
	assert_int_equal(count_files("versions"), 3);
	assert_int_equal(count_files("blobs"), 3);
	versions_prune(versions, 2); /* one, three */
	assert_int_equal(count_files("blobs"), 2);
	assert_int_equal(versions_read(versions, 3, &old, &err), 0);
	assert_content(&old, "one");
	object_set_fini(&old);
	close_all();
	open_all(); /* another process counts the same */
	versions_prune(versions, 1);
	assert_int_equal(count_files("blobs"), 1);
	assert_content(&set, "three");
	close_all();
}

static void abandoned_leaves_nothing(void **state)
{
	struct version about = {.changes = (char *)"[]"};
	char hex[DIGEST_HEX_BYTES];
	struct err err;

	open_all();
	must_change_to("one");
	assert_int_equal(versions_put_blob(versions, "two", 3, hex, &err), 0);
	assert_int_equal(versions_put_blob(versions, "one", 3, hex, &err), 0); /* is there */
	assert_int_equal(versions_prepare(versions, &about, &set, &err), 0);
	assert_int_equal(count_files("versions"), 2);
	versions_abandon(versions);
	assert_int_equal(count_files("versions"), 1);
	assert_int_equal(count_files("blobs"), 1);
	assert_content(&set, "one");
	close_all();
}

/* Each write, sync and rename in turn finds the disk full: refused, nothing has changed. */
static void a_full_disk_changes_nothing(void **state)
{
	struct err err = {""};
	int step, r = -1;

	open_all();
	must_change_to("one");
	close_all();
	for (step = 0; step < STEPS_MAX && r < 0; step++) {
		open_all();
		fault = FAULT_FULL;
		steps_left = step;
		r = change_to("two", &err);
		fault = FAULT_NONE;
		if (r == 0)
			break;
		assert_int_equal(r, -ENOSPC);
		assert_non_null(strstr(err.text, "No space left"));
		close_all();
		open_all();
		assert_string_equal(warning.text, "");
		if (versions_head(versions) == 1) {
			assert_content(&set, "one");
			assert_int_equal(count_files("versions"), 1);
			assert_int_equal(count_files("blobs"), 1);
		} else { /* HEAD has its name, only the sync of the folder failed */
			assert_content(&set, "two");
			break;
		}
		close_all();
	}
	assert_true(step >= 8);
	close_all();
}

/* Contents are waited for together, and those of a dry run not at all. */
static void many_contents_are_synced_at_once(void **state)
{
	struct version about = {.changes = (char *)"[]"};
	char hex[DIGEST_HEX_BYTES], body[16];
	struct err err;
	int i;

	open_all();
	must_change_to("one");
	n_syncs = 0;
	for (i = 0; i < 40; i++) {
		snprintf(body, sizeof(body), "content %d", i);
		assert_int_equal(versions_put_blob(versions, body, strlen(body), hex, &err), 0);
	}
	assert_int_equal(n_syncs, 0);
	assert_int_equal(versions_prepare(versions, &about, &set, &err), 0);
	assert_in_range(n_syncs, 2, 8);
	versions_abandon(versions);
	close_all();
}

/* Each one that nobody has may still be on its way to the disk, also if it was there before. */
static void few_contents_are_synced_one_by_one(void **state)
{
	struct version about = {.changes = (char *)"[]"};
	char hex[DIGEST_HEX_BYTES];
	int n_without, i;
	struct err err;

	open_all();
	must_change_to("one");
	n_syncs = 0;
	assert_int_equal(versions_prepare(versions, &about, &set, &err), 0);
	n_without = n_syncs;
	versions_abandon(versions);
	n_syncs = 0;
	for (i = 0; i < 2; i++)
		assert_int_equal(versions_put_blob(versions, "two", 3, hex, &err), 0);
	assert_int_equal(versions_put_blob(versions, "one", 3, hex, &err), 0);
	assert_int_equal(versions_prepare(versions, &about, &set, &err), 0);
	assert_in_range(n_syncs, n_without + 2, n_without + 3); /* the file, and the folder */
	versions_abandon(versions);
	close_all();
}

static void die_while_changing(int step)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		struct err err;

		open_all();
		fault = FAULT_KILL;
		steps_left = step;
		_exit(change_to("two", &err) == 0 ? 0 : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFEXITED(status));
	assert_true(WEXITSTATUS(status) == KILLED || WEXITSTATUS(status) == 0);
}

/* Killed before each step in turn, and in the middle of each write. */
static void a_crash_leaves_a_whole_version(void **state)
{
	bool was_before = false;
	int step;

	open_all();
	must_change_to("one");
	close_all();
	for (step = 0; step < STEPS_MAX; step++) {
		die_while_changing(step);
		open_all();
		assert_string_equal(warning.text, "");
		assert_int_equal(count_files("versions"), (int)versions_head(versions));
		if (versions_head(versions) == 2)
			break;
		was_before = true;
		assert_content(&set, "one");
		assert_int_equal(count_files("blobs"), 1);
		must_change_to("one"); /* it goes on: and back to one version */
		close_all();
		remove_all(folder);
		assert_int_equal(mkdir(folder, 0700), 0);
		open_all();
		must_change_to("one");
		close_all();
	}
	assert_true(was_before);
	assert_true(step >= 8 && step < STEPS_MAX);
	assert_content(&set, "two");
	close_all();
}

static void overwrite(const char *name, long offset, const char *bytes)
{
	char *path = mem_printf("%s/objects/%s", folder, name);
	int fd = open(path, O_WRONLY);

	assert_true(fd >= 0);
	assert_int_equal(pwrite(fd, bytes, strlen(bytes), offset), (ssize_t)strlen(bytes));
	close(fd);
	free(path);
}

static void a_damaged_version_gives_way_to_the_one_before(void **state)
{
	char *path = mem_printf("%s/objects/versions/0000000002", folder);
	struct stat about;

	open_all();
	must_change_to("one");
	must_change_to("two");
	close_all();
	assert_int_equal(stat(path, &about), 0);
	for (long at = 0; at < about.st_size; at += 7) {
		char was[2] = "", other[2] = "!";
		int fd = open(path, O_RDONLY);

		assert_int_equal(pread(fd, was, 1, at), 1);
		close(fd);
		overwrite("versions/0000000002", at, other);
		open_all();
		assert_int_equal(versions_head(versions), 1);
		assert_non_null(strstr(warning.text, "version 1 is in force instead"));
		assert_non_null(strstr(warning.text, "damaged"));
		assert_content(&set, "one");
		close_all();
		overwrite("versions/0000000002", at, was);
	}
	open_all();
	assert_content(&set, "two");
	close_all();
	assert_int_equal(truncate(path, about.st_size / 2), 0);
	open_all();
	assert_content(&set, "one");
	must_change_to("three"); /* and keeps its number */
	assert_int_equal(versions_head(versions), 3);
	close_all();
	open_all();
	assert_content(&set, "three");
	close_all();
	free(path);
}

/* What only versions before it have is not taken for nobody's. */
static void a_damaged_version_in_between_costs_no_contents(void **state)
{
	struct object_set old;
	struct err err;

	open_all();
	must_change_to("one");
	must_change_to("two");
	must_change_to("three");
	close_all();
	overwrite("versions/0000000002", 0, "X");
	open_all();
	assert_string_equal(warning.text, "");
	assert_int_equal(count_files("blobs"), 3);
	if (versions_read(versions, 1, &old, &err) < 0)
		fail_msg("%s", err.text);
	assert_content(&old, "one");
	object_set_fini(&old);
	versions_prune(versions, 1);
	close_all();
	open_all(); /* there is none before it any more */
	assert_int_equal(count_files("blobs"), 1);
	assert_content(&set, "three");
	close_all();
}

enum { BLOB_NAME_BYTES = DIGEST_HEX_BYTES + 8 };

/* Two versions; the content of the second, of this digest and file, is not what it was. */
static void damage_the_second(
	char ret_hex[static DIGEST_HEX_BYTES], char ret_name[static BLOB_NAME_BYTES])
{
	open_all();
	must_change_to("one");
	must_change_to("two");
	close_all();
	digest_hex("two", 3, ret_hex);
	snprintf(ret_name, BLOB_NAME_BYTES, "blobs/%s", ret_hex);
	overwrite(ret_name, 0, "T");
}

static void a_damaged_content_too(void **state)
{
	char hex[DIGEST_HEX_BYTES], name[BLOB_NAME_BYTES];

	damage_the_second(hex, name);
	open_all();
	assert_int_equal(versions_head(versions), 1);
	assert_non_null(strstr(warning.text, "is damaged"));
	close_all();
}

/* By sending it again; and what sent it need not come to its end. */
static void a_damaged_content_is_healed(void **state)
{
	char hex[DIGEST_HEX_BYTES], name[BLOB_NAME_BYTES];
	struct err err;

	damage_the_second(hex, name);
	open_all();
	assert_content(&set, "one");
	must_change_to("two");
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "two");
	overwrite(name, 3, "and more");
	assert_int_equal(versions_put_blob(versions, "two", 3, hex, &err), 0);
	versions_abandon(versions);
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "two");
	close_all();
}

static void a_lost_head_is_found_again(void **state)
{
	char *path = mem_printf("%s/objects/HEAD", folder);

	open_all();
	must_change_to("one");
	must_change_to("two");
	close_all();
	overwrite("HEAD", 0, "x");
	open_all();
	assert_content(&set, "two");
	close_all();
	assert_int_equal(unlink(path), 0);
	open_all();
	assert_content(&set, "two");
	assert_non_null(strstr(warning.text, "HEAD"));
	must_change_to("three");
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "three");
	close_all();
	free(path);
}

static void no_whole_version_is_an_error(void **state)
{
	struct err err;

	open_all();
	must_change_to("one");
	close_all();
	overwrite("versions/0000000001", 0, "X");
	assert_int_equal(versions_open(folder, &calls, &versions, &set, &warning, &err), -EBADMSG);
	assert_non_null(strstr(err.text, "no version of the objects is whole"));
}

/* In force but not kept: asking again keeps it. */
static void a_head_that_is_behind_catches_up(void **state)
{
	struct err err;

	open_all();
	must_change_to("one");
	assert_int_equal(versions_catch_up(versions, &err), 0);
	is_head_stuck = true;
	assert_int_equal(change_to("two", &err), -EIO);
	assert_int_equal(versions_catch_up(versions, &err), -EIO);
	is_head_stuck = false;
	assert_int_equal(versions_catch_up(versions, &err), 0);
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "two");
	close_all();
}

static void the_version_that_head_names_stays(void **state)
{
	static const char *const bodies[] = {"two", "three", "four"};
	struct err err;

	open_all();
	must_change_to("one");
	is_head_stuck = true;
	for (size_t i = 0; i < array_len(bodies); i++) {
		assert_int_equal(change_to(bodies[i], &err), -EIO);
		versions_prune(versions, 2);
	}
	assert_int_equal(count_files("versions"), 4);
	assert_content(&set, "four");
	close_all();
	is_head_stuck = false;
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "one");
	must_change_to("two");
	must_change_to("three");
	versions_prune(versions, 2); /* as ever */
	assert_int_equal(count_files("versions"), 2);
	close_all();
}

static void remove_version(unsigned int number)
{
	char *path = mem_printf("%s/objects/versions/%010u", folder, number);

	assert_int_equal(unlink(path), 0);
	free(path);
}

static void a_newer_version_is_better_than_none(void **state)
{
	struct err err;

	open_all();
	must_change_to("one");
	is_head_stuck = true;
	assert_int_equal(change_to("two", &err), -EIO);
	assert_int_equal(change_to("three", &err), -EIO);
	is_head_stuck = false;
	close_all();
	remove_version(1);
	open_all();
	assert_int_equal(versions_head(versions), 3);
	assert_content(&set, "three");
	assert_non_null(strstr(warning.text,
		"version 3 is in force instead of the one that HEAD names: version 1 is not there"));
	must_change_to("four");
	close_all();
	open_all();
	assert_string_equal(warning.text, "");
	assert_content(&set, "four");
	close_all();
}

static void two_processes_cannot_have_it(void **state)
{
	struct versions *other;
	struct object_set none;
	struct err err, none_text;

	open_all();
	must_change_to("one");
	assert_int_equal(versions_open(folder, &calls, &other, &none, &none_text, &err), -EBUSY);
	assert_non_null(strstr(err.text, "another sluiced"));
	close_all();
}

/* `sluiced --check` beside a daemon: what is in force, and nothing is touched. */
static void a_look_changes_nothing(void **state)
{
	struct object_set seen;
	struct versions *other;
	struct err err, none;
	char *half = mem_printf("%s/objects/versions/0000000003.new", folder);
	FILE *file;

	assert_int_equal(versions_peek(folder, &other, &seen, &none, &err), -ENOENT);
	assert_int_equal(count_files(""), 0);
	open_all();
	must_change_to("one");
	must_change_to("two");
	file = fopen(half, "we"); /* the daemon is about to write another */
	assert_non_null(file);
	fclose(file);
	assert_int_equal(versions_peek(folder, &other, &seen, &none, &err), 0);
	assert_string_equal(none.text, "");
	assert_int_equal(versions_head(other), 2);
	assert_content(&seen, "two");
	versions_free(other);
	object_set_fini(&seen);
	assert_int_equal(access(half, F_OK), 0);
	free(half);
	must_change_to("three");
	close_all();
}

/* Both were started before there was anything. */
static void nobody_writes_over_what_another_has_made(void **state)
{
	char hex[DIGEST_HEX_BYTES];
	struct object_set none;
	struct versions *other;
	struct err err;

	assert_int_equal(versions_open(folder, &calls, &other, &none, &warning, &err), 0);
	open_all();
	must_change_to("one");
	close_all();
	for (int i = 0; i < 2; i++) {
		assert_int_equal(versions_put_blob(other, "two", 3, hex, &err), -EBUSY);
		assert_non_null(strstr(err.text, "another sluiced has made versions"));
	}
	open_all(); /* it has let go of the lock */
	assert_string_equal(warning.text, "");
	assert_content(&set, "one");
	assert_int_equal(count_files("blobs"), 1);
	close_all();
	versions_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_made_before_a_change, setup, teardown),
		cmocka_unit_test_setup_teardown(a_restart_has_what_was_committed, setup, teardown),
		cmocka_unit_test_setup_teardown(an_older_version_can_be_read, setup, teardown),
		cmocka_unit_test_setup_teardown(
			old_versions_go_with_their_contents, setup, teardown),
		cmocka_unit_test_setup_teardown(abandoned_leaves_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(a_full_disk_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(many_contents_are_synced_at_once, setup, teardown),
		cmocka_unit_test_setup_teardown(
			few_contents_are_synced_one_by_one, setup, teardown),
		cmocka_unit_test_setup_teardown(a_crash_leaves_a_whole_version, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_damaged_version_gives_way_to_the_one_before, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_damaged_version_in_between_costs_no_contents, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_content_too, setup, teardown),
		cmocka_unit_test_setup_teardown(a_damaged_content_is_healed, setup, teardown),
		cmocka_unit_test_setup_teardown(a_lost_head_is_found_again, setup, teardown),
		cmocka_unit_test_setup_teardown(no_whole_version_is_an_error, setup, teardown),
		cmocka_unit_test_setup_teardown(a_head_that_is_behind_catches_up, setup, teardown),
		cmocka_unit_test_setup_teardown(the_version_that_head_names_stays, setup, teardown),
		cmocka_unit_test_setup_teardown(
			a_newer_version_is_better_than_none, setup, teardown),
		cmocka_unit_test_setup_teardown(two_processes_cannot_have_it, setup, teardown),
		cmocka_unit_test_setup_teardown(a_look_changes_nothing, setup, teardown),
		cmocka_unit_test_setup_teardown(
			nobody_writes_over_what_another_has_made, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
