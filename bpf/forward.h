/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Is a packet only passing through? A listener of 0.0.0.0 or :: serves the addresses of this node,
 * and nobody else's: what a node that routes would forward is not touched. The lookup is made for
 * such listeners alone; where forwarding is off it ends at once.
 */
#ifndef SLUICE_BPF_FORWARD_H
#define SLUICE_BPF_FORWARD_H

#include "listener.h"

#define AF_INET  2
#define AF_INET6 10

/* A function of its own, since the verifier need not follow what it returns. */
__noinline int forward_lookup(struct xdp_md *ctx, const struct packet *packet)
{
	struct bpf_fib_lookup route = {};
	long result;

	if (!packet)
		return false;
	route.ifindex = ctx->ingress_ifindex;
	if (packet->v6) {
		route.family = AF_INET6;
		__builtin_memcpy(route.ipv6_src, packet->saddr_be, sizeof(route.ipv6_src));
		__builtin_memcpy(route.ipv6_dst, packet->daddr_be, sizeof(route.ipv6_dst));
	} else {
		route.family = AF_INET;
		route.ipv4_src = packet->saddr_be[3];
		route.ipv4_dst = packet->daddr_be[3];
	}
	result = bpf_fib_lookup(ctx, &route, sizeof(route), 0);
	/* an error: served, as where nothing is forwarded */
	return result >= 0 && result != BPF_FIB_LKUP_RET_NOT_FWDED &&
	       result != BPF_FIB_LKUP_RET_FWD_DISABLED;
}

static __always_inline bool forward_is(
	struct xdp_md *ctx, const struct packet *packet, const struct sluice_guard *guard)
{
	const __u32 *address = guard->key.addr_be;

	if (address[0] | address[1] | address[3])
		return false;
	return (address[2] == 0 || address[2] == bpf_htonl(0xffff)) && forward_lookup(ctx, packet);
}

/* The listener that a packet with ports is for. NULL: none, or the packet only passes through. */
static __always_inline struct sluice_guard *forward_listener(
	struct xdp_md *ctx, const struct packet *packet, const struct sluice_settings *settings)
{
	struct sluice_guard *guard = listener_find(packet, settings, listener_port(packet));

	return guard && !forward_is(ctx, packet, guard) ? guard : NULL;
}

#endif
