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
		__u64 old = *(volatile __u64 *)&bucket->full_at_gen, next;

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

static __always_inline bool bucket_charge_source(const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *settings)
{
	__u64 hash = bucket_source_hash(packet, listener, settings), now = bucket_now();
	__u32 row_a = hash & settings->source_mask, row_b = hash >> 32 & settings->source_mask;
	struct sluice_bucket *a = bpf_map_lookup_elem(&source_buckets, &row_a);
	struct sluice_bucket *b = bpf_map_lookup_elem(&source_buckets, &row_b);
	__u64 old_a, old_b, next_a, next_b;
	bool grant_a, grant_b;

	if (!a || !b)
		return true;
	old_a = *(volatile __u64 *)&a->full_at_gen;
	old_b = *(volatile __u64 *)&b->full_at_gen;
	grant_a = bucket_grants(old_a, &listener->source, now, &next_a);
	grant_b = bucket_grants(old_b, &listener->source, now, &next_b);
	if (grant_a)
		__sync_val_compare_and_swap(&a->full_at_gen, old_a, next_a);
	if (grant_b && row_a != row_b)
		__sync_val_compare_and_swap(&b->full_at_gen, old_b, next_b);
	return grant_a || grant_b;
}

static __always_inline bool bucket_source_counts(const struct sluice_guard *listener, bool syn)
{
	__u32 flag = syn ? LISTENER_SOURCE_CHARGES_SYN : LISTENER_SOURCE_CHARGES_OTHER;

	return listener->source.ticks_per_token && (listener->flags & flag);
}

/* XDP_PASS when no limit is exceeded. The source first: one loud source must not spend the
 * budget of the whole listener. */
static __always_inline int bucket_check(const struct packet *packet,
	const struct sluice_guard *listener, const struct sluice_settings *settings, bool syn)
{
	__u32 row = listener->id;
	struct sluice_listener_bucket *own = bpf_map_lookup_elem(&listener_buckets, &row);

	if (bucket_source_counts(listener, syn) &&
		!bucket_charge_source(packet, listener, settings))
		return DROP(source_limit);
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
