/*
 * Counters from one process to the next, so that nothing that is counted goes backwards: those of
 * listeners, targets and groups, as sums over all workers; the first worker of the next goes on from
 * there. Of another shape than ours (another version) they are left: those begin anew. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_COUNTS_H
#define SLUICE_CONTROL_UPGRADE_COUNTS_H

#include "control/upgrade_wire.h"

struct daemon;

/* Calls `put` with each message there is. */
void upgrade_counts_give(const struct daemon *daemon,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg);
/* Before its workers start. */
void upgrade_counts_add(struct daemon *daemon, const struct upgrade_message *message);

#endif
