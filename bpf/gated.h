/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage: of a gated listener nothing may reach the kernel around the gate. What cannot be given to
 * the gate, because it is in pieces or dressed up, is dropped; towards other listeners it passes
 * and is counted.
 */
#ifndef SLUICE_BPF_GATED_H
#define SLUICE_BPF_GATED_H

#include "count.h"
#include "forward.h"
#include "listener.h"
#include "reread.h"
#include "socket.h"
#include "tcp.h"

/* XDP_PASS, or why not. */
static __always_inline int gated_check(
	const struct packet *packet, const struct sluice_guard *guard)
{
	if (!packet_is_odd(packet))
		return XDP_PASS;
	if (packet->first_fragment) {
		if (listener_is_gated(guard))
			return DROP(gated_fragment);
		COUNT(first_fragment);
	}
	if (packet->options) {
		if (listener_is_gated(guard))
			return DROP(gated_options);
		COUNT(ip_options);
	}
	return XDP_PASS;
}

/* A later fragment: has no ports to look at. */
__noinline int gated_judge_fragment(struct xdp_md *ctx)
{
	const struct sluice_settings *config = settings_get();
	struct packet packet = {};
	struct sluice_guard *guard;

	if (!config || !reread(ctx, &packet))
		return PASS(fragment);
	guard = listener_of_address(&packet, config);
	return guard && !forward_is(ctx, &packet, guard) ? DROP(gated_fragment) : PASS(fragment);
}

/* More VLAN tags than are looked behind. The kernel takes any number of tags of VLAN 0 off, so that
 * such a frame may yet be for a listener. */
static __always_inline int gated_judge_deep_vlan(void)
{
	__u32 row = LISTENER_PORTS_TCP;
	struct sluice_listener_ports *ports = bpf_map_lookup_elem(&listener_ports, &row);

	return ports && ports->flags[0] ? DROP(gated_vlan) : XDP_PASS;
}

/* The driver left the headers outside the linear part of the buffer: they are read with calls, to
 * see whom the packet is for. Connections that the kernel knows pass. */
__noinline int gated_judge_not_linear(struct xdp_md *ctx)
{
	const struct sluice_settings *config = settings_get();
	struct packet packet = {};
	struct sluice_guard *guard;

	if (!config || !reread(ctx, &packet))
		return PASS(headers_not_linear);
	guard = packet.ports.dest ? listener_find(&packet, config, listener_port(&packet))
				  : listener_of_address(&packet, config);
	if (!guard || !listener_is_gated(guard) || forward_is(ctx, &packet, guard))
		return PASS(headers_not_linear);
	if (packet.ports.dest &&
		!socket_is_among(socket_state_of(ctx, &packet), SOCKET_STRAY_STATES))
		return PASS(headers_not_linear);
	return DROP(gated_not_linear);
}

/* The buffer ended before the headers did: because the frame does, or because the driver keeps
 * the rest elsewhere. */
static __always_inline int gated_judge_cut(struct xdp_md *ctx)
{
	if (bpf_xdp_get_buff_len(ctx) > frame_end(ctx) - frame_begin(ctx))
		return gated_judge_not_linear(ctx);
	return PASS(frame_truncated);
}

#endif
