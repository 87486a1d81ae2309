/* A control thread that is told to end and does not: here it is the test that gives signs of life. */
#include "control/watchdog.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/signalfd.h>
#include <unistd.h>
#include <cmocka.h>

enum { HELD_MS = 300, LONG_MS = 1500, STEP_US = 20000 };

static atomic_bool has_ended;
static struct watchdog *watchdog;
static int signal_fd;

static void end(void *arg)
{
	atomic_store(&has_ended, true);
}

static int setup(void **state)
{
	struct watchdog_spec spec = {.held_ms = HELD_MS, .end = end};
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGHUP);
	sigprocmask(SIG_BLOCK, &set, NULL);
	signal_fd = spec.signal_fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	atomic_store(&has_ended, false);
	return watchdog_new(&spec, &watchdog);
}

static void read_signals(void)
{
	struct signalfd_siginfo info;

	while (read(signal_fd, &info, sizeof(info)) == sizeof(info))
		;
}

static int teardown(void **state)
{
	watchdog_free(watchdog);
	read_signals();
	close(signal_fd);
	return 0;
}

/* Whether it ended the process within the time. */
static bool ends(unsigned int within_ms, bool beats)
{
	unsigned int i;

	for (i = 0; i < within_ms * 1000 / STEP_US && !atomic_load(&has_ended); i++) {
		if (beats)
			watchdog_beat(watchdog);
		usleep(STEP_US);
	}
	return atomic_load(&has_ended);
}

static void a_signal_that_nobody_reads(void **state)
{
	kill(getpid(), SIGTERM);
	assert_true(ends(20 * LONG_MS, false));
}

static void held_up_after_it_has_heard(void **state)
{
	watchdog_attend(watchdog);
	assert_false(ends(LONG_MS, true));
	assert_true(ends(20 * LONG_MS, false));
}

static void nothing_to_end_for(void **state)
{
	kill(getpid(), SIGHUP); /* a reload that waits is none of its business */
	assert_false(ends(LONG_MS, false));
	kill(getpid(), SIGTERM);
	read_signals();
	assert_false(ends(LONG_MS, false));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(a_signal_that_nobody_reads, setup, teardown),
		cmocka_unit_test_setup_teardown(held_up_after_it_has_heard, setup, teardown),
		cmocka_unit_test_setup_teardown(nothing_to_end_for, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
