/* The report of a crash: see crash.h. In the handler only what signal-safety(7) allows, and backtrace(),
 * which has been used before. */
#include "core/crash.h"
#include "core/clock.h"

#include <errno.h>
#include <execinfo.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

enum { FRAMES_MAX = 64, LINE_BYTES = 256, STACK_BYTES = 64 * 1024, NAME_BYTES = 16 };

/* These report faults themselves, and own the stacks for it. */
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||                         \
	__has_feature(memory_sanitizer)
#define HAS_OWN_REPORTS 1
#else
#define HAS_OWN_REPORTS 0
#endif

static const struct {
	int number;
	bool is_fault; /* of the thread's own instruction */
	const char *name;
} signals[] = {
	{SIGABRT, false, "SIGABRT"},
	{SIGSEGV, true, "SIGSEGV"},
	{SIGBUS, true, "SIGBUS"},
	{SIGILL, true, "SIGILL"},
	{SIGFPE, true, "SIGFPE"},
};

static struct {
	const char *version;
	uint64_t began_ms;
	_Atomic(const char *) cause;
	atomic_bool is_reporting;
	pthread_key_t stack_key;
} crash;

struct line {
	char text[LINE_BYTES];
	size_t len;
};

static void put(struct line *line, const char *text)
{
	while (*text && line->len < LINE_BYTES - 1)
		line->text[line->len++] = *text++;
}

static void put_number(struct line *line, uint64_t number)
{
	char digits[24], *at = digits + sizeof(digits) - 1;

	*at = '\0';
	do
		*--at = (char)('0' + number % 10);
	while (number /= 10);
	put(line, at);
}

static const char *name_of(int number)
{
	size_t i;

	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (signals[i].number == number)
			return signals[i].name;
	return "a signal";
}

static void write_head(int number, const siginfo_t *info)
{
	struct line line = {.len = 0};
	char thread[NAME_BYTES] = "";
	const char *cause = atomic_load(&crash.cause);

	prctl(PR_GET_NAME, thread);
	put(&line, "sluiced ");
	put(&line, crash.version);
	put(&line, " crashed: ");
	put(&line, name_of(number));
	if (info->si_code <= 0 && info->si_pid != getpid()) {
		put(&line, " sent by process ");
		put_number(&line, (uint64_t)info->si_pid);
	}
	put(&line, " in thread ");
	put(&line, thread);
	put(&line, ", ");
	put_number(&line, (clock_mono_ms() - crash.began_ms) / 1000);
	put(&line, " s after its start");
	if (cause) {
		put(&line, ": ");
		put(&line, cause);
	}
	put(&line, "\nstack (addr2line -e sluiced says which lines):\n");
	if (write(STDERR_FILENO, line.text, line.len) < 0)
		return; /* nobody reads it */
}

/* Nobody may take what is said: that must not keep a dead process. */
static void report(int number, const siginfo_t *info)
{
	int flags = fcntl(STDERR_FILENO, F_GETFL);
	void *frames[FRAMES_MAX];
	int n;

	if (flags >= 0)
		(void)fcntl(STDERR_FILENO, F_SETFL, flags | O_NONBLOCK);
	write_head(number, info);
	n = backtrace(frames, FRAMES_MAX);
	backtrace_symbols_fd(frames, n, STDERR_FILENO);
	if (flags >= 0)
		(void)fcntl(STDERR_FILENO, F_SETFL, flags);
}

static void crashed(int number, siginfo_t *info, void *context)
{
	struct sigaction action = {.sa_handler = SIG_DFL};

	/* Another thread is at it, and ends the process. */
	while (atomic_exchange(&crash.is_reporting, true))
		pause();
	report(number, info);
	sigaction(number, &action, NULL);
	raise(number); /* blocked until this returns */
}

static void stack_free(void *stack)
{
	stack_t none = {.ss_flags = SS_DISABLE};

	sigaltstack(&none, NULL);
	munmap(stack, STACK_BYTES);
}

void crash_thread_init(void)
{
	stack_t stack = {.ss_size = STACK_BYTES};

	if (HAS_OWN_REPORTS || !crash.version || pthread_getspecific(crash.stack_key))
		return;
	stack.ss_sp = mmap(NULL, STACK_BYTES, PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
	if (stack.ss_sp == MAP_FAILED)
		return;
	if (sigaltstack(&stack, NULL) < 0 || pthread_setspecific(crash.stack_key, stack.ss_sp) != 0)
		stack_free(stack.ss_sp);
}

void crash_init(const char *version)
{
	struct sigaction action = {.sa_sigaction = crashed, .sa_flags = SA_SIGINFO | SA_ONSTACK};
	void *frame;
	size_t i;

	(void)backtrace(&frame, 1); /* loads what it needs, which it must not do in the handler */
	crash.began_ms = clock_mono_ms();
	if (pthread_key_create(&crash.stack_key, stack_free) != 0)
		return;
	crash.version = version;
	sigfillset(&action.sa_mask);
	for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++)
		if (!HAS_OWN_REPORTS || !signals[i].is_fault)
			sigaction(signals[i].number, &action, NULL);
	crash_thread_init();
}

void crash_thread(pthread_t thread, const char *cause)
{
	atomic_store(&crash.cause, cause);
	pthread_kill(thread, SIGABRT);
}

_Noreturn void crash_now(const char *cause)
{
	atomic_store(&crash.cause, cause);
	abort();
}
