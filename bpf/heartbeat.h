/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which workers are alive: rows of `workers`, stamped by user space. */
#ifndef SLUICE_BPF_HEARTBEAT_H
#define SLUICE_BPF_HEARTBEAT_H

#include "maps_shared.h"

/* The coarse clock moves once per jiffy, so that it need be asked once per jiffy, too: a call is
 * dear, jiffies are a load. CPUs share the two words; a torn pair is a jiffy off at worst. */
static volatile __u64 heartbeat_clock_ns, heartbeat_clock_jiffies;

static __always_inline __u64 heartbeat_now_ns(void)
{
	__u64 jiffies = bpf_jiffies64();

	if (heartbeat_clock_jiffies != jiffies) {
		heartbeat_clock_ns = bpf_ktime_get_coarse_ns();
		heartbeat_clock_jiffies = jiffies;
	}
	return heartbeat_clock_ns;
}

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
		.now_ns = heartbeat_now_ns(),
	};

	if (heartbeat_fresh(0, settings, walk.now_ns))
		return true;
	bpf_loop(settings->worker_count, heartbeat_try, &walk, 0);
	return walk.found;
}

#endif
