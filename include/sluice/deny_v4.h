/*
 * An IPv4 list. Memory is what a look-up costs once a list does not fit the caches, so there is little
 * of it, and a packet touches little of that: a bit for each /21 (256 KiB in all) turns away most of
 * what is not listed; then one line of 64 bytes tells all of a /15: which /24s are listed whole, and
 * the longer prefixes. Shorter prefixes are so many whole /24s.
 * A /15 of which more is listed than fits ("crowded") has a line for each /18 instead, and rows of 256
 * bits for those /24s of which several addresses are listed. A list takes 2.25 MiB, and half a KiB for
 * each crowded /15, of which a million scattered prefixes have about one in forty; one that is listed
 * whole costs nothing more.
 */
#ifndef SLUICE_DENY_V4_H
#define SLUICE_DENY_V4_H

#include <sluice/types.h>

#define SLUICE_LIST_V4_LINES   (1u << 15) /* a /15 each */
#define SLUICE_LIST_V4_CROWDED 0xffff     /* `counts` of a line that has a block instead */
#define SLUICE_LIST_V4_LONG    8          /* longer prefixes of a /17, at most */

struct sluice_list_v4_line {
	union {
		__u64 groups; /* a bit for each /21 of which /24s are listed whole */
		__u64 block; /* crowded: its first line in deny_v4_rows */
	};
	__u16 counts; /* of prefixes longer than /24: four bits for each /17, lowest first */
	/* From its begin, two bytes each: the longer prefixes, /17 by /17. From its end: for each bit of
	 * `groups` a byte with the /24s that are listed whole. */
	__u8 rest[54];
};
SLUICE_SIZE(struct sluice_list_v4_line, 64);

struct sluice_list_v4 {
	__u64 some[SLUICE_LIST_V4_LINES]; /* a bit for each /21 of which something is listed */
	struct sluice_list_v4_line lines[SLUICE_LIST_V4_LINES];
	__u32 prefix_count; /* for people */
	__u32 crowded_count;
	__u64 pad[3]; /* 16 bytes are read where a prefix may begin, of the last line, too */
};
SLUICE_SIZE(struct sluice_list_v4, (64 + 8) * SLUICE_LIST_V4_LINES + 32);

#define SLUICE_LIST_V4_BLOCK   8 /* lines of a block: a /18 each */
#define SLUICE_LIST_V4_SINGLES 36 /* of a line */

/* deny_v4_rows: blocks, and behind each the rows of its lines. A bit of a mask is a /24. */
union sluice_list_v4_row {
	struct {
		__u64 whole;
		__u64 single; /* one address of it is listed: octets[bits before it] */
		__u64 several; /* row first_row + bits before it, two in a line of deny_v4_rows */
		__u32 first_row;
		__u8 octets[SLUICE_LIST_V4_SINGLES];
	};
	__u64 rows[2][4]; /* a bit for each last octet */
};
SLUICE_SIZE(union sluice_list_v4_row, 64);

/* A prefix longer than /24 as a line holds it: what it has of the last 15 bits of an address, then a
 * one, then zeros. */
SLUICE_INLINE __u16 sluice_list_v4_long(__u32 address, __u32 length_bits)
{
	__u32 behind = 1u << (32 - length_bits); /* the one */

	return (__u16)((address << 1 & ~(2 * behind - 1)) | behind);
}

#endif
