/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps of the stages that limit and deny: buckets, lists, samples. Names are API: they are the pins
 * under PIN_DIR/maps. Included by every object that judges a packet; they share the pinned maps. */
#ifndef SLUICE_BPF_MAPS_LISTS_H
#define SLUICE_BPF_MAPS_LISTS_H

#include <sluice/abi.h>

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
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_reset_bucket);
} reset_bucket SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, SLUICE_SAMPLE_RING_BYTES);
} samples SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct sluice_sample_pace);
} sample_pace SEC(".maps");

/* clang describes a named structure that it meets only behind a pointer as a mere declaration,
 * which is what the value types of inner maps would be: an unnamed one around it is kept whole. */
#define INNER(type)                                                                                \
	struct {                                                                                   \
		type inner;                                                                        \
	}

/* Rows of these four: see SLUICE_LIST_ROWS. Inner maps of one size are looked up without a call;
 * BPF_F_INNER_MAP allows each its own number of rows. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_ROWS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_MMAPABLE);
		__type(key, __u32);
		__type(value, INNER(struct sluice_list_v4));
	});
} deny_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_ROWS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
		__type(key, __u32);
		__type(value, INNER(union sluice_list_v4_row));
	});
} deny_v4_rows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_ROWS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_MMAPABLE);
		__type(key, __u32);
		__type(value, INNER(struct sluice_list_v6));
	});
} deny_v6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_ROWS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_ARRAY);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_MMAPABLE | BPF_F_INNER_MAP);
		__type(key, __u32);
		__type(value, INNER(struct sluice_list_v6_bucket));
	});
} deny_v6_rows SEC(".maps");

/* Rows: slots of the deny list. Empty unless hits are counted. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_SLOTS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__type(key, INNER(struct sluice_hits_v4_key));
		__type(value, __u64);
	});
} deny_hits_v4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
	__uint(max_entries, SLUICE_LIST_SLOTS);
	__type(key, __u32);
	__array(values, struct {
		__uint(type, BPF_MAP_TYPE_LPM_TRIE);
		__uint(max_entries, 1);
		__uint(map_flags, BPF_F_NO_PREALLOC);
		__type(key, INNER(struct sluice_hits_v6_key));
		__type(value, __u64);
	});
} deny_hits_v6 SEC(".maps");

#endif
