/* Watching the workers: see worker_watch.h. */
#define LOG_MODULE "daemon"
#include "control/worker_watch.h"

#include "control/service.h"
#include "control/worker.h"
#include "core/clock.h"
#include "core/crash.h"
#include "core/log.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>

enum {
	STUCK_MS = 3000, /* a turn takes milliseconds; one that waits does so for a second */
	FRAMES_MAX = 64,
	DEAF_MS = 2000, /* it has not even taken the signal that ends it: the kernel holds it */
};

/* Written by a thread that is stuck, said by the control thread: standard error may be what it waits for. */
static struct {
	void *frames[FRAMES_MAX];
	atomic_int n; /* 0: there is none */
	atomic_bool is_wanted;
} stack;

static void take_stack(int number)
{
	int before = errno;

	if (atomic_exchange(&stack.is_wanted, false))
		atomic_store(&stack.n, backtrace(stack.frames, FRAMES_MAX));
	errno = before;
}

static void say_stack(void)
{
	int n = atomic_load(&stack.n), i;
	char **lines = n ? backtrace_symbols(stack.frames, n) : NULL;

	for (i = 0; lines && i < n; i++)
		log_error("stack of the worker that takes no turns: %s", lines[i]);
	free(lines);
	atomic_store(&stack.n, 0);
}

void worker_watch_init(void)
{
	struct sigaction action = {.sa_handler = take_stack, .sa_flags = SA_RESTART};
	void *frame;

	(void)backtrace(&frame, 1); /* loads what it needs, which it must not do in the handler */
	sigaction(SIGUSR2, &action, NULL);
}

static void look(struct worker_watch *watch, struct worker *worker, uint32_t index)
{
	uint64_t ms = worker_turn_age_ms(worker), bit = UINT64_C(1) << index;

	if (ms < STUCK_MS) {
		if (watch->stuck & bit)
			log_info("worker %u takes turns again", index);
		watch->stuck &= ~bit;
	} else if (!(watch->stuck & bit)) {
		log_error("worker %u has taken no turn for %llu ms", index, (unsigned long long)ms);
		watch->stuck |= bit;
		watch->n_stuck++;
		if (atomic_load(&stack.n) == 0) {
			atomic_store(&stack.is_wanted, true);
			pthread_kill(worker->thread, SIGUSR2);
		}
	}
}

/* The report is to have the stack of the worker that is stuck. */
static void end_process(struct worker *worker, uint64_t over_ms)
{
	static const char cause[] = "a worker has taken no turn for longer than watchdog allows";

	if (over_ms < DEAF_MS)
		crash_thread(worker->thread, cause);
	else
		crash_now(cause);
}

void worker_watch_tick(
	struct worker_watch *watch, struct worker *workers, uint32_t n, uint32_t end_ms)
{
	uint64_t now_ms = clock_mono_ms(), gap_ms = now_ms - watch->looked_ms;
	uint32_t i;

	watch->looked_ms = now_ms;
	say_stack();
	if (gap_ms > STUCK_MS / 2) /* the whole process stood still, and they are about to go on */
		return;
	for (i = 0; i < n; i++)
		if (workers[i].started)
			look(watch, &workers[i], i);
	for (i = 0; end_ms && i < n; i++)
		if (workers[i].started && worker_turn_age_ms(&workers[i]) >= end_ms)
			end_process(&workers[i], worker_turn_age_ms(&workers[i]) - end_ms);
	if (!watch->stuck)
		service_alive();
}
