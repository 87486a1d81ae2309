/* Reading the counters of the packet plane: one row per reason, summed over CPUs. Any one thread. */
#ifndef SLUICE_DATAPLANE_DP_COUNTERS_H
#define SLUICE_DATAPLANE_DP_COUNTERS_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/counters.h>

struct dp_counter {
	const char *name; /* "deny_v4" */
	enum sluice_counter_verdict verdict;
	const char *help;
};

/* The table of include/sluice/counters.def. `id` < COUNTER_COUNT. */
const struct dp_counter *dp_counter_describe(enum sluice_counter id);
/* "drop", "tx", "pass", "note" */
const char *dp_counter_verdict_name(enum sluice_counter_verdict verdict);

struct dp_counters {
	uint64_t
		value[COUNTER_COUNT]; /* since the maps were made, which may be before this start */
};

int dp_counters_read(
	const struct dataplane *dp, struct dp_counters *ret_counters, struct err *err) must_check;

#endif
