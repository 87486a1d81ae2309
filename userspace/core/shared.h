/*
 * Objects that several snapshots and several workers hold: listeners, target groups, targets,
 * certificates' contexts. Two kinds of hold:
 *  - shared_get/put: one per snapshot or other owner, atomic; any thread.
 *  - shared_hold/drop: one per connection, on a worker: a plain counter of that worker's own
 *    cache line; only its first hold and last drop touch the atomic count.
 * A worker may only hold what it found in the snapshot of the turn it is in (or already holds),
 * so that the count it starts from cannot be zero. The last put frees, on whatever thread.
 */
#ifndef SLUICE_CORE_SHARED_H
#define SLUICE_CORE_SHARED_H

#include "core/attr.h"
#include <stdatomic.h>
#include <stdint.h>

enum { SHARED_WORKERS_MAX = 64 };

struct shared_local {
	uint32_t holds;
} cache_aligned;

struct shared {
	atomic_uint refs;
	uint32_t n_workers;
	void (*free)(struct shared *shared);
	struct shared_local *local; /* n_workers entries */
};

/* Starts with one reference, the caller's. */
void shared_init(struct shared *shared, uint32_t n_workers, void (*free)(struct shared *shared));
/* Frees what shared_init allocated; called by the free function. */
void shared_fini(struct shared *shared);
void shared_get(struct shared *shared);
void shared_put(struct shared *shared);

static inline void shared_hold(struct shared *shared, uint32_t worker)
{
	if (shared->local[worker].holds++ == 0)
		shared_get(shared);
}

static inline void shared_drop(struct shared *shared, uint32_t worker)
{
	if (--shared->local[worker].holds == 0)
		shared_put(shared);
}

#endif
