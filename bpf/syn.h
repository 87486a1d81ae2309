/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: a SYN that no connection of the kernel's is waiting for, unless in TIME_WAIT. It is answered with a cookie,
 * without leaving a trace, or let through to the kernel, as the listener has it. */
#ifndef SLUICE_BPF_SYN_H
#define SLUICE_BPF_SYN_H

#include "bucket.h"
#include "checksum.h"
#include "cookie.h"
#include "gated.h"
#include "heartbeat.h"
#include "interface.h"
#include "maps.h"
#include "reply.h"

#define SYN_WINDOW      64240 /* until the socket speaks for itself; never 0 */
#define SYN_MTU_DEFAULT 1500
#define SYN_MSS_V4      1460 /* a frame of a first flight must fit an AF_XDP frame */
#define SYN_MSS_V6      1440
#define SYN_ECE_PER_ECN (TCP_FLAG_ECE_BIT / COOKIE_ECN)

static __always_inline __u32 syn_mss(struct xdp_md *ctx, const struct packet *packet)
{
	const struct sluice_interface_slots *slots = interface_get(ctx->ingress_ifindex);
	__u32 headers = sizeof(struct tcphdr) +
			(packet->v6 ? sizeof(struct ipv6hdr) : sizeof(struct iphdr));
	__u32 most = packet->v6 ? SYN_MSS_V6 : SYN_MSS_V4;
	__u32 mtu = SYN_MTU_DEFAULT;

	if (slots && slots->mtu > headers)
		mtu = slots->mtu;
	return mtu - headers < most ? mtu - headers : most;
}

/* In the layout of Linux's SYN-ACK; where SACK or the scale is not offered its place is padded. */
static __always_inline void syn_write_options(
	struct reply *reply, __u32 mss, const struct sluice_cookie *cookie, __u32 tsval)
{
	bool scaled = (cookie->options & COOKIE_SCALE_MASK) != SLUICE_COOKIE_NO_SCALE;
	bool sack = cookie->options & COOKIE_SACK;
	__u32 scale = scaled ? OPTION_WORD_SCALE(SLUICE_RCV_WSCALE) : OPTION_WORD_NOPS;

	reply->options_be[0] = OPTION_WORD_MSS(mss);
	if (cookie->has_timestamp) {
		reply->options_be[1] = sack ? OPTION_WORD_SACK_TIMESTAMPS : OPTION_WORD_TIMESTAMPS;
		reply->options_be[2] = bpf_htonl(cookie->ret_tsval);
		reply->options_be[3] = bpf_htonl(tsval);
		reply->options_be[4] = scale;
		reply->option_words = REPLY_OPTION_WORDS;
	} else if (scaled || sack) {
		reply->options_be[1] = sack ? OPTION_WORD_SACK : OPTION_WORD_NOPS;
		reply->options_be[2] = scale;
		reply->option_words = 3;
	} else {
		reply->option_words = 1;
	}
}

/* Sum of the segment, folded, not inverted; -1 when it is not all there. Without a call for what
 * has no data and options of the usual length. */
static __always_inline int syn_sum(
	struct xdp_md *ctx, const struct packet *packet, const struct tcphdr *tcp)
{
	void *end = frame_end(ctx);
	__u64 sum = checksum_add((const __u32 *)tcp, sizeof(*tcp) / 4);
	const __u32 *words;

	if (packet_payload_len(packet))
		return checksum_frame(ctx, packet->l4, packet->l4_len);
	words = options_words(packet, tcp, end, OPTIONS_LINUX_WORDS);
	if (words)
		return (__u16)~checksum_fold(sum + checksum_add(words, OPTIONS_LINUX_WORDS));
	words = options_words(packet, tcp, end, OPTIONS_WINDOWS_WORDS);
	if (words)
		return (__u16)~checksum_fold(sum + checksum_add(words, OPTIONS_WINDOWS_WORDS));
	return checksum_frame(ctx, packet->l4, packet->l4_len);
}

/* Is the checksum right, or that of a sender on this machine or a virtual one beside it, which
 * leaves the rest to a network card that is not there: the pseudo-header's? `addresses`: of the
 * pseudo-header without the length. */
static __always_inline bool syn_checksum_good(
	struct xdp_md *ctx, const struct packet *packet, const struct tcphdr *tcp, __u64 addresses)
{
	__u64 pseudo = addresses + bpf_htonl(packet->l4_len);
	int sum;

	if (tcp->check == (__u16)~checksum_fold(pseudo))
		return true;
	sum = syn_sum(ctx, packet, tcp);
	return sum >= 0 && checksum_fold(pseudo + sum) == 0;
}

/* Sends the SYN-ACK. */
static __always_inline int syn_ack(struct xdp_md *ctx, const struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *config, __u64 addresses)
{
	__u32 offer = *(const volatile __u32 *)&packet->offer;
	struct sluice_cookie cookie = {
		.options = offer & COOKIE_OPTIONS_MASK,
		.client_isn = packet->seq,
		.has_timestamp = offer & COOKIE_OFFER_TIMESTAMPS,
	};
	struct reply reply = {
		.ack_seq = packet->seq + 1,
		.window = SYN_WINDOW,
		.flags = TCP_FLAG_SYN_BIT | TCP_FLAG_ACK_BIT |
			 (offer & COOKIE_ECN) * SYN_ECE_PER_ECN,
	};
	struct sluice_cookie_tuple tuple;

	cookie_tuple(&tuple, packet, !listener_is_gated(guard));
	sluice_cookie_make(sluice_cookie_secret_of(config)->keys, config->epoch, &tuple, &cookie);
	reply.seq = cookie.ret_isn;
	syn_write_options(&reply, syn_mss(ctx, packet), &cookie, packet->tcp_options.tsval);
	return reply_send(ctx, packet, &reply, addresses);
}

/* Answers a SYN. What it carries is not taken: the client sends it again. */
static __always_inline int syn_answer(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *config)
{
	__u64 addresses = checksum_addresses(packet);
	struct tcphdr *tcp = packet_tcp(ctx, packet);
	int verdict;

	if (!tcp)
		return DROP(tcp_truncated);
	if (!syn_checksum_good(ctx, packet, tcp, addresses))
		return DROP(syn_checksum);
	if (options_of_syn(ctx, packet, tcp))
		return DROP(syn_options);
	if (packet_payload_len(packet))
		COUNT(syn_data);
	cookie_offer(packet, config);
	verdict = syn_ack(ctx, packet, guard, config, addresses);
	if (verdict == XDP_TX) {
		LISTENER_COUNT(guard, cookies);
		COUNT(syn_cookie);
	}
	return verdict;
}

static __always_inline bool syn_wants_cookie(
	const struct sluice_guard *guard, const struct sluice_settings *config)
{
	enum listener_syn_mode mode = guard->flags & LISTENER_SYN_MODE;

	if (config->handover != HANDOVER_OWN_COOKIES)
		return false;
	return mode == SYN_ALWAYS || (mode == SYN_UNDER_ATTACK && bucket_attack(guard));
}

/* Two tags: the kernel takes one off before the tc program, and makes sockets only of what is IP
 * then. What goes through the gate is not touched by that. */
static __always_inline bool syn_is_beyond_release(
	const struct packet *packet, const struct sluice_guard *guard)
{
	return packet->l3 > sizeof(struct ethhdr) + sizeof(struct vlan_tag) &&
	       !(guard->flags & LISTENER_GATED);
}

/* To the kernel, which answers and keeps state: the connection is charged here. Where clients prove
 * themselves by cookies, one that cannot be asked to spends nothing of its source's. */
static __always_inline int syn_pass(struct packet *packet, const struct sluice_guard *guard,
	const struct sluice_settings *config, bool proven)
{
	int verdict = bucket_charge_connection(packet, guard, config, proven);

	if (verdict != XDP_PASS)
		return verdict;
	LISTENER_COUNT(guard, syn);
	return PASS(syn);
}

static __always_inline int syn_judge_for(struct xdp_md *ctx, struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *config, __u32 state)
{
	int verdict;

	if (!heartbeat_any(config)) {
		LISTENER_COUNT(guard, refused);
		return RST(workers_stale_rst);
	}
	verdict = gated_check(packet, guard);
	/* an answer with a cookie would collide with it; the kernel makes a new connection of it */
	if (verdict == XDP_PASS && state == BPF_TCP_TIME_WAIT)
		return syn_pass(packet, guard, config, true);
	if (verdict == XDP_PASS)
		verdict = bucket_charge_packets(packet, guard, config, false);
	if (verdict != XDP_PASS)
		return verdict;
	if (!syn_wants_cookie(guard, config))
		return syn_pass(packet, guard, config, true);
	if (packet_is_odd(packet) || syn_is_beyond_release(packet, guard))
		return syn_pass(packet, guard, config, false);
	return syn_answer(ctx, packet, guard, config);
}

static __always_inline int syn_judge(struct xdp_md *ctx, struct packet *packet, __u32 state)
{
	const struct sluice_settings *config = settings_get();
	struct sluice_guard *guard;
	int verdict;

	if (!packet || !config)
		return XDP_PASS;
	guard = forward_listener(ctx, packet, config);
	if (!guard)
		return XDP_PASS;
	if (!interface_is_ours(ctx))
		return PASS(other_host);
	verdict = syn_judge_for(ctx, packet, guard, config, state);
	if (verdict_is_drop(verdict))
		LISTENER_COUNT(guard, dropped);
	return verdict;
}

#endif
