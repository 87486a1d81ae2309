/*
 * Totals over all listeners, those that a reload has removed too: their counters are kept apart
 * while they still have connections and then added to one sum, so that no total ever shrinks.
 * Control thread; the workers' own rows are read without any lock.
 */
#ifndef SLUICE_CONTROL_VIEWS_COUNTS_H
#define SLUICE_CONTROL_VIEWS_COUNTS_H

#include "control/build.h"
#include "proxy/group_state.h"

struct counts {
	uint32_t n_workers;
	struct listener_stats *gone;    /* the sum of what has ended */
	struct listener_stats **ending; /* removed, with connections left; counted */
	uint32_t n_ending;
};

void counts_init(struct counts *counts, uint32_t n_workers);
void counts_fini(struct counts *counts);
/* Call when `now` has taken the place of `old`. */
void counts_keep(struct counts *counts, const struct build *old, const struct build *now);

/* Adds up: one listener over all workers; all listeners of one worker; everything. Sums over all workers have
 * what other processes counted before, or count still, too: in a row behind those of the workers. */
void counts_of_stats(
	const struct listener_stats *stats, uint32_t n_workers, struct listener_counts *ret_sum);
void counts_of_worker(const struct counts *counts, const struct build *build, uint32_t worker,
	struct listener_counts *ret_sum);
void counts_of_all(
	const struct counts *counts, const struct build *build, struct listener_counts *ret_sum);
/* All reasons that are refusals. */
uint64_t counts_refused(const struct listener_counts *sum);

/* What the workers have counted of a target group, and of a target (`connections`: open now). */
struct group_sum {
	uint64_t limited, retries, retries_refused;
	uint64_t status[6];
	struct latency latency;
};

struct target_sum {
	uint64_t requests, failures, connections;
};

void counts_of_group(
	const struct group_state *state, uint32_t n_workers, struct group_sum *ret_sum);
void counts_of_target(const struct target *target, uint32_t n_workers, struct target_sum *ret_sum);

#endif
