/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: does the kernel know this connection? Authoritative, and leaves no state to expire. */
#ifndef SLUICE_BPF_SOCKET_H
#define SLUICE_BPF_SOCKET_H

#include "parse.h"

#define SOCKET_NONE 0 /* no state of TCP has this number */

/* Bit n: state n is none of a connection that the kernel alone deals with. A SYN for any but the
 * first two is answered by the kernel: a cookie would lead to a second socket of the same tuple. In
 * TIME_WAIT it becomes a new connection, and is charged as one. */
#define SOCKET_STRAY_STATES                                                                        \
	(1u << SOCKET_NONE | 1u << BPF_TCP_LISTEN | 1u << BPF_TCP_TIME_WAIT |                      \
		1u << BPF_TCP_NEW_SYN_RECV)
#define SOCKET_SYN_STATES (1u << SOCKET_NONE | 1u << BPF_TCP_LISTEN | 1u << BPF_TCP_TIME_WAIT)

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

/* ctx: of XDP or of tc. Source port 0 finds the listening socket. To be released. */
static __always_inline struct bpf_sock *socket_lookup(
	void *ctx, const struct packet *packet, __be16 source_port)
{
	struct bpf_sock_tuple tuple;

	if (packet->v6) {
		__builtin_memcpy(tuple.ipv6.saddr, packet->saddr_be, sizeof(tuple.ipv6.saddr));
		__builtin_memcpy(tuple.ipv6.daddr, packet->daddr_be, sizeof(tuple.ipv6.daddr));
		tuple.ipv6.sport = source_port;
		tuple.ipv6.dport = packet->ports.dest;
		return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv6), BPF_F_CURRENT_NETNS, 0);
	}
	tuple.ipv4.saddr = packet->saddr_be[3];
	tuple.ipv4.daddr = packet->daddr_be[3];
	tuple.ipv4.sport = source_port;
	tuple.ipv4.dport = packet->ports.dest;
	return bpf_skc_lookup_tcp(ctx, &tuple, sizeof(tuple.ipv4), BPF_F_CURRENT_NETNS, 0);
}

/* State of the socket that would get the packet; SOCKET_NONE when there is none. */
static __always_inline __u32 socket_state_of(void *ctx, const struct packet *packet)
{
	struct bpf_sock *sk = socket_lookup(ctx, packet, packet->ports.source);
	__u32 state;

	if (!sk)
		return SOCKET_NONE;
	state = socket_read_state(sk);
	bpf_sk_release(sk);
	return state;
}

static __always_inline bool socket_is_among(__u32 state, __u32 states)
{
	return states >> (state & 31) & 1;
}

#endif
