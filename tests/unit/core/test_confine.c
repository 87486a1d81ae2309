/* What threads of each role may still do: asked of the kernel, in processes of their own. */
#include "core/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* What a thread found it can do. */
struct found {
	char held[CONFINE_TEXT_BYTES];
	int open_file, internet, unix_socket, executable, memory, exec, bpf, mount, trace, raw;
	int has_ambient;
};

static int code(long r)
{
	return r < 0 ? errno : 0;
}

static int try_socket(int family, int type, int protocol)
{
	int fd = socket(family, type, protocol), r = code(fd);

	if (fd >= 0)
		close(fd);
	return r;
}

static int try_map(int protection)
{
	void *at = mmap(NULL, 4096, protection, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	return at == MAP_FAILED ? errno : 0;
}

static void look(void *arg)
{
	static char *const nothing[] = {NULL};
	struct found *found = arg;

	confine_held(found->held);
	found->open_file = code(open("/dev/null", O_RDONLY | O_CLOEXEC));
	found->internet = try_socket(AF_INET, SOCK_STREAM, 0);
	found->unix_socket = try_socket(AF_UNIX, SOCK_STREAM, 0);
	found->raw = try_socket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
	found->memory = try_map(PROT_READ | PROT_WRITE);
	found->executable = try_map(PROT_READ | PROT_EXEC);
	found->exec = code(
		syscall(SYS_execve, "/", nothing, nothing)); /* EACCES: asked for, and no program */
	found->bpf = code(syscall(SYS_bpf, -1, NULL, 0));
	found->mount = code(syscall(SYS_mount, "", "/", "", 0L, NULL));
	found->trace = code(ptrace(PTRACE_DETACH, 0, NULL, NULL));
	found->has_ambient = prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_IS_SET, CAP_NET_ADMIN, 0, 0);
}

/* A process of its own, since there is no way back. Its first thread is the control thread. */
static void child(enum confine_role role, enum confine_calls calls, struct found *found)
{
	struct err err;
	int r = confine_process(false, &err);

	if (r == 0)
		r = confine_calls(calls, false, &err);
	if (r == 0 && role == CONFINE_CONTROL) {
		confine_thread(role);
		look(found);
	} else if (r == 0) {
		r = confine_run(role, look, found);
	}
	_exit(r == 0 ? 0 : 1);
}

static struct found found_by(enum confine_role role, enum confine_calls calls)
{
	struct found *shared = mmap(
		NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	struct found found;
	int status = -1;
	pid_t pid;

	assert_true(shared != MAP_FAILED);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		child(role, calls, shared);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	found = *shared;
	munmap(shared, sizeof(*shared));
	return found;
}

static bool can_filter(void)
{
	const char *why = "";
	bool can = confine_can_filter(&why);

	if (!can)
		print_message("# not filtered: %s\n", why);
	return can;
}

static void capabilities_are_those_of_the_role(void **state)
{
	static const char all[] = "net_bind_service net_admin net_raw ipc_lock perfmon bpf";

	if (geteuid() != 0)
		skip();
	assert_string_equal(found_by(CONFINE_CONTROL, CONFINE_CALLS_OFF).held, all);
	assert_string_equal(found_by(CONFINE_WATCHDOG, CONFINE_CALLS_OFF).held, all);
	assert_string_equal(
		found_by(CONFINE_LOADER, CONFINE_CALLS_OFF).held, "net_bind_service bpf");
	assert_string_equal(found_by(CONFINE_LOG, CONFINE_CALLS_OFF).held, "none");
	assert_string_equal(found_by(CONFINE_TOKEN, CONFINE_CALLS_OFF).held, "none");
	assert_string_equal(found_by(CONFINE_NAMES, CONFINE_CALLS_OFF).held, "none");
	assert_string_equal(found_by(CONFINE_WORKER, CONFINE_CALLS_OFF).held, "none");
	assert_int_equal(found_by(CONFINE_WORKER, CONFINE_CALLS_OFF).raw, EPERM);
	assert_int_equal(found_by(CONFINE_CONTROL, CONFINE_CALLS_OFF).raw, 0);
}

static void workers_only_serve(void **state)
{
	struct found found = found_by(CONFINE_WORKER, CONFINE_CALLS_ENFORCE);

	if (!can_filter())
		skip();
	assert_int_equal(found.internet, 0);
	assert_int_equal(found.memory, 0);
	assert_int_equal(found.open_file, EPERM);
	assert_int_equal(found.unix_socket, EPERM);
	assert_int_equal(found.executable, EPERM);
	assert_int_equal(found.exec, EPERM);
	assert_int_equal(found.bpf, EPERM);
	assert_int_equal(found.mount, EPERM);
}

static void others_do_not_start_anything(void **state)
{
	struct found names = found_by(CONFINE_NAMES, CONFINE_CALLS_ENFORCE);
	struct found loader = found_by(CONFINE_LOADER, CONFINE_CALLS_ENFORCE);

	if (!can_filter())
		skip();
	assert_int_equal(names.open_file, 0);
	assert_int_equal(names.exec, EPERM);
	assert_int_equal(names.bpf, EPERM);
	assert_int_equal(loader.exec, EACCES);
	assert_int_equal(loader.bpf, EINVAL);
	assert_int_equal(loader.mount, EPERM);
	assert_int_equal(loader.trace, EPERM);
}

/* Of what the control thread does nothing is missing, or a sluiced that it starts would lack it. */
static void the_control_thread_can_start_another(void **state)
{
	struct found found = found_by(CONFINE_CONTROL, CONFINE_CALLS_ENFORCE);

	assert_int_equal(found.open_file, 0);
	assert_int_equal(found.unix_socket, 0);
	assert_int_equal(found.executable, 0);
	assert_int_equal(found.exec, EACCES);
	assert_int_equal(found.bpf, EINVAL);
	if (can_filter())
		assert_int_equal(found.trace, EPERM);
}

static void log_mode_lets_them(void **state)
{
	struct found found = found_by(CONFINE_WORKER, CONFINE_CALLS_LOG);

	assert_int_equal(found.open_file, 0);
	assert_int_equal(found.unix_socket, 0);
	assert_int_equal(found.exec, EACCES);
	assert_string_equal(found_by(CONFINE_WORKER, CONFINE_CALLS_OFF).held, found.held);
}

/* Tests and tools that link the library keep what they have. */
static void nothing_happens_unasked(void **state)
{
	struct found found = {};

	assert_int_equal(confine_run(CONFINE_WORKER, look, &found), 0);
	assert_int_equal(found.open_file, 0);
	assert_int_equal(found.exec, EACCES);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(capabilities_are_those_of_the_role),
		cmocka_unit_test(workers_only_serve),
		cmocka_unit_test(others_do_not_start_anything),
		cmocka_unit_test(the_control_thread_can_start_another),
		cmocka_unit_test(log_mode_lets_them),
		cmocka_unit_test(nothing_happens_unasked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
