/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: does the kernel know this connection? Authoritative, and leaves no state to expire. */
#ifndef SLUICE_BPF_SOCKET_H
#define SLUICE_BPF_SOCKET_H

#include "parse.h"

/* The compiler may form &sk->state before the load, which the verifier refuses ("pointer
 * arithmetic on sock_common prohibited"): this keeps the offset inside the load. */
static __always_inline __u32 socket_read_state(const struct bpf_sock *sk)
{
	__u32 state;

	asm volatile("%0 = *(u32 *)(%1 + %2)"
		: "=r"(state)
		: "r"(sk), "i"(offsetof(struct bpf_sock, state)));
	return state;
}

static __always_inline struct bpf_sock *socket_lookup(
	struct xdp_md *ctx, const struct packet *packet)
{
	struct bpf_sock_tuple tuple;

	if (packet->v6) {
		__builtin_memcpy(tuple.ipv6.saddr, packet->saddr_be, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, packet->daddr_be, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = packet->ports->source;
		tuple.ipv6.dport = packet->ports->dest;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.saddr = packet->saddr_be[3];
	tuple.ipv4.daddr = packet->daddr_be[3];
	tuple.ipv4.sport = packet->ports->source;
	tuple.ipv4.dport = packet->ports->dest;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* Any state but LISTEN counts: a SYN for a socket in TIME_WAIT or SYN_RECV is the kernel's. */
static __always_inline bool socket_has_connection(struct xdp_md *ctx, const struct packet *packet)
{
	struct bpf_sock *sk = socket_lookup(ctx, packet);
	bool connection;

	if (!sk)
		return false;
	connection = socket_read_state(sk) != BPF_TCP_LISTEN;
	bpf_sk_release(sk);
	return connection;
}

#endif
