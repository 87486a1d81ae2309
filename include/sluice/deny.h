/*
 * Deny lists. Each list is built aside and swapped whole: the maps-of-maps `deny_v4`,
 * `deny_v4_rows` and `deny_v6` and the array `deny_index` have two slots each, and
 * settings.deny_state says which one is in force.
 * IPv4: one bit per /24 (2 MiB) is all that is read for a source that is not denied. Where it is
 * set, a second bit says whether the whole /24 is denied or a row of deny_v4_rows, with a bit for
 * each last octet, decides.
 * IPv6: a hash of (prefix, length), searched by halving the sorted list of lengths in use
 * (Waldvogel et al., SIGCOMM 1997); no prefix of a list covers another one.
 */
#ifndef SLUICE_DENY_H
#define SLUICE_DENY_H

#include <sluice/types.h>

#define SLUICE_DENY_SLOTS      2
#define SLUICE_DENY_V6_LENGTHS 129 /* 0 to 128 */
#define SLUICE_DENY_V6_STEPS   8   /* halvings that exhaust 129 lengths */

/* Bits of settings.deny_state. Without HAS_* the maps are not even looked at. */
enum deny_state {
	DENY_SLOT = 1, /* number of the slot in force */
	DENY_HAS_V4 = 2,
	DENY_HAS_V6 = 4,
};

struct sluice_deny_v4_bits {
	__u64 some[(1u << 24) / 64]; /* something of this /24 is denied */
	__u64 rows[(1u << 24) / 64]; /* only part of it: which part is in deny_v4_rows */
};
SLUICE_SIZE(struct sluice_deny_v4_bits, 4194304);

/* Key of deny_v4_rows: address >> 8 in host order. */
struct sluice_deny_v4_row {
	__u64 by_last_octet[4];
};
SLUICE_SIZE(struct sluice_deny_v4_row, 32);

struct sluice_deny_v6_key {
	__u64 prefix_host[2]; /* host order, most significant first, bits beyond length_bits zero */
	__u64 length_bits;
};
SLUICE_SIZE(struct sluice_deny_v6_key, 24);

enum deny_v6_mark {
	DENY_V6_MARKER, /* only longer prefixes begin like this: search on among longer lengths */
	DENY_V6_PREFIX, /* denied */
};

struct sluice_deny_v6_value {
	enum deny_v6_mark mark;
};
SLUICE_SIZE(struct sluice_deny_v6_value, 4);

struct sluice_deny_index {
	__u32 v4_count; /* prefixes */
	__u32 v6_count;
	__u32 v6_length_count;
	__u8 v6_lengths[256]; /* ascending; power of two so that an index can be masked */
	__u32 pad;
};
SLUICE_SIZE(struct sluice_deny_index, 272);

#endif
