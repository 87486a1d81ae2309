/* A process that crashes, in each way there is: what it says, and what its parent is told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "core/crash.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { REPORTS_FAULTS = false };
#else
enum { REPORTS_FAULTS = true };
#endif

static char said[65536];

static void fault(void)
{
	*(volatile char *)8 = 1;
}

static void *fault_in_thread(void *arg)
{
	pthread_setname_np(pthread_self(), "sluice-w7");
	crash_thread_init();
	fault();
	return NULL;
}

static void in_thread(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, fault_in_thread, NULL) == 0)
		pthread_join(thread, NULL);
}

static uint64_t deeper(volatile uint64_t n)
{
	volatile char room[4096] = {0};

	return n ? deeper(n + 1) + (uint64_t)room[n % sizeof(room)] : 0;
}

static void without_stack(void)
{
	(void)deeper(1);
}

static void *turn_for_ever(void *arg)
{
	volatile uint64_t n = 0;

	pthread_setname_np(pthread_self(), "sluice-w3");
	for (;;)
		n++;
	return NULL;
}

static void stuck(void)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, turn_for_ever, NULL) != 0)
		return;
	usleep(20000); /* it has its name, then */
	crash_thread(thread, "it is stuck");
	pthread_join(thread, NULL);
}

static void now(void)
{
	crash_now("that is why");
}

static void *fault_too(void *arg)
{
	abort();
	return NULL;
}

static void all_at_once(void)
{
	pthread_t threads[8];
	int i;

	for (i = 0; i < 8; i++)
		if (pthread_create(&threads[i], NULL, fault_too, NULL) != 0)
			return;
	for (i = 0; i < 8; i++)
		pthread_join(threads[i], NULL);
}

/* The signal it ended by; `said` is what it said, of at most what a pipe holds. */
static int run(void (*crash)(void), bool is_pipe_full)
{
	int fds[2], status;
	ssize_t got, len = 0;
	pid_t child;

	assert_int_equal(pipe(fds), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		prctl(PR_SET_DUMPABLE, 0);
		dup2(fds[1], STDERR_FILENO);
		if (is_pipe_full) {
			fcntl(STDERR_FILENO, F_SETFL, O_NONBLOCK);
			while (write(STDERR_FILENO, said, sizeof(said)) > 0)
				;
			fcntl(STDERR_FILENO, F_SETFL, 0);
		}
		crash_init("1.2-test");
		crash();
		_exit(0);
	}
	close(fds[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	while ((got = read(fds[0], said + len, sizeof(said) - 1 - (size_t)len)) > 0)
		len += got;
	said[len] = '\0';
	close(fds[0]);
	return WIFSIGNALED(status) ? WTERMSIG(status) : -WEXITSTATUS(status);
}

static void says(const char *text)
{
	if (!strstr(said, text))
		fail_msg("no \"%s\" in:\n%s", text, said);
}

static void each_way(void **state)
{
	static const struct {
		void (*crash)(void);
		int signal;
		const char *head;
	} rows[] = {
		{fault, SIGSEGV, "sluiced 1.2-test crashed: SIGSEGV in thread "},
		{in_thread, SIGSEGV, "SIGSEGV in thread sluice-w7, 0 s after its start\n"},
		{without_stack, SIGSEGV, "crashed: SIGSEGV in thread "},
		{abort, SIGABRT, "crashed: SIGABRT in thread "},
		{now, SIGABRT, " s after its start: that is why\n"},
		{stuck, SIGABRT, "SIGABRT in thread sluice-w3, 0 s after its start: it is stuck\n"},
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (rows[i].signal == SIGSEGV && !REPORTS_FAULTS)
			continue;
		assert_int_equal(run(rows[i].crash, false), rows[i].signal);
		says(rows[i].head);
		says("\nstack (");
		says("test_crash(+0x");
	}
}

static void one_report(void **state)
{
	char *first;

	assert_int_equal(run(all_at_once, false), SIGABRT);
	first = strstr(said, "crashed: ");
	assert_non_null(first);
	assert_null(strstr(first + 1, "crashed: "));
}

/* Nobody reads standard error. */
static void does_not_wait(void **state)
{
	alarm(20);
	assert_int_equal(run(now, true), SIGABRT);
	alarm(0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_way),
		cmocka_unit_test(one_report),
		cmocka_unit_test(does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
