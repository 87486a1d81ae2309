/* The socket of the admin API: its mode, a live owner, a dead one. Each test has its own folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/admin_socket.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

static char folder[64], run_folder[96], path[128];

static int make_folder(void **state)
{
	strcpy(folder, "/tmp/sluice-test-socket-XXXXXX");
	if (!mkdtemp(folder))
		return -1;
	snprintf(run_folder, sizeof(run_folder), "%s/run", folder);
	snprintf(path, sizeof(path), "%s/admin.sock", run_folder);
	return 0;
}

/* Fails if the socket or its lock was left behind. */
static int remove_folder(void **state)
{
	if (rmdir(run_folder) < 0 && errno != ENOENT)
		return -1;
	return rmdir(folder);
}

static void assert_has(const char *text, const char *part)
{
	if (!strstr(text, part))
		fail_msg("no \"%s\" in: %s", part, text);
}

static void open_or_fail(struct admin_socket *sock)
{
	struct err err;

	if (admin_socket_open(sock, path, &err))
		fail_msg("%s", err.text);
}

static void assert_can_be_dialled(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
}

/* Whatever the umask: it may not open the folder to others nor close it to the daemon's group. */
static void test_mode(void **state)
{
	mode_t old = umask(0);
	struct admin_socket mine;
	struct stat st;

	open_or_fail(&mine);
	umask(old);
	assert_int_equal(stat(path, &st), 0);
	assert_true(S_ISSOCK(st.st_mode));
	assert_int_equal(st.st_mode & 07777, 0600);
	admin_socket_close(&mine);
	assert_int_equal(rmdir(run_folder), 0);
	old = umask(077);
	open_or_fail(&mine);
	umask(old);
	assert_int_equal(stat(run_folder, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0755);
	admin_socket_close(&mine);
}

static void test_live_socket_is_refused(void **state)
{
	struct admin_socket mine, second;
	struct err err = {""};
	char pid_text[32];
	pid_t pid = 0;

	open_or_fail(&mine);
	assert_int_equal(admin_socket_open(&second, path, &err), -EADDRINUSE);
	snprintf(pid_text, sizeof(pid_text), "(pid %d)", (int)getpid());
	assert_has(err.text, pid_text);
	assert_has(err.text, path);
	assert_int_equal(admin_socket_owner(path, &pid), 1);
	assert_int_equal(pid, getpid());
	assert_int_equal(admin_socket_purge(path, &err), -EADDRINUSE);
	err = (struct err){""};
	assert_int_equal(admin_socket_check(path, &err), -EADDRINUSE);
	assert_has(err.text, pid_text);
	assert_can_be_dialled(); /* it is still there */
	admin_socket_close(&mine);
	assert_int_equal(admin_socket_check(path, &err), 0);
	assert_int_equal(admin_socket_owner(path, &pid), 0);
}

/* Somebody has removed the lock's file, or the socket's, under a live daemon. */
static void test_one_file_suffices_to_be_alive(void **state)
{
	struct admin_socket mine, second;
	struct err err = {""};
	char lock[160];
	pid_t pid;

	snprintf(lock, sizeof(lock), "%s.lock", path);
	open_or_fail(&mine);
	assert_int_equal(unlink(lock), 0);
	assert_int_equal(admin_socket_open(&second, path, &err), -EADDRINUSE);
	assert_has(err.text, "pid ");
	assert_can_be_dialled();
	admin_socket_close(&mine);
	open_or_fail(&mine);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(admin_socket_open(&second, path, &err), -EADDRINUSE);
	assert_int_equal(admin_socket_owner(path, &pid), 1);
	assert_int_equal(pid, getpid());
	admin_socket_close(&mine);
}

/* A child takes the socket and is killed. */
static void leave_stale(void)
{
	struct admin_socket mine;
	struct err err;
	int ready[2], status;
	char byte;
	pid_t child;

	assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		if (admin_socket_open(&mine, path, &err) || write(ready[1], "r", 1) != 1)
			_exit(1);
		for (;;)
			pause();
	}
	close(ready[1]);
	assert_int_equal(read(ready[0], &byte, 1), 1);
	close(ready[0]);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(access(path, F_OK), 0);
}

static void test_stale_socket_is_replaced(void **state)
{
	struct admin_socket mine;
	pid_t pid;

	leave_stale();
	assert_int_equal(admin_socket_owner(path, &pid), 0);
	open_or_fail(&mine);
	assert_can_be_dialled();
	admin_socket_close(&mine);
}

static void test_purge_removes_what_is_stale(void **state)
{
	struct err err = {""};

	assert_int_equal(admin_socket_purge(path, &err), 0);
	leave_stale();
	assert_int_equal(admin_socket_purge(path, &err), 1);
	assert_int_equal(admin_socket_purge(path, &err), 0);
}

static void test_other_file_is_not_removed(void **state)
{
	struct admin_socket mine;
	struct err err = {""};
	FILE *file;

	assert_int_equal(mkdir(run_folder, 0755), 0);
	file = fopen(path, "we");
	assert_non_null(file);
	fclose(file);
	assert_int_equal(admin_socket_open(&mine, path, &err), -EEXIST);
	assert_has(err.text, "not a socket");
	assert_int_equal(unlink(path), 0);
}

static void test_path_too_long(void **state)
{
	struct admin_socket mine;
	struct err err = {""};
	char name[256] = "/tmp/";

	memset(name + 5, 'x', 150);
	assert_int_equal(admin_socket_open(&mine, name, &err), -ENAMETOOLONG);
	assert_has(err.text, "longer than 107 bytes");
}

#define IN_FOLDER(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

int main(void)
{
	const struct CMUnitTest tests[] = {
		IN_FOLDER(test_mode),
		IN_FOLDER(test_live_socket_is_refused),
		IN_FOLDER(test_one_file_suffices_to_be_alive),
		IN_FOLDER(test_stale_socket_is_replaced),
		IN_FOLDER(test_purge_removes_what_is_stale),
		IN_FOLDER(test_other_file_is_not_removed),
		IN_FOLDER(test_path_too_long),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
