/* Watching the workers: see worker_watch.h. */
#define LOG_MODULE "daemon"
#include "control/worker_watch.h"

#include "control/service.h"
#include "control/worker.h"
#include "core/clock.h"
#include "core/log.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

enum {
	STUCK_MS = 3000, /* a turn takes milliseconds; one that waits does so for a second */
	FRAMES_MAX = 64,
};

/* On the thread that is stuck, wherever it is: nothing but what signal handlers may do. */
static void print_stack(int number)
{
	static const char title[] = "stack of a worker that takes no turns:\n";
	void *frames[FRAMES_MAX];
	int before = errno;
	int n = backtrace(frames, FRAMES_MAX);

	if (write(STDERR_FILENO, title, sizeof(title) - 1) > 0)
		backtrace_symbols_fd(frames, n, STDERR_FILENO);
	errno = before;
}

void worker_watch_init(void)
{
	struct sigaction action = {.sa_handler = print_stack, .sa_flags = SA_RESTART};
	void *frame;

	(void)backtrace(&frame, 1); /* loads what it needs, which it must not do in the handler */
	sigaction(SIGUSR2, &action, NULL);
}

static uint64_t age_ms(const struct worker *worker)
{
	uint64_t stamp_ns = atomic_load_explicit(&worker->stamp_ns, memory_order_relaxed);
	uint64_t now_ns = dp_heartbeat_now_ns();

	return stamp_ns && now_ns > stamp_ns ? (now_ns - stamp_ns) / 1000000 : 0;
}

static void look(struct worker_watch *watch, struct worker *worker, uint32_t index)
{
	uint64_t ms = age_ms(worker), bit = UINT64_C(1) << index;

	if (ms < STUCK_MS) {
		if (watch->stuck & bit)
			log_info("worker %u takes turns again", index);
		watch->stuck &= ~bit;
	} else if (!(watch->stuck & bit)) {
		log_error("worker %u has taken no turn for %llu ms", index, (unsigned long long)ms);
		watch->stuck |= bit;
		watch->n_stuck++;
		pthread_kill(worker->thread, SIGUSR2);
	}
}

void worker_watch_tick(struct worker_watch *watch, struct worker *workers, uint32_t n)
{
	uint64_t now_ms = clock_mono_ms(), gap_ms = now_ms - watch->looked_ms;
	uint32_t i;

	watch->looked_ms = now_ms;
	if (gap_ms > STUCK_MS / 2) /* the whole process stood still, and they are about to go on */
		return;
	for (i = 0; i < n; i++)
		if (workers[i].started)
			look(watch, &workers[i], i);
	if (!watch->stuck)
		service_alive();
}
