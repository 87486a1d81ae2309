/*
 * What of a target group outlives reloads: counters, and what is limited over all its targets. The
 * control thread finds it again by the group's name; workers write their own rows and the atomics.
 */
#ifndef SLUICE_PROXY_GROUP_STATE_H
#define SLUICE_PROXY_GROUP_STATE_H

#include "core/latency.h"
#include "core/shared.h"
#include "proxy/retry.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>

/* One worker's; read by any (relaxed). */
struct group_counts {
	uint64_t limited; /* nothing was found since targets, or the group, were at their limits */
	uint64_t retries, retries_refused; /* refused: over the budget */
	uint64_t status[6]; /* answers to HTTP requests by class: 1xx at [1] ... 5xx at [5] */
	struct latency latency; /* from the request to the head of its answer */
	struct retry_budget budget; /* the worker's alone */
} cache_aligned;

struct group_state {
	struct shared shared;
	struct group_counts *workers; /* and one more: the control thread's, of other processes */
	atomic_uint pending cache_aligned; /* wait for a new connection; where that is limited */
	pthread_mutex_t ejecting; /* for the time of a count over its targets */
	uint64_t judged_ms; /* control thread: when outliers were last looked for; 0: never */
};

/* One count, the caller's. */
struct group_state *group_state_new(uint32_t n_workers);

static inline void group_state_put(struct group_state *state)
{
	shared_put(&state->shared);
}

#endif
