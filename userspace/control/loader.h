/*
 * Threads that do what may block, one job after the other. Jobs are handed in by the control thread
 * and come back to it when they are done. The daemon has two: the loader thread (files, parsing,
 * keys, waiting for workers to pass a turn), and one that only writes what is logged, so that a log
 * nobody takes keeps nothing else from being done.
 */
#ifndef SLUICE_CONTROL_LOADER_H
#define SLUICE_CONTROL_LOADER_H

#include "core/attr.h"
#include "core/list.h"
#include "core/loop.h"
#include <stdbool.h>
#include <stdint.h>

struct loader;

struct job {
	struct list link;
	void (*run)(struct job *job);  /* on the loader thread */
	void (*done)(struct job *job); /* on the control thread, afterwards; NULL: nothing to do */
};

/* `control` is the control thread's loop, `name` the thread's; with `writes_log` it calls log_drain(),
 * too. 0 or -errno. */
int loader_new(struct loop *control, const char *name, bool writes_log,
	struct loader **ret_loader) must_check;
/* Finishes the jobs it has (their `done` is called from here), then ends the thread. */
void loader_free(struct loader *loader);
/* The same if its thread ends within `ms`. False: it hangs in a job; it, its jobs and whatever they use
 * are left as they are. */
bool loader_free_within(struct loader *loader, uint32_t ms) must_check;
/* Control thread. The job must live until its `done` has been called. */
void loader_submit(struct loader *loader, struct job *job);

#endif
