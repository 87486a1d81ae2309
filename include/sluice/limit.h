/*
 * Token buckets in eight bytes. A bucket holds the one point in time at which it will be full
 * again (generic cell rate algorithm, ITU-T I.371) and the generation of the limit it was charged
 * under: a changed limit makes every older bucket count as full at once. Rows of source_buckets,
 * which keys of different limits share, carry none: there the generation is part of the key.
 * Time is in ticks of 1/2^28 jiffy, always multiples of 256: the low 8 bits carry the generation.
 * It wraps after 2^36 jiffies; what is older than half of that is recognized and counts as full.
 * User space knows HZ from the resolution of CLOCK_MONOTONIC_COARSE and computes the ticks, so the
 * programs never divide.
 */
#ifndef SLUICE_LIMIT_H
#define SLUICE_LIMIT_H

#include <sluice/types.h>

#define SLUICE_TICK_SHIFT      28 /* ticks per jiffy, log2 */
#define SLUICE_GENERATION_MASK 0xffull

struct sluice_bucket {
	__u64 full_at_gen; /* full_at in ticks, its low 8 bits replaced by the generation's */
};
SLUICE_SIZE(struct sluice_bucket, 8);

/* One bucket per cache line where every CPU charges the same row. */
struct sluice_listener_bucket {
	struct sluice_bucket packets;
	struct sluice_bucket connections;
	struct sluice_bucket syns;
	__u64 attack_until; /* in jiffies: cookies until then (SYN_UNDER_ATTACK) */
	__u64 pad[4];
};
SLUICE_SIZE(struct sluice_listener_bucket, 64);

struct sluice_limit {
	__u64 ticks_per_token; /* 0: no limit */
	__u64 ticks_burst;     /* how far full_at may lie ahead before a token is refused */
	__u32 rate_per_s;      /* as configured, for people */
	__u32 burst;
	__u32 generation; /* bumped at every change */
	__u32 pad;
};
SLUICE_SIZE(struct sluice_limit, 32);

/* Of the node: RSTs for segments that belong to nothing (settings.resets). */
struct sluice_reset_bucket {
	struct sluice_bucket resets;
	__u64 pad[7];
};
SLUICE_SIZE(struct sluice_reset_bucket, 64);

#endif
