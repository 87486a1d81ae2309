/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps that say what is served, and where, for the programs that judge packets (XDP and tc). */
#ifndef SLUICE_BPF_MAPS_LISTENERS_H
#define SLUICE_BPF_MAPS_LISTENERS_H

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

/* See <sluice/gate.h>. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, SLUICE_INTERFACE_ROWS);
	__type(key, __u32);
	__type(value, struct sluice_interface_slots);
} interface_slots SEC(".maps");

#endif
