/* The `settings` map (one row, memory mapped by the daemon) and the `workers` heartbeats. */
#ifndef SLUICE_SETTINGS_H
#define SLUICE_SETTINGS_H

#include <sluice/types.h>
#include <sluice/limits.h>

struct sluice_settings {
	__u32 layout_version; /* SLUICE_LAYOUT_VERSION of the daemon that wrote the pinned maps */
	__u32 worker_count;   /* rows of `workers` in use */
	__u64 hash_key[2];    /* secret of the source table, new at every start from scratch */
	__u64 stale_ns;       /* age at which a heartbeat no longer counts */
	__u32 source_mask;    /* rows of source_buckets - 1 */
	__u32 deny_state;     /* enum deny_state: changed in one store */
	__u64 started_unix_s;
	__u32 guard_slot; /* row of listener_table in force: changed in one store */
	__u32 pad[3];
};
SLUICE_SIZE(struct sluice_settings, 64);

enum worker_state {
	WORKER_UNUSED,
	WORKER_RUNNING,
	WORKER_STOPPING, /* gets no new connections, whatever its stamp says */
};

/* One cache line per worker, written by that worker only. */
struct sluice_worker {
	__u64 stamp_ns; /* CLOCK_MONOTONIC_COARSE of its last loop turn */
	enum worker_state state;
	__u32 pid;
	__u64 pad[6];
};
SLUICE_SIZE(struct sluice_worker, 64);

#endif
