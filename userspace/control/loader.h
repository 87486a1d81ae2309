/*
 * The loader thread: does what may block (files, parsing, keys, log lines, waiting for workers to
 * pass a turn), one job after the other. Jobs are handed in by the control thread and come back
 * to it when they are done.
 */
#ifndef SLUICE_CONTROL_LOADER_H
#define SLUICE_CONTROL_LOADER_H

#include "core/attr.h"
#include "core/list.h"
#include "core/loop.h"

struct loader;

struct job {
	struct list link;
	void (*run)(struct job *job);  /* on the loader thread */
	void (*done)(struct job *job); /* on the control thread, afterwards; NULL: nothing to do */
};

/* `control` is the control thread's loop. 0 or -errno. */
int loader_new(struct loop *control, struct loader **ret_loader) must_check;
/* Finishes the jobs it has (their `done` is called from here), then ends the thread. */
void loader_free(struct loader *loader);
/* Control thread. The job must live until its `done` has been called. */
void loader_submit(struct loader *loader, struct job *job);

#endif
