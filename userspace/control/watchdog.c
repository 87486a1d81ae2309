/* Ends a process whose control thread is held up: see watchdog.h. */
#include "control/watchdog.h"

#include "core/clock.h"
#include "core/confine.h"
#include "core/mem.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

enum { LOOK_MS = 250, FROZEN_LOOKS = 4 };

struct watchdog {
	struct watchdog_spec spec;
	int kick_fd;
	pthread_t thread;
	atomic_uint beats;
	atomic_bool is_attended, is_over;
	uint64_t since_ms; /* the thread's: no sign of life since; 0: nobody has to give one */
	uint64_t looked_ms; /* the thread's */
	unsigned int seen; /* beats */
};

/* SIGTERM came, and nobody has read it. */
static bool is_told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) || sigismember(&pending, SIGINT));
}

/* Until something happens, where nothing does. */
static void sleep_on(struct watchdog *watchdog, bool is_alert)
{
	struct pollfd fds[] = {
		{watchdog->kick_fd, POLLIN, 0}, {watchdog->spec.signal_fd, POLLIN, 0}};
	eventfd_t count;

	/* A signal that nobody reads is there all the time. */
	poll(fds, is_alert ? 1 : 2, is_alert ? LOOK_MS : -1);
	eventfd_read(watchdog->kick_fd, &count);
}

static void look(struct watchdog *watchdog)
{
	unsigned int beats = atomic_load(&watchdog->beats);
	uint64_t now_ms = clock_mono_ms();
	bool was_frozen = now_ms - watchdog->looked_ms > FROZEN_LOOKS * LOOK_MS; /* all threads */

	watchdog->looked_ms = now_ms;
	if (!watchdog->since_ms || beats != watchdog->seen || was_frozen) {
		watchdog->since_ms = now_ms;
		watchdog->seen = beats;
	} else if (now_ms - watchdog->since_ms >= watchdog->spec.held_ms) {
		watchdog->spec.end(watchdog->spec.arg);
	}
}

static bool is_signal_there(const struct watchdog *watchdog)
{
	struct pollfd fd = {watchdog->spec.signal_fd, POLLIN, 0};

	return poll(&fd, 1, 0) > 0;
}

static void *thread_main(void *arg)
{
	struct watchdog *watchdog = arg;
	bool is_alert = false;

	pthread_setname_np(pthread_self(), "sluice-watchdog");
	confine_thread(CONFINE_WATCHDOG);
	while (!atomic_load(&watchdog->is_over)) {
		sleep_on(watchdog, is_alert);
		if (atomic_load(&watchdog->is_attended) || is_told_to_end())
			look(watchdog);
		else
			watchdog->since_ms = 0;
		is_alert = watchdog->since_ms || is_signal_there(watchdog);
	}
	return NULL;
}

int watchdog_new(const struct watchdog_spec *spec, struct watchdog **ret_watchdog)
{
	struct watchdog *watchdog = mem_zalloc(sizeof(*watchdog));
	int r;

	watchdog->spec = *spec;
	watchdog->kick_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	r = watchdog->kick_fd < 0 ? -errno : 0;
	if (r == 0)
		r = -pthread_create(&watchdog->thread, NULL, thread_main, watchdog);
	if (r == 0) {
		*ret_watchdog = watchdog;
		return 0;
	}
	if (watchdog->kick_fd >= 0)
		close(watchdog->kick_fd);
	free(watchdog);
	return r;
}

void watchdog_beat(struct watchdog *watchdog)
{
	if (watchdog)
		atomic_fetch_add(&watchdog->beats, 1);
}

void watchdog_attend(struct watchdog *watchdog)
{
	atomic_store(&watchdog->is_attended, true);
	eventfd_write(watchdog->kick_fd, 1);
}

void watchdog_free(struct watchdog *watchdog)
{
	if (!watchdog)
		return;
	atomic_store(&watchdog->is_over, true);
	eventfd_write(watchdog->kick_fd, 1);
	pthread_join(watchdog->thread, NULL);
	close(watchdog->kick_fd);
	free(watchdog);
}
