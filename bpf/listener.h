/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is this packet for one of our listeners? Must be cheap for the packets that are not. */
#ifndef SLUICE_BPF_LISTENER_H
#define SLUICE_BPF_LISTENER_H

#include "count.h"
#include "maps_listeners.h"
#include "parse.h"

/* What listeners there are on the packet's port: enum listener_port_flags, 0 for most packets. */
static __always_inline __u8 listener_port(const struct packet *packet)
{
	__u32 row = LISTENER_PORTS_TCP;
	struct sluice_listener_ports *ports = bpf_map_lookup_elem(&listener_ports, &row);
	__u32 port = bpf_ntohs(packet->ports.dest);

	/* Before 6.13 the verifier knows no bounds of a swapped value, and clang drops a mask in C. */
	asm volatile("%0 &= 0xffff" : "+r"(port));
	return ports ? ports->flags[port] : 0;
}

static __always_inline bool listener_is(const struct sluice_guard *guard, const __u64 key_words[3])
{
	__u64 words[3];

	__builtin_memcpy(words, &guard->key, sizeof(words));
	return words[0] == key_words[0] && words[1] == key_words[1] && words[2] == key_words[2];
}

static __always_inline struct sluice_guard *listener_at(
	struct sluice_guard_table *table, const struct sluice_listener_key *key)
{
	__u64 key_words[3];
	__u32 row;

	__builtin_memcpy(key_words, key, sizeof(key_words));
	row = table->first[sluice_guard_cell(table->factors, key_words)];
	if (!row)
		return NULL;
#pragma clang loop unroll(disable)
	for (int step = 0; step < SLUICE_GUARD_CHAIN; step++, row++) {
		struct sluice_guard *guard = &table->guards[(row - 1) & (SLUICE_MAX_LISTENERS - 1)];

		if (listener_is(guard, key_words))
			return guard;
		if (guard->flags & LISTENER_LAST_OF_CELL)
			break;
	}
	return NULL;
}

static __always_inline struct sluice_guard *listener_find(
	const struct packet *packet, const struct sluice_settings *settings, __u8 port_flags)
{
	__u32 slot = settings->guard_slot;
	struct sluice_guard_table *table = bpf_map_lookup_elem(&listener_table, &slot);
	struct sluice_listener_key key = {
		.port_be = packet->ports.dest,
		.protocol = IPPROTO_TCP,
	};
	struct sluice_guard *guard;

	if (!table)
		return NULL;
	if (port_flags & LISTENER_PORT_EXACT) {
		__builtin_memcpy(key.addr_be, packet->daddr_be, sizeof(key.addr_be));
		guard = listener_at(table, &key);
		if (guard)
			return guard;
	}
	if (!(port_flags & (packet->v6 ? LISTENER_PORT_ANY_V6 : LISTENER_PORT_ANY_V4)))
		return NULL;
	key.addr_be[0] = key.addr_be[1] = key.addr_be[3] = 0;
	key.addr_be[2] = packet->v6 ? 0 : bpf_htonl(0xffff);
	return listener_at(table, &key);
}

static __always_inline struct sluice_listener_counters *listener_row(
	const struct sluice_guard *guard)
{
	__u32 row = guard->id;

	return bpf_map_lookup_elem(&listener_counters, &row);
}

static __always_inline bool listener_is_gated(const struct sluice_guard *guard)
{
	return guard->flags & LISTENER_GATED;
}

/* Whose address a packet without ports is for: the row that stands for every gated listener of it.
 * NULL: none. */
static __always_inline struct sluice_guard *listener_of_address(
	const struct packet *packet, const struct sluice_settings *settings)
{
	__u32 row = LISTENER_PORTS_TCP;
	struct sluice_listener_ports *ports = bpf_map_lookup_elem(&listener_ports, &row);
	__u8 port_flags = ports ? ports->flags[0] : 0;

	return port_flags ? listener_find(packet, settings, port_flags) : NULL;
}

#define LISTENER_COUNT(guard, field)                                                               \
	({                                                                                         \
		struct sluice_listener_counters *_own = listener_row(guard);                       \
		if (_own)                                                                          \
			_own->field++;                                                             \
	})

#endif
