/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Stage: is the source on the deny list, and not on the allow list? Structure: <sluice/deny.h>,
 * <sluice/deny_v4.h>. */
#ifndef SLUICE_BPF_DENY_H
#define SLUICE_BPF_DENY_H

#include "count.h"
#include "maps_lists.h"
#include "parse.h"

/* A crowded /15: a line more or two, each by a call. */
__noinline int list_v4_block_has(__u32 which, __u32 block, __u32 address)
{
	void *rows = bpf_map_lookup_elem(&deny_v4_rows, &which);
	__u32 place = block + (address >> 14 & (SLUICE_LIST_V4_BLOCK - 1)), row;
	union sluice_list_v4_row *line;
	__u64 bit = 1ull << (address >> 8 & 63);

	line = rows ? bpf_map_lookup_elem(rows, &place) : NULL;
	if (!line)
		return false;
	if (line->single & bit) {
		row = __builtin_popcountll(line->single & (bit - 1));
		return row < SLUICE_LIST_V4_SINGLES && line->octets[row] == (__u8)address;
	}
	if (!(line->several & bit))
		return (line->whole & bit) != 0;
	row = line->first_row + __builtin_popcountll(line->several & (bit - 1));
	place = row / 2;
	line = bpf_map_lookup_elem(rows, &place);
	return line && (line->rows[row & 1][address >> 6 & 3] >> (address & 63) & 1);
}

#define LIST_V4_LANES 0x0001000100010001ull /* four of 16 bits */
#define LIST_V4_TOPS  (LIST_V4_LANES << 15)
#define LIST_V4_CLOSE 0x0001000200040008ull /* times the lowest bits of lanes: bits 48 to 51 */

/* Which of four prefixes cover the address: a bit each. Behind the end of a list it may name some
 * that are none, but before that only where one does (a borrow goes upwards). */
static __always_inline __u32 list_v4_long_has(const void *prefixes, __u64 address_lanes)
{
	__u64 four = *(const __u64 *)prefixes, differ;

	/* not the lowest one of each and what is below it */
	differ = (four ^ address_lanes) & ~(four ^ (four - LIST_V4_LANES));
	differ = (differ - LIST_V4_LANES) & ~differ & LIST_V4_TOPS;
	return (differ >> 15) * LIST_V4_CLOSE >> 48 & 15;
}

/* Of the four-bit numbers in 16 bits. */
static __always_inline __u32 list_v4_sum(__u32 counts)
{
	counts = (counts & 0x0f0f) + (counts >> 4 & 0x0f0f);
	return (counts + (counts >> 8)) & 0xff;
}

static __always_inline bool list_v4_line_whole(
	const struct sluice_list_v4_line *line, __u32 address)
{
	__u32 group = address >> 11 & 63, at;
	__u64 groups = line->groups;

	at = sizeof(*line) - 1 - __builtin_popcountll(groups & ((1ull << group) - 1));
	asm volatile("%0 &= 63" : "+r"(at)); /* for the verifier */
	return groups >> group & ((const __u8 *)line)[at] >> (address >> 8 & 7) & 1;
}

/* Without a branch: nobody could predict it. */
static __always_inline bool list_v4_line_long(const struct sluice_list_v4_line *line, __u32 address)
{
	__u32 quarter = address >> 13 & 12, counts = line->counts, at, hits;
	__u64 lanes = (__u64)(address << 1 & 0xffff) * LIST_V4_LANES;
	const void *rest = line->rest;

	at = list_v4_sum(counts & ((1u << quarter) - 1)) * 2;
	asm volatile("%0 &= 63" : "+r"(at)); /* for the verifier */
	hits = list_v4_long_has(rest + at, lanes);
	hits |= list_v4_long_has(rest + 8 + at, lanes) << 4;
	return hits & ((1u << (counts >> quarter & 15)) - 1);
}

static __always_inline bool list_v4_has(__u32 which, __u32 address)
{
	void *map = bpf_map_lookup_elem(&deny_v4, &which);
	const struct sluice_list_v4_line *line;
	struct sluice_list_v4 *list;
	__u32 zero = 0;

	list = map ? bpf_map_lookup_elem(map, &zero) : NULL;
	if (!list || !(list->some[address >> 17] >> (address >> 11 & 63) & 1))
		return false;
	line = &list->lines[address >> 17];
	if (line->counts == SLUICE_LIST_V4_CROWDED)
		return list_v4_block_has(which, line->block, address);
	return list_v4_line_whole(line, address) || list_v4_line_long(line, address);
}

static __always_inline __u64 list_host64(const __u32 *words_be)
{
	return (__u64)bpf_ntohl(words_be[0]) << 32 | bpf_ntohl(words_be[1]);
}

/* `tag` where nothing differs, else 0: without a branch, which the verifier would follow both ways
 * for every entry of every bucket, and which nobody could predict. */
static __always_inline __u64 list_v6_if_same(__u64 differs, __u64 tag)
{
	asm volatile("" : "+r"(differs)); /* or clang makes it a branch again */
	return tag & (((differs | -differs) >> 63) - 1);
}

static __always_inline __u64 list_v6_bucket_tag(
	const struct sluice_list_v6_bucket *bucket, __u64 high, __u64 low, __u32 length)
{
	__u64 tag = 0;

#pragma clang loop unroll(full)
	for (int i = 0; i < SLUICE_LIST_V6_ENTRIES; i++) {
		__u64 of = bucket->tags[i];

		tag |= list_v6_if_same((bucket->prefix_host[i][0] ^ high) |
					       (bucket->prefix_host[i][1] ^ low) |
					       ((of & ~LIST_V6_PREFIX) ^ (length | LIST_V6_USED)),
			of);
	}
	return tag;
}

/* The tag of (prefix, length), 0: not in the table. */
static __always_inline __u32 list_v6_tag(
	void *buckets, const struct sluice_list_v6 *list, __u64 high, __u64 low, __u32 length)
{
	__u32 place;

	high &= length >= 64 ? ~0ull : sluice_list_v6_mask(length);
	low = length > 64 ? low & sluice_list_v6_mask(length - 64) : 0;
	place = sluice_list_v6_home(list, high, low, length);
#pragma clang loop unroll(disable)
	for (int step = 0; step < SLUICE_LIST_V6_CHAIN; step++, place++) {
		struct sluice_list_v6_bucket *bucket = bpf_map_lookup_elem(buckets, &place);
		__u64 tag;

		if (!bucket)
			return 0;
		tag = list_v6_bucket_tag(bucket, high, low, length);
		if (tag || !bucket->overflowed)
			return tag;
	}
	return 0;
}

struct list_v6_walk {
	void *buckets;
	const struct sluice_list_v6 *list;
	__u64 high, low;
	__u32 first, behind; /* of the lengths that are left */
	bool found;
};

/* Halves the sorted list of lengths: a marker says "longer", nothing says "shorter". Returns 1 to end
 * the search. The verifier follows one step only. */
static long list_v6_step(__u64 step, struct list_v6_walk *walk)
{
	__u32 middle = (walk->first + walk->behind) / 2, tag;

	if (walk->first >= walk->behind)
		return 1;
	tag = list_v6_tag(walk->buckets, walk->list, walk->high, walk->low,
		walk->list->lengths[middle & 255]);
	walk->found = tag & LIST_V6_PREFIX;
	if (tag)
		walk->first = middle + 1;
	else
		walk->behind = middle;
	return walk->found;
}

/* A function of its own, so that the verifier comes here once and not once per packet layout. */
__noinline int list_v6_search(__u32 which, __u64 high, __u64 low)
{
	void *map = bpf_map_lookup_elem(&deny_v6, &which);
	struct list_v6_walk walk = {.high = high, .low = low};
	__u32 zero = 0;

	walk.buckets = bpf_map_lookup_elem(&deny_v6_rows, &which);
	walk.list = map ? bpf_map_lookup_elem(map, &zero) : NULL;
	if (!walk.list || !walk.buckets)
		return false;
	walk.behind = walk.list->length_count;
	bpf_loop(SLUICE_LIST_V6_STEPS, list_v6_step, &walk, 0);
	return walk.found;
}

static __always_inline bool list_v6_has(__u32 which, const __u32 address_be[4])
{
	void *map = bpf_map_lookup_elem(&deny_v6, &which);
	__u64 high = list_host64(address_be), bits, word;
	struct sluice_list_v6 *list;
	__u32 zero = 0;

	list = map ? bpf_map_lookup_elem(map, &zero) : NULL;
	if (!list)
		return false;
	word = list->filter[sluice_list_v6_filter_word(list, high, &bits)];
	if (bits & ~word)
		return false;
	return list_v6_search(which, high, list_host64(address_be + 2));
}

static __always_inline bool list_has(
	const struct packet *packet, __u32 which, bool has_v4, bool has_v6)
{
	if (packet->v6)
		return has_v6 && list_v6_has(which, packet->saddr_be);
	return has_v4 && list_v4_has(which, bpf_ntohl(packet->saddr_be[3]));
}

/* A source as functions of their own take it: an IPv4 address alone, in host order, in `low`. */
static __always_inline __u64 list_source_high(const struct packet *packet)
{
	return packet->v6 ? list_host64(packet->saddr_be) : 0;
}

static __always_inline __u64 list_source_low(const struct packet *packet)
{
	return packet->v6 ? list_host64(packet->saddr_be + 2) : bpf_ntohl(packet->saddr_be[3]);
}

static __always_inline void list_words(__u64 high, __u64 low, __u32 ret_address_be[4])
{
	ret_address_be[0] = bpf_htonl(high >> 32);
	ret_address_be[1] = bpf_htonl(high);
	ret_address_be[2] = bpf_htonl(low >> 32);
	ret_address_be[3] = bpf_htonl(low);
}

/* A function of its own: it is asked rarely, and what it needs of registers and stack the others
 * shall not pay for. */
__noinline int allow_search(__u32 state, __u64 high, __u64 low, __u32 v6)
{
	__u32 which = LIST_ALLOW * SLUICE_LIST_SLOTS + (state & DENY_SLOT), address_be[4];

	if (!v6)
		return list_v4_has(which, low);
	list_words(high, low, address_be);
	return list_v6_has(which, address_be);
}

static __always_inline bool allow_has_in(const struct packet *packet, __u32 state)
{
	return (state & (packet->v6 ? ALLOW_HAS_V6 : ALLOW_HAS_V4)) &&
	       allow_search(state, list_source_high(packet), list_source_low(packet), packet->v6);
}

/* Is the source on the allow list? */
static __always_inline bool allow_has(
	const struct packet *packet, const struct sluice_settings *settings)
{
	return allow_has_in(packet, settings->deny_state);
}

/* Is the source denied? Allowing beats denying, and costs nothing where nothing is denied. Both
 * lists are of the state that is read here, once: never one of before a change with one of after. */
static __always_inline bool deny_has(
	const struct packet *packet, const struct sluice_settings *settings)
{
	__u32 state = *(const volatile __u32 *)&settings->deny_state;

	if (!list_has(packet, LIST_DENY * SLUICE_LIST_SLOTS + (state & DENY_SLOT),
		    state & DENY_HAS_V4, state & DENY_HAS_V6))
		return false;
	if (!allow_has_in(packet, state))
		return true;
	COUNT(allow_list);
	return false;
}

/* Counted per longest prefix: dear, and only where somebody asked for it. */
__noinline int deny_hit(__u32 state, __u64 high, __u64 low, __u32 is_v6)
{
	struct sluice_hits_v6_key v6 = {.length_bits = 128};
	struct sluice_hits_v4_key v4 = {.length_bits = 32, .addr_be = bpf_htonl(low)};
	__u32 slot = state & DENY_SLOT;
	__u64 *hits = NULL;
	void *trie;

	if (is_v6) {
		list_words(high, low, v6.addr_be);
		trie = bpf_map_lookup_elem(&deny_hits_v6, &slot);
		hits = trie ? bpf_map_lookup_elem(trie, &v6) : NULL;
	} else {
		trie = bpf_map_lookup_elem(&deny_hits_v4, &slot);
		hits = trie ? bpf_map_lookup_elem(trie, &v4) : NULL;
	}
	if (hits)
		__sync_fetch_and_add(hits, 1);
	return 0;
}

/* For a packet that deny_has() named. */
static __always_inline int deny_drop(
	const struct packet *packet, const struct sluice_settings *settings)
{
	__u32 state = settings->deny_state;

	if (state & DENY_HITS)
		deny_hit(state, list_source_high(packet), list_source_low(packet), packet->v6);
	return packet->v6 ? DROP(deny_v6) : DROP(deny_v4);
}

#endif
