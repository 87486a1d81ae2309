/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Connections for which a socket is being made at this moment. A driver hands frames over in batches:
 * the XDP program sees all of a batch, and then the tc program all of it, before TCP sees the first
 * one. So what follows the first segment of a connection at once finds no socket yet, though there
 * will be one when its turn comes: it passes, and no second socket is asked for. Each of the two
 * programs remembers what it has seen itself.
 */
#ifndef SLUICE_BPF_RECENT_H
#define SLUICE_BPF_RECENT_H

#include "parse.h"

#ifndef RECENT_MAP
#define RECENT_MAP recent /* its name: both programs' are pinned side by side */
#endif

#define RECENT_ROWS    256
#define RECENT_JIFFIES 2 /* longer than any batch, shorter than any retransmission */

struct recent {
	__u64 key;
	__u64 jiffies;
	__u32 saddr_be[4];
	__u32 daddr_be[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, RECENT_ROWS);
	__type(key, __u32);
	__type(value, struct recent);
} RECENT_MAP SEC(".maps");

static __always_inline struct recent *recent_row(const struct packet *packet)
{
	__u32 row = (packet->ack_seq ^ packet->ports.source) % RECENT_ROWS;

	return bpf_map_lookup_elem(&RECENT_MAP, &row);
}

/* The cookie, which no other connection has, and the ports. */
static __always_inline __u64 recent_key(const struct packet *packet)
{
	return (__u64)packet->ack_seq << 32 | (__u32)packet->ports.source << 16 |
	       packet->ports.dest;
}

/* Of the very same tuple: or one good cookie would let through what bears it in any name. */
static __always_inline bool recent_is(const struct recent *row, const struct packet *packet)
{
	__u32 differ = 0;

	for (int i = 0; i < 4; i++)
		differ |= (row->saddr_be[i] ^ packet->saddr_be[i]) |
			  (row->daddr_be[i] ^ packet->daddr_be[i]);
	return !differ && row->key == recent_key(packet);
}

static __always_inline bool recent_has(const struct packet *packet)
{
	struct recent *row = recent_row(packet);

	return row && bpf_jiffies64() - row->jiffies <= RECENT_JIFFIES && recent_is(row, packet);
}

static __always_inline void recent_note(const struct packet *packet)
{
	struct recent *row = recent_row(packet);

	if (!row)
		return;
	row->key = recent_key(packet);
	__builtin_memcpy(row->saddr_be, packet->saddr_be, sizeof(row->saddr_be));
	__builtin_memcpy(row->daddr_be, packet->daddr_be, sizeof(row->daddr_be));
	row->jiffies = bpf_jiffies64();
}

#endif
