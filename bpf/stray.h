/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: a segment, other than a SYN, of no connection that the kernel alone deals with: the answer
 * to a cookie, a leftover, or a flood. */
#ifndef SLUICE_BPF_STRAY_H
#define SLUICE_BPF_STRAY_H

#include "bucket.h"
#include "cookie.h"
#include "gate.h"
#include "gated.h"
#include "interface.h"
#include "socket.h"

/* Is it an answer to a cookie of the kernel's, which it sends when its queue of half-open
 * connections is full, or always? A function of its own, since it is asked rarely. */
__noinline int stray_has_kernel_cookie(struct xdp_md *ctx, const struct packet *packet)
{
	void *end = frame_end(ctx), *l3;
	struct tcphdr *tcp;
	struct bpf_sock *sk;
	bool valid = false;
	__u64 offset;

	if (!packet)
		return false;
	sk = socket_lookup(ctx, packet, packet->ports.source);
	if (!sk)
		return false;
	offset = packet->l3;
	asm volatile("%0 &= 31" : "+r"(offset));
	l3 = frame_begin(ctx) + offset;
	tcp = l3 + (packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	if (socket_read_state(sk) == BPF_TCP_LISTEN && (void *)(tcp + 1) <= end)
		valid = bpf_tcp_check_syncookie(sk, l3,
				packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr), tcp,
				sizeof(*tcp)) == 0;
	bpf_sk_release(sk);
	return valid;
}

static __always_inline bool stray_has_payload(const struct packet *packet)
{
	return packet_payload_len(packet) != 0;
}

/* The kernel's business from here on, under the limits of the source: its address is proven, or the
 * kernel does not prove addresses either. */
static __always_inline int stray_pass(struct packet *packet, const struct sluice_guard *guard,
	const struct sluice_settings *config)
{
	int verdict = bucket_charge_packets(packet, guard, config, true);

	if (verdict != XDP_PASS)
		return verdict;
	LISTENER_COUNT(guard, no_connection);
	return PASS(no_connection);
}

static __always_inline int stray_bad(const struct sluice_settings *config)
{
	return bucket_charge_reset(config) ? RST(cookie_bad_rst) : DROP(cookie_bad);
}

/* A client that waited over two epochs learns that it has no connection; one that has not said
 * anything yet to a gated listener will when it does. */
static __always_inline int stray_stale(
	const struct packet *packet, const struct sluice_guard *guard)
{
	if (stray_has_payload(packet) || (packet->flags & TCP_FLAG_FIN_BIT) ||
		!listener_is_gated(guard))
		return RST(cookie_stale_rst);
	return DROP(cookie_bad);
}

/* Not the first segment of its stream. */
static __always_inline int stray_early(const struct packet *packet)
{
	return recent_has(packet) ? XDP_PASS : DROP(segment_early);
}

/* `offset` bytes of the stream lie before this segment. A connection whose SYN was answered before
 * the gate was switched on goes around it: its cookie tells the first segment from later ones, but
 * no later one from a forgery (it is judged after accept). */
static __always_inline int stray_good(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, struct sluice_settings *config, __u32 offset)
{
	int verdict = bucket_charge_packets(packet, guard, config, true);

	if (verdict != XDP_PASS)
		return verdict;
	if (!listener_is_gated(guard) || packet->gate_changed)
		return offset ? stray_early(packet) : gate_direct(ctx, packet, config);
	if (stray_has_payload(packet))
		return gate_give(ctx, packet, guard, config);
	if (packet->flags & TCP_FLAG_FIN_BIT)
		return RST(cookie_fin_rst);
	return DROP(cookie_ack);
}

/* What a segment for a half-open connection of the kernel's shows. */
enum stray_proof {
	REQUEST_GONE, /* there is a socket by now, or none: the kernel's business */
	REQUEST_FORGED, /* does not acknowledge our SYN: whoever sent it has not seen that */
	REQUEST_ANSWERED,
	REQUEST_BEGINS, /* ... and is where the stream begins */
};

/* A function of its own, since it is asked rarely. */
__noinline int stray_prove(struct xdp_md *ctx, const struct packet *packet)
{
	enum stray_proof proof = REQUEST_GONE;
	struct tcp_request_sock *request;
	struct bpf_sock *sk;

	if (!packet)
		return proof;
	sk = socket_lookup(ctx, packet, packet->ports.source);
	if (!sk)
		return proof;
	request = bpf_skc_to_tcp_request_sock(sk);
	if (request && packet->ack_seq != request->snt_isn + 1)
		proof = REQUEST_FORGED;
	else if (request)
		proof = packet->seq == request->rcv_isn + 1 ? REQUEST_BEGINS : REQUEST_ANSWERED;
	bpf_sk_release(sk);
	return proof;
}

/*
 * The kernel answered the SYN, and has not heard of the client since. Anybody can bring that about
 * in another's name: so nothing is given to the gate, which charges limits and keeps first flights,
 * that does not acknowledge the SYN-ACK. A FIN ends the connection where its stream begins; anywhere
 * else it would make a socket that later segments reach around the gate.
 */
static __always_inline int stray_request(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, struct sluice_settings *config)
{
	bool payload = stray_has_payload(packet);
	int proof, verdict;

	if (!listener_is_gated(guard) || config->handover != HANDOVER_OWN_COOKIES ||
		(packet->flags & TCP_FLAG_RST_BIT))
		return XDP_PASS;
	if (!payload && !(packet->flags & TCP_FLAG_FIN_BIT))
		return DROP(request_ack);
	proof = stray_prove(ctx, packet);
	if (proof == REQUEST_GONE)
		return XDP_PASS;
	if (proof == REQUEST_FORGED)
		return stray_bad(config);
	if (!payload)
		return proof == REQUEST_BEGINS ? XDP_PASS : DROP(request_ack);
	verdict = bucket_charge_packets(packet, guard, config, true);
	return verdict == XDP_PASS ? gate_give(ctx, packet, guard, config) : verdict;
}

static __always_inline bool stray_kernel_may_send_cookies(
	const struct sluice_guard *guard, const struct sluice_settings *config)
{
	return config->handover == HANDOVER_KERNEL_COOKIES ||
	       (guard->flags & LISTENER_SYN_MODE) != SYN_ALWAYS;
}

static __always_inline enum cookie_verdict stray_check(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *config, __u32 *ret_offset)
{
	struct tcphdr *tcp = packet_tcp(ctx, packet);

	if (config->handover != HANDOVER_OWN_COOKIES || !tcp ||
		options_of_segment(ctx, packet, tcp))
		return COOKIE_BAD;
	return cookie_check(packet, guard, config, ret_offset);
}

/* An ACK, with or without data, that ought to bring a cookie back. */
static __always_inline int stray_ack(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, struct sluice_settings *config, __u32 state)
{
	__u32 offset = 0;

	switch (stray_check(ctx, packet, guard, config, &offset)) {
	case COOKIE_GOOD:
		return stray_good(ctx, packet, guard, config, offset);
	case COOKIE_STALE:
		return stray_stale(packet, guard);
	default:
		break;
	}
	if (state == BPF_TCP_TIME_WAIT)
		return XDP_PASS;
	/* without timestamps only the first segment of the stream tells the cookie */
	if (!listener_is_gated(guard) && recent_has(packet))
		return XDP_PASS;
	if (stray_kernel_may_send_cookies(guard, config) && stray_has_kernel_cookie(ctx, packet))
		return stray_pass(packet, guard, config);
	return stray_bad(config);
}

static __always_inline int stray_judge_for(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, struct sluice_settings *config, __u32 state)
{
	int verdict = gated_check(packet, guard);

	if (verdict != XDP_PASS)
		return verdict;
	if (state == BPF_TCP_NEW_SYN_RECV)
		return stray_request(ctx, packet, guard, config);
	if (state != BPF_TCP_TIME_WAIT) {
		if (packet->flags & TCP_FLAG_RST_BIT)
			return recent_has(packet) ? XDP_PASS : DROP(reset_unknown);
		if (packet->flags & TCP_FLAG_SYN_BIT)
			return DROP(syn_ack_unknown);
	} else if (packet->flags & (TCP_FLAG_RST_BIT | TCP_FLAG_SYN_BIT)) {
		return XDP_PASS;
	}
	if (config->handover == HANDOVER_NONE || packet_is_odd(packet))
		return state == BPF_TCP_TIME_WAIT ? XDP_PASS : stray_pass(packet, guard, config);
	return stray_ack(ctx, packet, guard, config, state);
}

static __always_inline int stray_judge(struct xdp_md *ctx, struct packet *packet, __u32 state)
{
	struct sluice_settings *config = settings_get();
	struct sluice_guard *guard;
	int verdict;

	if (!packet || !config)
		return XDP_PASS;
	guard = forward_listener(ctx, packet, config);
	if (!guard)
		return XDP_PASS;
	if (!interface_is_ours(ctx))
		return PASS(other_host);
	verdict = stray_judge_for(ctx, packet, guard, config, state);
	if (verdict_is_drop(verdict))
		LISTENER_COUNT(guard, dropped);
	return verdict;
}

#endif
