/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where a segment with a valid cookie goes: to the gate in user space, or straight to the tc
 * program, which makes the socket. */
#ifndef SLUICE_BPF_GATE_H
#define SLUICE_BPF_GATE_H

#include "count.h"
#include "heartbeat.h"
#include "interface.h"
#include "listener.h"
#include "maps.h"
#include "recent.h"
#include "tcp.h"

/* Slot of the AF_XDP socket for this queue; negative: there is none that somebody serves. */
static __always_inline int gate_slot(struct xdp_md *ctx, const struct sluice_settings *config)
{
	const struct sluice_interface_slots *slots = interface_get(ctx->ingress_ifindex);
	__u32 queue = ctx->rx_queue_index, slot;
	struct sluice_gate_slot *owner;

	if (!slots || queue >= slots->queues)
		return -1;
	slot = slots->first + queue;
	owner = bpf_map_lookup_elem(&gate_slots, &slot);
	if (!owner || !heartbeat_fresh(owner->worker, config, heartbeat_now_ns()) ||
		!bpf_map_lookup_elem(&xsks, &slot))
		return -1;
	return slot;
}

/* Marks the frame for the tc program. A driver without room for that is remembered, and the tc
 * program looks at everything itself. */
static __always_inline int gate_direct(
	struct xdp_md *ctx, const struct packet *packet, struct sluice_settings *config)
{
	struct sluice_meta *meta;

	if (recent_has(packet))
		return XDP_PASS;
	recent_note(packet);
	if (bpf_xdp_adjust_meta(ctx, -(int)sizeof(*meta))) {
		config->meta_missing = 1;
		return PASS(meta_missing);
	}
	meta = (void *)(long)ctx->data_meta;
	if ((void *)(meta + 1) <= frame_begin(ctx))
		meta->magic = config->meta_magic;
	return XDP_PASS;
}

/* A segment with data for a gated listener. Without a gate that would take it the connection is
 * made all the same, and judged after accept. */
static __always_inline int gate_give(struct xdp_md *ctx, const struct packet *packet,
	const struct sluice_guard *guard, struct sluice_settings *config)
{
	__u32 linear = frame_end(ctx) - frame_begin(ctx);
	int slot;

	if (linear > config->gate_frame_bytes || linear < packet->l4 + packet->l4_len) {
		if (config->gate_frame_bytes)
			COUNT(gate_too_long);
		else
			COUNT(gate_bypassed);
		return gate_direct(ctx, packet, config);
	}
	slot = gate_slot(ctx, config);
	if (slot < 0) {
		COUNT(gate_bypassed);
		return gate_direct(ctx, packet, config);
	}
	COUNT(gate_frames);
	LISTENER_COUNT(guard, gate_frames);
	return bpf_redirect_map(&xsks, slot, XDP_DROP);
}

#endif
