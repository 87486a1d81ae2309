/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The XDP program: what happens to a frame before the kernel's stack sees it. Reads top-down:
 *
 *	parse -> listener's port? -> deny list -> TCP sound? -> connection exists? -> kernel
 *	   SYN (syn.h):       workers alive? -> limits -> cookie sent back, or kernel
 *	   others (stray.h):  cookie valid? -> limits -> gate, tc program, RST or nothing
 *
 * Frames for ports nobody serves leave at once; packets of existing connections pass after the
 * socket lookup, the only call on their way, and spend no token. The listener is looked up only
 * where something would be done to the packet: traffic that is not for a listener is never touched.
 * Calls are what costs here (each return is made safe against speculation), so what every packet
 * passes through is inlined, once per address family, and reads arrays; what comes after the socket
 * lookup are functions of their own, which the verifier walks through once.
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
#include "syn.h"
#include "stray.h"
#include "gated.h"
#include "leave.h"

/* What the common path leaves to the rest of the program, both address families alike. */
struct unknown {
	struct packet packet;
	__u32 state; /* JUDGE_UNKNOWN: of the socket that the packet would get */
	int verdict; /* JUDGE_REFUSED: which, if the address is a listener's; no more is known then */
};

/* It lies in a map and not on the stack, of which there is little, and where the verifier would
 * follow every value through all that comes after. A CPU works on one packet at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct unknown);
} scratch SEC(".maps");

static __always_inline struct unknown *unknown_get(void)
{
	__u32 row = 0;

	return bpf_map_lookup_elem(&scratch, &row);
}

/* Returned by the common path beside verdicts. */
#define JUDGE_UNKNOWN 0 /* of no connection that the kernel alone deals with */
#define JUDGE_REFUSED (-1)

/* On a deny list, or with a header that is at fault: XDP_PASS when neither. */
static __always_inline int judge_header(struct xdp_md *ctx, const struct packet *packet,
	const struct tcphdr *tcp, const struct sluice_settings *config)
{
	enum tcp_fault fault;

	if (deny_has(packet, config))
		return packet->v6 ? DROP(deny_v6) : DROP(deny_v4);
	fault = tcp_fault(ctx, packet, tcp);
	if (fault == TCP_SOUND)
		return XDP_PASS;
	return fault == TCP_NOT_LINEAR ? DROP(gated_not_linear) : tcp_refuse(tcp, fault);
}

/* Judged by judge_header(), where the address is a listener's. */
static __always_inline int judge_refused(
	struct xdp_md *ctx, const struct packet *packet, int verdict)
{
	const struct sluice_settings *config = settings_get();
	struct sluice_guard *guard;

	if (!config)
		return XDP_PASS;
	if (verdict == DROP(gated_not_linear))
		return gated_judge_not_linear(ctx);
	guard = forward_listener(ctx, packet, config);
	if (!guard)
		return XDP_PASS;
	if (verdict == DROP(deny_v4) || verdict == DROP(deny_v6))
		deny_drop(packet, config);
	LISTENER_COUNT(guard, dropped);
	return verdict;
}

static __always_inline int judge_unknown(struct xdp_md *ctx, struct unknown *unknown)
{
	if (!tcp_is_syn(unknown->packet.flags))
		return stray_judge(ctx, &unknown->packet, unknown->state);
	return socket_is_among(unknown->state, SOCKET_SYN_STATES)
		       ? syn_judge(ctx, &unknown->packet, unknown->state)
		       : XDP_PASS;
}

static __always_inline int judge(struct xdp_md *ctx, struct packet *packet,
	const struct headers *headers, struct unknown **ret_unknown)
{
	const struct sluice_settings *config = settings_get();
	struct unknown *unknown;
	int verdict;
	__u32 state;

	if (!config)
		return PASS(settings_missing);
	parse_addresses(packet, headers);
	verdict = judge_header(ctx, packet, headers->tcp, config);
	if (verdict != XDP_PASS) {
		*ret_unknown = unknown = unknown_get();
		if (!unknown)
			return XDP_PASS;
		unknown->verdict = verdict;
		unknown->packet.v6 = packet->v6;
		unknown->packet.ports = packet->ports;
		parse_addresses(&unknown->packet, headers);
		return JUDGE_REFUSED;
	}
	parse_addresses(packet, headers);
	state = socket_state_of(ctx, packet);
	if (!socket_is_among(state, SOCKET_STRAY_STATES))
		return XDP_PASS;
	*ret_unknown = unknown = unknown_get();
	if (!unknown)
		return XDP_PASS;
	unknown->state = state;
	packet_complete((void *)(long)ctx->data, packet, headers, &unknown->packet);
	return JUDGE_UNKNOWN;
}

static __always_inline int judge_unparsed(struct xdp_md *ctx, enum parse_result parsed)
{
	switch (parsed) {
	case PARSE_CUT:
		return gated_judge_cut(ctx);
	case PARSE_ICMP:
		return PASS(icmp);
	case PARSE_FRAGMENT:
		return gated_judge_fragment(ctx);
	case PARSE_IP_MALFORMED:
		return PASS(ip_malformed);
	case PARSE_CHAIN_TOO_LONG:
		return DROP(ipv6_chain_too_long);
	default:
		return XDP_PASS;
	}
}

/* Inlined once per address family, which is a constant in each. */
static __always_inline int judge_parsed(struct xdp_md *ctx, struct packet *packet,
	const struct headers *headers, enum parse_result parsed, struct unknown **ret_unknown)
{
	if (parsed != PARSE_TCP)
		return judge_unparsed(ctx, parsed);
	return listener_port(packet) ? judge(ctx, packet, headers, ret_unknown) : XDP_PASS;
}

static __always_inline int judge_frame(struct xdp_md *ctx, struct unknown **ret_unknown)
{
	struct cursor cursor = {(void *)(long)ctx->data, (void *)(long)ctx->data_end};
	struct headers headers = {};
	struct packet packet = {};

	switch (parse_ethernet(&cursor)) {
	case bpf_htons(ETH_P_IP):
		return judge_parsed(ctx, &packet, &headers, parse_ipv4(&cursor, &packet, &headers),
			ret_unknown);
	case bpf_htons(ETH_P_IPV6):
		return judge_parsed(ctx, &packet, &headers,
			parse_ipv6(ctx, &cursor, &packet, &headers), ret_unknown);
	case PARSE_ETHERNET_SHORT:
		return gated_judge_cut(ctx);
	case bpf_htons(ETH_P_8021Q):
	case bpf_htons(ETH_P_8021AD):
		return gated_judge_deep_vlan();
	default:
		return XDP_PASS;
	}
}

SEC("xdp.frags")
int sluice_xdp(struct xdp_md *ctx)
{
	struct unknown *unknown = NULL;
	int verdict = judge_frame(ctx, &unknown);

	if (verdict == XDP_PASS)
		return XDP_PASS;
	if (!unknown)
		return leave(ctx, NULL, verdict);
	if (verdict == JUDGE_REFUSED)
		verdict = judge_refused(ctx, &unknown->packet, unknown->verdict);
	else
		verdict = judge_unknown(ctx, unknown);
	return leave(ctx, &unknown->packet, verdict);
}

char _license[] SEC("license") = "Dual BSD/GPL";
