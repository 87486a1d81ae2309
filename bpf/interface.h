/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What is known of the interface that a frame came in on, and whether the frame is for this node. */
#ifndef SLUICE_BPF_INTERFACE_H
#define SLUICE_BPF_INTERFACE_H

#include "maps_listeners.h"
#include "parse.h"

/* NULL: nothing. */
static __always_inline const struct sluice_interface_slots *interface_get(__u32 ifindex)
{
	__u32 row = ifindex % SLUICE_INTERFACE_ROWS;
	const struct sluice_interface_slots *slots = bpf_map_lookup_elem(&interface_slots, &row);

	return slots && slots->ifindex == ifindex ? slots : NULL;
}

static __always_inline bool interface_has(const struct sluice_interface_slots *slots, __u64 mac)
{
	if (!slots->mac_count || slots->macs[0] == mac)
		return true;
	for (int i = 1; i < SLUICE_INTERFACE_MACS; i++)
		if (slots->macs[i] == mac)
			return true;
	return false;
}

/*
 * Is the frame addressed to us? Asked where we would answer, or make a connection: what a switch
 * floods or mirrors, and what is sent to many, the kernel drops when it comes to TCP. So must we:
 * the other node answers for itself.
 */
static __always_inline bool interface_is_ours(struct xdp_md *ctx)
{
	const struct sluice_interface_slots *slots = interface_get(ctx->ingress_ifindex);
	const __u64 *head = frame_begin(ctx);

	if (!slots || (void *)(head + 1) > frame_end(ctx))
		return true;
	return interface_has(slots, sluice_mac(*head));
}

#endif
