/* Choosing a target of a group for one request or connection. A worker's own thread only. */
#ifndef SLUICE_PROXY_BALANCE_H
#define SLUICE_PROXY_BALANCE_H

#include "proxy/group.h"

/* How many of the tried targets are remembered. */
enum { BALANCE_TRIED_MAX = 4 };

/* What was tried for one request or connection: members of the group that is asked, which its owner holds. */
struct balance_tried {
	const struct target *targets[BALANCE_TRIED_MAX]; /* the last one first; NULL: no more */
};

/* For whom a target is chosen. */
struct balance_ask {
	uint64_t key; /* CONSISTENT_HASH; BALANCE_NO_KEY: it has none, any target is as good */
	struct target *stick; /* if it can take it: this one; NULL: any. A member of the group */
	struct balance_tried *
		tried; /* these only if there is nothing else, and the last one least; NULL: none */
	uint64_t now_ms; /* loop_now_ms(): for slow start */
	bool is_limited; /* answer: some would do, but are at their limits */
};

/*
 * Healthy targets; else those not yet checked; else, if the group fails open, any. NULL: none. The
 * caller holds it (shared_hold) and counts it as outstanding.
 */
struct target *balance_pick(
	struct target_group *group, uint32_t worker, struct balance_ask *ask) must_check;

/* A try was made with it. */
void balance_note_tried(struct balance_tried *tried, const struct target *target);

/* Would another one than `last`, which is being tried, and those before it be as good? */
bool balance_has_another(
	struct target_group *group, const struct balance_tried *tried, const struct target *last);

#endif
