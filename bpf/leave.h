/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The last stage of the XDP program: what is dropped is counted by its reason, and now and then
 * shown; RSTs are sent. */
#ifndef SLUICE_BPF_LEAVE_H
#define SLUICE_BPF_LEAVE_H

#include "count.h"
#include "reply.h"
#include "reread.h"
#include "sample.h"

#define LEAVE_FLAGS_AT 13 /* in the TCP header */

/* Reads the frame once more: a sample is rare, and what the stages knew need not be kept for it. */
__noinline int leave_sample(struct xdp_md *ctx, __u32 reason)
{
	struct packet packet = {};

	if (reread(ctx, &packet) && packet.l4)
		bpf_xdp_load_bytes(ctx, packet.l4 + LEAVE_FLAGS_AT, &packet.flags, 1);
	sample_take(ctx, &packet, reason);
	return 0;
}

static __always_inline int leave_drop(struct xdp_md *ctx, int verdict)
{
	__u32 reason = count_verdict(verdict);

	if (sample_due())
		leave_sample(ctx, reason);
	return XDP_DROP;
}

static __always_inline int leave_rst(struct xdp_md *ctx, const struct packet *packet, int verdict)
{
	if (reply_rst(ctx, packet) != XDP_TX)
		return leave_drop(ctx, DROP(reply_failed));
	count_verdict(verdict);
	return XDP_TX;
}

/* `packet`: whole where the verdict is a RST(). */
static __always_inline int leave(struct xdp_md *ctx, const struct packet *packet, int verdict)
{
	if (verdict_is_drop(verdict))
		return leave_drop(ctx, verdict);
	return verdict_is_rst(verdict) ? leave_rst(ctx, packet, verdict) : verdict;
}

#endif
