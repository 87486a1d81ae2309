/*
 * Watches the workers: each has to take a turn of its loop now and then. One that does not is
 * reported once, with what it is doing (its stack, on standard error), and the service manager is
 * told that the daemon is alive only while all of them are. One that does not go on for long ends the
 * process, with a report of the crash, for whoever started it to start it again. Control thread.
 */
#ifndef SLUICE_CONTROL_WORKER_WATCH_H
#define SLUICE_CONTROL_WORKER_WATCH_H

#include <stdbool.h>
#include <stdint.h>

struct worker;

struct worker_watch {
	uint64_t stuck; /* bit per worker */
	uint64_t n_stuck; /* times that one was found so */
	uint64_t looked_ms;
};

/* Before threads are started: the signal that asks a worker for its stack. */
void worker_watch_init(void);
/* Once a tick. `end_ms`: without a turn, after which the process ends; 0: never. */
void worker_watch_tick(
	struct worker_watch *watch, struct worker *workers, uint32_t n, uint32_t end_ms);

#endif
