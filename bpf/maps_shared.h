/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps that more than one BPF object uses; the daemon gives every object the same pinned map. */
#ifndef SLUICE_BPF_MAPS_SHARED_H
#define SLUICE_BPF_MAPS_SHARED_H

#include <sluice/abi.h>

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sluice_settings);
} settings SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_MAX_WORKERS);
	__uint(map_flags, BPF_F_MMAPABLE);
	__type(key, __u32);
	__type(value, struct sluice_worker);
} workers SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, struct sluice_listener_key);
	__type(value, struct sluice_listener);
} listeners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_counters);
} counters SEC(".maps");

static __always_inline struct sluice_settings *settings_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&settings, &row);
}

#endif
