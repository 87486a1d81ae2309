/*
 * The state file: run-time entries of the lists, so that a restart keeps them. Written whole beside
 * the old one, synced and renamed over it; a file that is not whole is never believed. The loader
 * thread; at start the main thread.
 */
#ifndef SLUICE_CONTROL_LISTS_STATE_H
#define SLUICE_CONTROL_LISTS_STATE_H

#include "control/lists_entries.h"
#include "core/err.h"

/* The old file stays where this fails. */
int lists_state_save(const char *path, const struct lists_entries entries[LIST_KINDS],
	struct err *err) must_check;
/* No file: no entries. -EBADMSG: damaged; it has been renamed to PATH.damaged, the text says so. */
int lists_state_load(
	const char *path, struct lists_entries ret_entries[LIST_KINDS], struct err *err) must_check;

#endif
