/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps of the XDP program. Names are API: they are the pins under PIN_DIR/maps. */
#ifndef SLUICE_BPF_MAPS_H
#define SLUICE_BPF_MAPS_H

#include "maps_lists.h"
#include "maps_listeners.h"
#include "maps_shared.h"

/* The gate: see <sluice/gate.h>. */
struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, SLUICE_GATE_SLOTS);
	__type(key, __u32);
	__type(value, __u32);
} xsks SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_GATE_SLOTS);
	__type(key, __u32);
	__type(value, struct sluice_gate_slot);
} gate_slots SEC(".maps");

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
