/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which workers are alive: rows of `workers`, stamped by user space. */
#ifndef SLUICE_BPF_HEARTBEAT_H
#define SLUICE_BPF_HEARTBEAT_H

#include "maps_shared.h"

static __always_inline bool heartbeat_fresh(
	__u32 worker, const struct sluice_settings *settings, __u64 now_ns)
{
	struct sluice_worker *row = bpf_map_lookup_elem(&workers, &worker);

	/* signed: the stamp may be a tick younger than the clock read before it */
	return row && row->state == WORKER_RUNNING &&
	       (__s64)(now_ns - row->stamp_ns) < (__s64)settings->stale_ns;
}

struct heartbeat_walk {
	const struct sluice_settings *settings;
	__u64 now_ns;
	bool found;
};

static long heartbeat_try(__u64 worker, struct heartbeat_walk *walk)
{
	walk->found = heartbeat_fresh(worker, walk->settings, walk->now_ns);
	return walk->found;
}

/* Usually decided by the first row. */
static __always_inline bool heartbeat_any(const struct sluice_settings *settings)
{
	struct heartbeat_walk walk = {
		.settings = settings,
		.now_ns = bpf_ktime_get_coarse_ns(),
	};

	if (heartbeat_fresh(0, settings, walk.now_ns))
		return true;
	bpf_loop(settings->worker_count, heartbeat_try, &walk, 0);
	return walk.found;
}

#endif
