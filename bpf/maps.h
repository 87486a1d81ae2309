/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps of the XDP program. Names are API: they are the pins under PIN_DIR/maps. */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#include "maps_shared.h"

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, LISTENER_PORTS_ROWS);
	__type(key, __u32);
	__type(value, struct sluice_listener_ports);
} listener_ports SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_GUARD_SLOTS);
	__type(key, __u32);
	__type(value, struct sluice_guard_table);
} listener_table SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct sluice_listener_counters);
} listener_counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_MAX_LISTENERS);
	__type(key, __u32);
	__type(value, struct sluice_listener_bucket);
} listener_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_SOURCE_ROWS); /* the daemon may choose another power of two */
	__type(key, __u32);
	__type(value, struct sluice_bucket);
} source_buckets SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_DENY_SLOTS);
	__type(key, __u32);
	__type(value, struct sluice_deny_index);
} deny_index SEC(".maps");

/* clang describes a named structure that it meets only behind a pointer as a mere declaration,
 * which is what the value types of inner maps would be: an unnamed one around it is kept whole. */
#define INNER(type)                                                                                \
	struct {                                                                                   \
		type inner;                                                                        \
	}

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_DENY_SLOTS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__type(key, __u32);
		__type(value, INNER(struct sluice_deny_v4_bits));
	});
} deny_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_DENY_SLOTS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 1);
		__type(key, __u32);
		__type(value, INNER(struct sluice_deny_v4_row));
	});
} deny_v4_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_DENY_SLOTS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_HASH);
		__uint(max_entries, 1);
		__type(key, INNER(struct sluice_deny_v6_key));
		__type(value, INNER(struct sluice_deny_v6_value));
	});
} deny_v6 SEC(".maps");

/* Written by the daemon's health checks, for people and for the forwarding stage. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLUICE_MAX_BACKENDS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct sluice_backend);
} backends SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, SLUICE_MAX_GROUPS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct sluice_target_group);
} target_groups SEC(".maps");

#endif
