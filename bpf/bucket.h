/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage: token buckets per source and per listener (<sluice/limit.h>).
 *
 * Per source: every source owns two rows of the table, chosen by a keyed hash; a packet spends a
 * token in both and passes if either had one. A source alone drains both alike, so its limit is
 * exact; two sources that share one row still have the other.
 * The address is not proven here: while the kernel answers SYNs, a flood that forges a client's
 * address spends that client's tokens. The stage therefore comes after the socket lookup and can
 * be told per listener to spare SYNs; with SYN cookies it moves behind the cookie check.
 */
#ifndef SLUICE_BPF_BUCKET_H
#define SLUICE_BPF_BUCKET_H

#include "maps.h"
#include "parse.h"
#include "siphash.h"

#define BUCKET_TRIES 4

/* Would a token be granted to a bucket that reads `old`? Then *next is what it becomes. */
static __always_inline bool bucket_grants(
	__u64 old, const struct sluice_limit *limit, __u64 now, __u64 *next)
{
	__s64 ahead = (old & ~SLUICE_GENERATION_MASK) - now;

	if (((old ^ limit->generation) & SLUICE_GENERATION_MASK) || ahead < 0)
		ahead = 0;
	if (ahead > (__s64)limit->ticks_burst) {
		/* no charge puts it further ahead than this: a row left over from before the wrap */
		if (ahead <= (__s64)(limit->ticks_burst + limit->ticks_per_token))
			return false;
		ahead = 0;
	}
	*next = (now + ahead + limit->ticks_per_token) |
		(limit->generation & SLUICE_GENERATION_MASK);
	return true;
}

static __always_inline __u64 bucket_read(const struct sluice_bucket *bucket)
{
	return *(const volatile __u64 *)&bucket->full_at_gen;
}

static __always_inline __u64 bucket_now(void)
{
	return bpf_jiffies64() << SLUICE_TICK_SHIFT;
}

/* For rows that every CPU charges: a lost race is tried again, since the number holds for the
 * node. Whoever loses BUCKET_TRIES times passes: others have just been charged in its place. */
static __always_inline bool bucket_charge_shared(
	struct sluice_bucket *bucket, const struct sluice_limit *limit, __u64 now)
{
	for (int i = 0; i < BUCKET_TRIES; i++) {
		__u64 old = bucket_read(bucket), next;

		if (!bucket_grants(old, limit, now, &next))
			return false;
		if (__sync_val_compare_and_swap(&bucket->full_at_gen, old, next) == old)
			break;
	}
	return true;
}

static __always_inline __u64 bucket_source_hash(const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *settings)
{
	__u64 source = packet->v6 ? (__u64)packet->saddr_be[0] << 32 | packet->saddr_be[1]
				  : packet->saddr_be[3];

	return siphash_2(settings->hash_key, source, (__u64)packet->v6 << 32 | listener->id);
}

/* The two rows of a source; NULL: no limit applies. */
struct bucket_pair {
	struct sluice_bucket *a, *b;
};

static __always_inline bool bucket_source_counts(
	const struct sluice_guard *listener, enum listener_flags charged)
{
	return listener->source.ticks_per_token && (listener->flags & charged);
}

/* Also reads them, so that whoever comes back to them later need not wait for the memory. */
static __always_inline void bucket_source_find(struct bucket_pair *pair,
	const struct packet *packet, const struct sluice_guard *listener,
	const struct sluice_settings *settings)
{
	__u64 hash = bucket_source_hash(packet, listener, settings);
	__u32 row_a = hash & settings->source_mask, row_b = hash >> 32 & settings->source_mask;

	pair->a = bpf_map_lookup_elem(&source_buckets, &row_a);
	pair->b = bpf_map_lookup_elem(&source_buckets, &row_b);
	if (pair->a && pair->b) {
		bucket_read(pair->a);
		bucket_read(pair->b);
	}
}

static __always_inline bool bucket_charge_source(
	const struct bucket_pair *pair, const struct sluice_limit *limit)
{
	__u64 now = bucket_now(), old_a, old_b, next_a, next_b;
	bool grant_a, grant_b;

	if (!pair->a || !pair->b)
		return true;
	old_a = bucket_read(pair->a);
	old_b = bucket_read(pair->b);
	grant_a = bucket_grants(old_a, limit, now, &next_a);
	grant_b = bucket_grants(old_b, limit, now, &next_b);
	if (grant_a)
		__sync_val_compare_and_swap(&pair->a->full_at_gen, old_a, next_a);
	if (grant_b && pair->a != pair->b)
		__sync_val_compare_and_swap(&pair->b->full_at_gen, old_b, next_b);
	return grant_a || grant_b;
}

/* XDP_PASS when no limit is exceeded. The source first: one loud source must not spend the
 * budget of the whole listener. */
static __always_inline int bucket_check(
	const struct bucket_pair *source, const struct sluice_guard *listener, bool syn)
{
	__u32 row = listener->id;
	struct sluice_listener_bucket *own;

	if (!bucket_charge_source(source, &listener->source))
		return DROP(source_limit);
	own = bpf_map_lookup_elem(&listener_buckets, &row);
	if (!own)
		return XDP_PASS;
	if (listener->packets.ticks_per_token &&
		!bucket_charge_shared(&own->packets, &listener->packets, bucket_now()))
		return DROP(listener_packet_limit);
	if (syn && listener->connections.ticks_per_token &&
		!bucket_charge_shared(&own->connections, &listener->connections, bucket_now()))
		return DROP(listener_connection_limit);
	return XDP_PASS;
}

#endif
