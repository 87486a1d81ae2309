/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is this packet for one of our listeners? Must be cheap for the packets that are not. */
#ifndef SLUICE_BPF_LISTENER_H
#define SLUICE_BPF_LISTENER_H

#include "maps.h"
#include "parse.h"

/* What listeners there are on the packet's port: enum listener_port_flags, 0 for most packets. */
static __always_inline __u8 listener_port(const struct packet *packet)
{
	__u32 row = LISTENER_PORTS_TCP;
	struct sluice_listener_ports *ports = bpf_map_lookup_elem(&listener_ports, &row);

	return ports ? ports->flags[bpf_ntohs(packet->ports->dest)] : 0;
}

static __always_inline struct sluice_listener *listener_find(
	const struct packet *packet, __u8 port_flags)
{
	struct sluice_listener_key key = {
		.port_be = packet->ports->dest,
		.protocol = IPPROTO_TCP,
	};
	struct sluice_listener *listener;

	if (port_flags & LISTENER_PORT_EXACT) {
		__builtin_memcpy(key.addr_be, packet->daddr_be, sizeof(key.addr_be));
		listener = bpf_map_lookup_elem(&listeners, &key);
		if (listener)
			return listener;
	}
	if (!(port_flags & (packet->v6 ? LISTENER_PORT_ANY_V6 : LISTENER_PORT_ANY_V4)))
		return NULL;
	key.addr_be[0] = key.addr_be[1] = key.addr_be[3] = 0;
	key.addr_be[2] = packet->v6 ? 0 : bpf_htonl(0xffff);
	return bpf_map_lookup_elem(&listeners, &key);
}

static __always_inline struct sluice_listener_counters *listener_row(
	const struct sluice_listener *listener)
{
	__u32 row = listener->id;

	return bpf_map_lookup_elem(&listener_counters, &row);
}

#define LISTENER_COUNT(listener, field)                                                            \
	({                                                                                         \
		struct sluice_listener_counters *_own = listener_row(listener);                    \
		if (_own)                                                                          \
			_own->field++;                                                             \
	})

#endif
