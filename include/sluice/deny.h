/*
 * Deny and allow lists. Both are built aside and swapped whole: the maps of maps `deny_v4`,
 * `deny_v4_rows`, `deny_v6`, `deny_v6_rows` have two slots for each list, and one store to
 * settings.deny_state says which slot is in force. What is behind the slots is never changed.
 *
 * IPv4: see <sluice/deny_v4.h>.
 * IPv6: a filter (Bloom), two bits for each hash of the first bits of all prefixes, turns away most of
 * what is not listed; then a hash table of (prefix, length), searched by halving the sorted list of
 * lengths in use (Waldvogel et al., SIGCOMM 1997). No prefix in the table covers another one.
 * Nothing here is a hash map of the kernel's: a look-up is plain loads, and one call for each line or
 * row of a crowded /15 and for each bucket.
 */
#ifndef SLUICE_DENY_H
#define SLUICE_DENY_H

#include <sluice/deny_v4.h>
#include <sluice/types.h>

enum list_kind {
	LIST_DENY,
	LIST_ALLOW,
	LIST_KINDS,
};

#define SLUICE_LIST_SLOTS 2
/* Rows of the maps of maps: kind * 2 + slot. The last one is no list: writing it makes user space
 * wait until no packet is judged any more that was on its way before. */
#define SLUICE_LIST_ROWS  (LIST_KINDS * SLUICE_LIST_SLOTS + 1)
#define SLUICE_LIST_FENCE (SLUICE_LIST_ROWS - 1)

/* Bits of settings.deny_state, read once per packet. Without HAS_* no map is looked at. */
enum deny_state {
	DENY_SLOT = 1, /* slot in force, of both lists */
	DENY_HAS_V4 = 2,
	DENY_HAS_V6 = 4,
	DENY_HITS = 8, /* deny_hits_v4 and deny_hits_v6 count per prefix */
	ALLOW_HAS_V4 = 16,
	ALLOW_HAS_V6 = 32,
};

#define SLUICE_LIST_V6_LENGTHS     129 /* 0 to 128 */
#define SLUICE_LIST_V6_STEPS       8 /* halvings that exhaust 129 lengths */
#define SLUICE_LIST_V6_FILTER_BITS 23 /* of which each prefix sets two in one word */
#define SLUICE_LIST_V6_ENTRIES     3 /* of a bucket */
#define SLUICE_LIST_V6_CHAIN       16 /* buckets that an entry may be away from its own */

enum list_v6_tag {
	LIST_V6_LENGTH = 0xff,
	LIST_V6_USED = 0x100,
	LIST_V6_PREFIX = 0x200, /* listed; else only longer prefixes begin like this */
};

struct sluice_list_v6_bucket {
	__u64 prefix_host[SLUICE_LIST_V6_ENTRIES][2]; /* host order, bits beyond the length zero */
	__u16 tags[SLUICE_LIST_V6_ENTRIES]; /* enum list_v6_tag */
	__u16 overflowed; /* entries that belong here or before may be in the next bucket */
	__u64 pad;
};
SLUICE_SIZE(struct sluice_list_v6_bucket, 64);

struct sluice_list_v6 {
	__u64 factors[4]; /* odd, of the hashes */
	__u64 filter_mask; /* the first bits that all prefixes have */
	__u32 bucket_count;
	__u32 length_count;
	__u8 lengths[256]; /* ascending; power of two so that an index can be masked */
	__u32 prefix_count; /* for people */
	__u32 entry_count;
	__u64 pad;
	__u64 filter[(1u << SLUICE_LIST_V6_FILTER_BITS) / 64];
};
SLUICE_SIZE(struct sluice_list_v6, 320 + (1u << SLUICE_LIST_V6_FILTER_BITS) / 8);

/* Keys of the longest-prefix tries in deny_hits_v4 and deny_hits_v6; the value is the number of
 * hits, as __u64. They are only there while hits are counted. */
struct sluice_hits_v4_key {
	__u32 length_bits;
	__u32 addr_be;
};
SLUICE_SIZE(struct sluice_hits_v4_key, 8);

struct sluice_hits_v6_key {
	__u32 length_bits;
	__u32 addr_be[4];
};
SLUICE_SIZE(struct sluice_hits_v6_key, 20);

/* Top bits of the sum are as good as random for random odd factors; all of them are used. */
SLUICE_INLINE __u64 sluice_list_v6_hash(
	const __u64 factors[4], __u64 high, __u64 low, __u32 length_bits)
{
	return high * factors[0] + low * factors[1] + length_bits * factors[2];
}

SLUICE_INLINE __u32 sluice_list_v6_home(
	const struct sluice_list_v6 *list, __u64 high, __u64 low, __u32 length_bits)
{
	__u64 hash = sluice_list_v6_hash(list->factors, high, low, length_bits);

	return (hash >> 32) * list->bucket_count >> 32;
}

/* The word of the filter, and which of its bits must be set. */
SLUICE_INLINE __u32 sluice_list_v6_filter_word(
	const struct sluice_list_v6 *list, __u64 high, __u64 *ret_bits)
{
	__u64 hash = (high & list->filter_mask) * list->factors[3];

	*ret_bits = 1ull << (hash >> 35 & 63) | 1ull << (hash >> 41 & 63);
	return hash >> (64 - SLUICE_LIST_V6_FILTER_BITS + 6);
}

SLUICE_INLINE __u64 sluice_list_v6_mask(__u32 bits)
{
	return bits == 0 ? 0 : ~0ull << (64 - bits);
}

#endif
