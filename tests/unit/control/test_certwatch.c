/* Watched folders, with the kernel's inotify: what is told of what happens, and that watches end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/certwatch.h"
#include "core/attr.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];
static struct certwatch *watch;
static struct build_touched *touched;
static size_t n;

static int setup(void **state)
{
	struct err err = {""};

	strcpy(root, "/tmp/sluice-test-watch-XXXXXX");
	assert_non_null(mkdtemp(root));
	assert_int_equal(certwatch_new(&watch, &err), 0);
	return 0;
}

static void sh(const char *format, ...) printf_like(1, 2);

static void sh(const char *format, ...)
{
	char command[1024], text[2048];
	va_list args;

	va_start(args, format);
	vsnprintf(command, sizeof(command), format, args);
	va_end(args);
	snprintf(text, sizeof(text), "cd %s && { %s; }", root, command);
	assert_int_equal(system(text), 0);
}

static int teardown(void **state)
{
	free(touched);
	touched = NULL;
	certwatch_free(watch);
	sh("rm -rf %s", root);
	return 0;
}

static const char *path_of(const char *name)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s%s%s", root, *name ? "/" : "", name);
	return path;
}

static void look(void)
{
	free(touched);
	n = certwatch_look(watch, &touched);
}

static bool is_told(const char *folder, const char *name)
{
	size_t i;

	for (i = 0; i < n; i++)
		if (touched[i].folder && !strcmp(touched[i].folder, path_of(folder)) &&
			!strcmp(touched[i].name, name))
			return true;
	return false;
}

static void forget(void)
{
	look();
	certwatch_forget(watch);
}

/* Of the kernel. */
static unsigned int count_watches(void)
{
	char path[64], line[512];
	unsigned int count = 0;
	FILE *in;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", certwatch_fd(watch));
	in = fopen(path, "re");
	assert_non_null(in);
	while (fgets(line, sizeof(line), in))
		count += !strncmp(line, "inotify ", 8);
	fclose(in);
	return count;
}

static void test_folders(void **state)
{
	sh("mkdir eu");
	certwatch_add_folder(watch, root, "");
	certwatch_add_folder(watch, root, "eu");
	look();
	assert_int_equal(n, 0);
	sh("echo x >eu/a.crt; chmod 640 eu/a.crt; mv eu/a.crt b.crt");
	look();
	assert_true(is_told("eu", "a.crt"));
	assert_true(is_told("", "b.crt"));
	look(); /* until it is forgotten */
	assert_true(is_told("", "b.crt"));
	forget();
	look();
	assert_int_equal(n, 0);
	/* a known folder goes, another comes in its place */
	sh("mv eu old");
	look();
	assert_true(is_told("", "eu") && touched[0].was_folder);
	forget();
	sh("mkdir eu");
	certwatch_add_folder(watch, root, "eu");
	forget();
	sh("echo x >eu/c.crt");
	look();
	assert_true(is_told("eu", "c.crt"));
	forget();
	assert_int_equal(count_watches(), 2); /* nobody needs that of "old" any more */
	sh("rm -r eu");
	look();
	assert_true(is_told("eu", "") && is_told("", "eu"));
	assert_int_equal(count_watches(), 1);
}

/* Release folders: a link above the file is re-pointed; and the file behind a link is written. */
static void test_links_on_the_way(void **state)
{
	sh("mkdir v1 v2 v3 aside; echo 1 >v1/a.crt; echo 2 >v2/a.crt; ln -s v1 current; mkdir live;"
	   " ln -s ../aside/b.crt live/b.crt; echo b >aside/b.crt");
	certwatch_add_file(watch, path_of("current/a.crt"));
	certwatch_add_file(watch, path_of("live/b.crt"));
	forget();
	sh("touch unrelated aside/unrelated");
	look();
	assert_false(is_told("current", "") || is_told("live", ""));
	forget();
	sh("ln -s v2 new && mv -T new current");
	look();
	assert_true(is_told("current", ""));
	assert_false(is_told("live", ""));
	forget();
	sh("echo bb >aside/b.crt");
	look();
	assert_true(is_told("live", ""));
	forget();
	sh("echo 11 >v1/a.crt");
	look();
	assert_true(is_told("current", "a.crt") ||
		    is_told("current", "")); /* until it is asked again */
	certwatch_begin(watch);
	certwatch_add_file(watch, path_of("current/a.crt"));
	certwatch_end(watch);
	forget();
	sh("echo 111 >v1/a.crt; echo bbb >aside/b.crt");
	look();
	assert_int_equal(n, 0);
	sh("echo 22 >v2/a.crt");
	look();
	assert_true(is_told("current", "a.crt"));
	/* in circles */
	sh("ln -s round round; mkdir deep; ln -s ../deep/x deep/x");
	certwatch_add_file(watch, path_of("round/a.crt"));
	certwatch_add_file(watch, path_of("deep/x/a.crt"));
}

/* A directory is told as a whole, whatever link on the way to it changes, with a slash at its end or
 * not. */
static void test_links_to_directories(void **state)
{
	sh("mkdir -p r1/certs r2/certs; ln -s r1 current; mkdir plain");
	certwatch_add_directory(watch, path_of("current/certs/"));
	certwatch_add_directory(watch, path_of("plain/"));
	forget();
	sh("ln -s r2 new && mv -T new current");
	look();
	assert_true(is_told("current/certs", ""));
	forget();
	sh("mv plain away");
	look();
	assert_true(is_told("", "plain"));
	forget();
	sh("mv r1/certs r1/old");
	look();
	assert_true(is_told("current/certs", ""));
}

static void test_watches_end(void **state)
{
	sh("mkdir a b c");
	certwatch_begin(watch);
	certwatch_add_folder(watch, root, "a");
	certwatch_add_folder(watch, root, "b");
	certwatch_add_file(watch, path_of("b/x.crt"));
	certwatch_end(watch);
	assert_int_equal(count_watches(), 2);
	certwatch_begin(watch);
	certwatch_add_folder(watch, root, "b");
	certwatch_add_folder(watch, root, "c");
	assert_int_equal(count_watches(), 3); /* as long as the other may come back */
	certwatch_end(watch);
	assert_int_equal(count_watches(), 2);
	forget();
	sh("echo x >a/x; echo x >b/x; echo x >c/x");
	look();
	assert_false(is_told("a", "x"));
	assert_true(is_told("b", "x") && is_told("c", "x"));
}

/* More than the kernel queues: then anything may have been touched; folders that went meanwhile are
 * not kept. */
static void test_overflow(void **state)
{
	const char *path;
	int i, fd;

	sh("mkdir busy gone");
	certwatch_add_folder(watch, root, "busy");
	certwatch_add_folder(watch, root, "gone");
	path = path_of("busy/x");
	for (i = 0; i < 9000; i++) {
		fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
		assert_true(fd >= 0);
		close(fd);
		assert_int_equal(unlink(path), 0);
	}
	sh("rmdir gone");
	look();
	assert_null(touched[n - 1].folder);
	forget();
	certwatch_touch_all(watch);
	look();
	assert_int_equal(n, 1);
	assert_null(touched[0].folder);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_folders),
		CASE(test_links_on_the_way),
		CASE(test_links_to_directories),
		CASE(test_watches_end),
		CASE(test_overflow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
