/*
 * Heartbeats: each worker stamps its own row of the memory-mapped `workers` map, every loop turn
 * and at least each SLUICE_STAMP_MS. A worker whose row is older than SLUICE_STALE_NS gets no new
 * connections; when all rows are, the XDP program answers SYNs with RST.
 * dp_heartbeat_open/_stop/_close: control thread. dp_heartbeat_stamp: the worker that owns the row.
 */
#ifndef SLUICE_DATAPLANE_DP_HEARTBEAT_H
#define SLUICE_DATAPLANE_DP_HEARTBEAT_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/settings.h>
#include <time.h>

struct dp_heartbeat {
	struct sluice_worker *row; /* NULL when the packet plane is inactive */
};

/* Valid until dataplane_close(). Stamps once, so that the worker counts from now. */
int dp_heartbeat_open(struct dataplane *dp, uint32_t worker, struct dp_heartbeat *ret_heartbeat,
	struct err *err) must_check;

/* The worker is about to end: connections go to the others from now on. */
void dp_heartbeat_stop(struct dp_heartbeat *heartbeat);

static inline uint64_t dp_heartbeat_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/* One store. `now_ns` is CLOCK_MONOTONIC_COARSE, the clock the BPF programs compare with. */
static inline void dp_heartbeat_stamp(const struct dp_heartbeat *heartbeat, uint64_t now_ns)
{
	if (heartbeat->row)
		__atomic_store_n(&heartbeat->row->stamp_ns, now_ns, __ATOMIC_RELAXED);
}

#endif
