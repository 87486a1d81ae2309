/*
 * Ends the process when it was told to end and the control thread, which would do that, is held up: by a
 * token that does not come back from signing for a health check, or anything else. A thread of its own that
 * sleeps until there is a signal.
 */
#ifndef SLUICE_CONTROL_WATCHDOG_H
#define SLUICE_CONTROL_WATCHDOG_H

#include "core/attr.h"
#include <stdint.h>

struct watchdog;

struct watchdog_spec {
	int signal_fd; /* a signalfd that the control thread reads SIGTERM and SIGINT from */
	uint32_t held_ms; /* without a sign of life after it was told to end */
	void (*end)(void *arg); /* on the watchdog's thread: ends the process */
	void *arg;
};

/* 0 or -errno. */
int watchdog_new(const struct watchdog_spec *spec, struct watchdog **ret_watchdog) must_check;
/* A sign of life of the control thread. NULL is ignored. */
void watchdog_beat(struct watchdog *watchdog);
/* The control thread has heard that it is to end: from here on it gives signs of life all the time. */
void watchdog_attend(struct watchdog *watchdog);
/* NULL is ignored. */
void watchdog_free(struct watchdog *watchdog);

#endif
