/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is the source on a deny list? Structure of the lists: <sluice/deny.h>. */
#ifndef SLUICE_BPF_DENY_H
#define SLUICE_BPF_DENY_H

#include "maps.h"
#include "parse.h"

/* Only part of the /24 is denied: this address? */
static __always_inline bool deny_v4_row_has(__u32 slot, __u32 slash24, __u32 address)
{
	void *rows_map = bpf_map_lookup_elem(&deny_v4_rows, &slot);
	struct sluice_deny_v4_row *row;

	row = rows_map ? bpf_map_lookup_elem(rows_map, &slash24) : NULL;
	return row && (row->by_last_octet[address >> 6 & 3] >> (address & 63) & 1);
}

static __always_inline bool deny_v4_has(__u32 slot, __u32 address)
{
	__u32 zero = 0, slash24 = address >> 8;
	void *bits_map = bpf_map_lookup_elem(&deny_v4, &slot);
	struct sluice_deny_v4_bits *bits;

	bits = bits_map ? bpf_map_lookup_elem(bits_map, &zero) : NULL;
	if (!bits || !(bits->some[slash24 >> 6] >> (slash24 & 63) & 1))
		return false;
	if (!(bits->rows[slash24 >> 6] >> (slash24 & 63) & 1))
		return true;
	return deny_v4_row_has(slot, slash24, address);
}

static __always_inline __u64 deny_host64(const __u32 *words_be)
{
	return (__u64)bpf_ntohl(words_be[0]) << 32 | bpf_ntohl(words_be[1]);
}

static __always_inline __u64 deny_v6_mask(__u32 bits)
{
	return bits == 0 ? 0 : ~0ull << (64 - bits);
}

static __always_inline void deny_v6_key(
	struct sluice_deny_v6_key *key, __u64 high, __u64 low, __u32 length)
{
	key->prefix_host[0] = high & (length >= 64 ? ~0ull : deny_v6_mask(length));
	key->prefix_host[1] = length > 64 ? low & deny_v6_mask(length - 64) : 0;
	key->length_bits = length;
}

/* Halves the sorted list of lengths: a marker says "longer", nothing says "shorter". A function of
 * its own, so that the verifier walks through the loop once and not once per packet layout. */
__noinline int deny_v6_has(__u32 slot, __u64 high, __u64 low)
{
	struct sluice_deny_index *index = bpf_map_lookup_elem(&deny_index, &slot);
	void *map = bpf_map_lookup_elem(&deny_v6, &slot);
	__u32 first = 0, behind;

	if (!index || !map)
		return false;
	behind = index->v6_length_count;
	for (int step = 0; step < SLUICE_DENY_V6_STEPS && first < behind; step++) {
		__u32 middle = (first + behind) / 2;
		struct sluice_deny_v6_value *value;
		struct sluice_deny_v6_key key;

		deny_v6_key(&key, high, low, index->v6_lengths[middle & 255]);
		value = bpf_map_lookup_elem(map, &key);
		if (value && value->mark == DENY_V6_PREFIX)
			return true;
		if (value)
			first = middle + 1;
		else
			behind = middle;
	}
	return false;
}

static __always_inline bool deny_has(
	const struct packet *packet, const struct sluice_settings *settings)
{
	__u32 state = settings->deny_state, slot = state & DENY_SLOT;

	if (packet->v6)
		return (state & DENY_HAS_V6) && deny_v6_has(slot, deny_host64(packet->saddr_be),
							deny_host64(packet->saddr_be + 2));
	return (state & DENY_HAS_V4) && deny_v4_has(slot, bpf_ntohl(packet->saddr_be[3]));
}

static __always_inline int deny_drop(const struct packet *packet)
{
	return packet->v6 ? DROP(deny_v6) : DROP(deny_v4);
}

#endif
