/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP program: what happens to a frame before the kernel's stack sees it. Reads top-down:
 *
 *	parse -> listener's port? -> deny list, TCP sound? -> connection exists? -> listener?
 *	      -> workers alive? -> source bucket -> listener buckets -> kernel
 *
 * Frames for ports nobody serves leave at once; packets of existing connections pass after the
 * socket lookup and spend no token. The row of the listener is fetched only for the rest, so what
 * the stages before it find is acted upon (dropped, counted) after it: traffic that is not for a
 * listener is never touched. Why this order: see each stage's header.
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

static __always_inline struct sluice_settings *settings_get(void)
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

/* A packet to a listener that belongs to no connection the kernel knows. */
static __always_inline int judge_stranger(struct xdp_md *ctx, const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *config)
{
	bool syn = tcp_is_syn(packet->tcp);
	int verdict;

	if (syn && !heartbeat_any(config)) {
		LISTENER_COUNT(listener, refused);
		return reply_rst(ctx, packet);
	}
	verdict = bucket_check(packet, listener, config, syn);
	if (verdict != XDP_PASS) {
		LISTENER_COUNT(listener, dropped);
		return verdict;
	}
	if (syn) {
		LISTENER_COUNT(listener, syn);
		return PASS(syn);
	}
	LISTENER_COUNT(listener, no_connection);
	return PASS(no_connection);
}

static __always_inline int judge(struct xdp_md *ctx, const struct packet *packet, __u8 port_flags)
{
	struct sluice_settings *config = settings_get();
	struct sluice_guard *listener;
	enum tcp_fault fault;
	bool denied;

	if (!config)
		return PASS(settings_missing);
	denied = deny_has(packet, config);
	fault = tcp_fault(ctx, packet);
	if (!denied && fault == TCP_SOUND && socket_has_connection(ctx, packet))
		return XDP_PASS;
	listener = listener_find(packet, config, port_flags);
	if (!listener)
		return XDP_PASS;
	if (denied) {
		LISTENER_COUNT(listener, dropped);
		return deny_drop(packet);
	}
	note_oddities(packet);
	if (fault == TCP_SOUND)
		return judge_stranger(ctx, packet, listener, config);
	if (fault != TCP_NOT_LINEAR)
		LISTENER_COUNT(listener, dropped);
	return tcp_refuse(packet, fault);
}

SEC("xdp.frags")
int sluice_xdp(struct xdp_md *ctx)
{
	struct packet packet = {};
	__u8 port_flags;

	switch (parse_frame(ctx, &packet)) {
	case PARSE_TCP:
		break;
	case PARSE_REFUSED:
		return XDP_DROP;
	default:
		return XDP_PASS;
	}
	port_flags = listener_port(&packet);
	if (!port_flags)
		return XDP_PASS;
	return judge(ctx, &packet, port_flags);
}

char _license[] SEC("license") = "Dual BSD/GPL";
