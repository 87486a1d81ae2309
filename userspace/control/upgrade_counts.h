/*
 * Counters from one process to the next, so that nothing that is counted goes backwards or is lost: those
 * of listeners, rules, targets, groups, the gate and the caches of certificates, as sums over all workers;
 * first all of it, later by how much they have grown with the connections that are left. The next process
 * keeps them in a row behind those of its workers. Of another shape than ours (another version) they are
 * left: those begin anew. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_COUNTS_H
#define SLUICE_CONTROL_UPGRADE_COUNTS_H

#include "control/upgrade_wire.h"

struct daemon;

/* What the other one knows: sums, in the order of the rows. */
struct upgrade_told {
	uint64_t *words;
	size_t n;
};

/* Calls `put` with a message for each row that has grown. The build stays what it was the first time. */
void upgrade_counts_give(const struct daemon *daemon, struct upgrade_told *told,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg);
void upgrade_told_forget(struct upgrade_told *told);
void upgrade_counts_add(struct daemon *daemon, const struct upgrade_message *message);

/* Targets that requests have taken out, or that are near to it, stay so. */
void upgrade_outliers_give(const struct daemon *daemon,
	void (*put)(void *arg, enum upgrade_kind kind, const void *body, size_t len), void *arg);
void upgrade_outlier_add(struct daemon *daemon, const struct upgrade_message *message);

#endif
