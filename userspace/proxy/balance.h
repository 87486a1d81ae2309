/* Choosing a target of a group for one request or connection. A worker's own thread only. */
#ifndef SLUICE_PROXY_BALANCE_H
#define SLUICE_PROXY_BALANCE_H

#include "proxy/group.h"

/* For whom a target is chosen. */
struct balance_ask {
	uint64_t key; /* CONSISTENT_HASH; BALANCE_NO_KEY: it has none, any target is as good */
	struct target *stick; /* if it can take it: this one; NULL: any. A member of the group */
	const struct target *avoid; /* tried already: only if there is nothing else; NULL: none */
	uint64_t now_ms; /* loop_now_ms(): for slow start */
	bool is_limited; /* answer: some would do, but are at their limits */
};

/*
 * Healthy targets; else those not yet checked; else, if the group fails open, any. NULL: none. The
 * caller holds it (shared_hold) and counts it as outstanding.
 */
struct target *balance_pick(
	struct target_group *group, uint32_t worker, struct balance_ask *ask) must_check;

/* Would another one than `but`, which a try was made with, be as good? */
bool balance_has_another(struct target_group *group, const struct target *but);

#endif
