/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP program: what happens to a frame before the kernel's stack sees it. Reads top-down:
 *
 *	parse -> listener's port? -> deny list -> TCP sound? -> connection exists? -> source bucket
 *	      -> workers alive? -> listener buckets -> kernel
 *
 * Frames for ports nobody serves leave at once; packets of existing connections pass after the
 * socket lookup, the only call on their way, and spend no token. The listener is looked up only
 * where something would be done to the packet: traffic that is not for a listener is never touched.
 * Calls are what costs here (each return is made safe against speculation), so every stage is
 * inlined, once per branch of judge(), and reads arrays. Why this order: see each stage's header.
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>

#include "maps.h"
#include "count.h"
#include "parse.h"
#include "listener.h"
#include "deny.h"
#include "tcp.h"
#include "socket.h"
#include "heartbeat.h"
#include "bucket.h"
#include "reply.h"

static __always_inline const struct sluice_settings *settings_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&settings, &row);
}

static __always_inline void note_oddities(const struct packet *packet)
{
	if (packet->first_fragment)
		COUNT(first_fragment);
	if (packet->options)
		COUNT(ip_options);
}

/* `listener` may be NULL here and below: the address is nobody's, the packet is not touched. */
static __always_inline int judge_denied(
	const struct packet *packet, const struct sluice_guard *listener)
{
	if (!listener)
		return XDP_PASS;
	LISTENER_COUNT(listener, dropped);
	return deny_drop(packet);
}

static __always_inline int judge_faulty(
	const struct packet *packet, const struct sluice_guard *listener, enum tcp_fault fault)
{
	if (!listener)
		return XDP_PASS;
	note_oddities(packet);
	if (fault != TCP_NOT_LINEAR)
		LISTENER_COUNT(listener, dropped);
	return tcp_refuse(packet, fault);
}

/* The rows of its source are on their way from memory while the kernel's tables are searched. */
static __always_inline int judge_syn(struct xdp_md *ctx, const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *config)
{
	struct bucket_pair source = {};
	int verdict;

	if (!listener)
		return XDP_PASS;
	if (bucket_source_counts(listener, LISTENER_SOURCE_CHARGES_SYN))
		bucket_source_find(&source, packet, listener, config);
	if (socket_has_connection(ctx, packet))
		return XDP_PASS;
	note_oddities(packet);
	if (!heartbeat_any(config)) {
		LISTENER_COUNT(listener, refused);
		return reply_rst(ctx, packet);
	}
	verdict = bucket_check(&source, listener, true);
	if (verdict != XDP_PASS) {
		LISTENER_COUNT(listener, dropped);
		return verdict;
	}
	LISTENER_COUNT(listener, syn);
	return PASS(syn);
}

/* Neither a SYN nor of a connection that the kernel knows. */
static __always_inline int judge_stray(const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *config)
{
	struct bucket_pair source = {};
	int verdict;

	if (!listener)
		return XDP_PASS;
	note_oddities(packet);
	if (bucket_source_counts(listener, LISTENER_SOURCE_CHARGES_OTHER))
		bucket_source_find(&source, packet, listener, config);
	verdict = bucket_check(&source, listener, false);
	if (verdict != XDP_PASS) {
		LISTENER_COUNT(listener, dropped);
		return verdict;
	}
	LISTENER_COUNT(listener, no_connection);
	return PASS(no_connection);
}

static __always_inline int judge(struct xdp_md *ctx, const struct packet *packet, __u8 port_flags)
{
	const struct sluice_settings *config = settings_get();
	enum tcp_fault fault;

	if (!config)
		return PASS(settings_missing);
	if (deny_has(packet, config))
		return judge_denied(packet, listener_find(packet, config, port_flags));
	fault = tcp_fault(ctx, packet);
	if (fault != TCP_SOUND)
		return judge_faulty(packet, listener_find(packet, config, port_flags), fault);
	if (tcp_is_syn(packet->tcp))
		return judge_syn(ctx, packet, listener_find(packet, config, port_flags), config);
	if (socket_has_connection(ctx, packet))
		return XDP_PASS;
	return judge_stray(packet, listener_find(packet, config, port_flags), config);
}

/* Inlined once per address family, which is a constant in each. */
static __always_inline int judge_parsed(
	struct xdp_md *ctx, const struct packet *packet, enum parse_result parsed)
{
	__u8 port_flags;

	if (parsed != PARSE_TCP)
		return parsed == PARSE_REFUSED ? XDP_DROP : XDP_PASS;
	port_flags = listener_port(packet);
	if (!port_flags)
		return XDP_PASS;
	return judge(ctx, packet, port_flags);
}

SEC("xdp.frags")
int sluice_xdp(struct xdp_md *ctx)
{
	struct cursor cursor = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	struct packet packet = {};

	switch (parse_ethernet(&cursor)) {
	case bpf_htons(ETH_P_IP):
		return judge_parsed(ctx, &packet, parse_ipv4(ctx, &cursor, &packet));
	case bpf_htons(ETH_P_IPV6):
		return judge_parsed(ctx, &packet, parse_ipv6(ctx, &cursor, &packet));
	case PARSE_ETHERNET_SHORT:
		return judge_parsed(ctx, &packet, parse_short(ctx));
	default:
		return XDP_PASS;
	}
}

char _license[] SEC("license") = "Dual BSD/GPL";
