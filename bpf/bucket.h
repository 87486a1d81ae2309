/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stage: token buckets per source, per prefix, per listener and of the node (<sluice/limit.h>;
 * which limit counts what: enum listener_limit). Knows no context: for XDP and tc alike.
 *
 * Per source and prefix: every one owns two rows of one table, chosen by a keyed hash of address,
 * kind of limit, listener and the limit's generation; a packet spends a token in both and passes if
 * either had one. A source alone drains both alike, so its limit is exact; two that share one row have the other.
 * Only a proven address is charged: a flood that forges a client's address must not spend that
 * client's tokens. The allow list is looked at only where a source or prefix is over its limit, and
 * then spares it both. A limit that is not set costs one load.
 */
#ifndef SLUICE_BPF_BUCKET_H
#define SLUICE_BPF_BUCKET_H

#include "count.h"
#include "deny.h"
#include "maps_lists.h"
#include "parse.h"
#include <sluice/siphash.h>

#define BUCKET_TRIES           4
#define BUCKET_GENERATION_MASK 0xffffffu /* the kind is above it in the hashed word */
#define BUCKET_ATTACK_S        10 /* cookies are sent for so long after the SYN budget was last empty */

extern int CONFIG_HZ __kconfig;

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
 * node. Whoever loses BUCKET_TRIES times passes: others have just been charged in its place.
 * An empty bucket is only read, so that a flood does not fight for its cache line. */
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

static __always_inline bool bucket_is_prefix(enum listener_limit kind)
{
	return kind == LIMIT_PREFIX_PACKETS || kind == LIMIT_PREFIX_CONNECTIONS;
}

/* /32 or /24 of IPv4, /64 or /56 of IPv6. */
static __always_inline __u64 bucket_source_hash(const struct packet *packet, __u32 id,
	enum listener_limit kind, __u32 generation, const struct sluice_settings *settings)
{
	__u32 mask = bucket_is_prefix(kind) ? bpf_htonl(0xffffff00) : ~0u;
	__u64 source;

	if (packet->v6)
		source = (__u64)packet->saddr_be[0] << 32 | (packet->saddr_be[1] & mask);
	else
		source = packet->saddr_be[3] & mask;
	return siphash_2(settings->hash_key, source,
		(__u64)packet->v6 << 63 | (__u64)kind << 56 |
			(__u64)(generation & BUCKET_GENERATION_MASK) << 32 | id);
}

/* The same as bucket_grants() for a row that keys of other limits share: it is never moved back,
 * and what it says is believed as long as some limit could have put it there. */
static __always_inline bool bucket_grants_shared(
	__u64 old, const struct sluice_limit *limit, __u64 now, __u64 longest, __u64 *next)
{
	__s64 ahead = old - now;

	if (ahead < 0 || ahead > (__s64)longest)
		ahead = 0;
	*next = now + ahead + limit->ticks_per_token;
	return ahead <= (__s64)limit->ticks_burst;
}

static __always_inline bool bucket_charge_rows(struct sluice_bucket *a, struct sluice_bucket *b,
	const struct sluice_limit *limit, __u64 longest)
{
	__u64 now = bucket_now(), old_a = bucket_read(a), old_b = bucket_read(b), next_a, next_b;
	bool grant_a = bucket_grants_shared(old_a, limit, now, longest, &next_a);
	bool grant_b = bucket_grants_shared(old_b, limit, now, longest, &next_b);

	if (grant_a)
		__sync_val_compare_and_swap(&a->full_at_gen, old_a, next_a);
	if (grant_b && a != b)
		__sync_val_compare_and_swap(&b->full_at_gen, old_b, next_b);
	return grant_a || grant_b;
}

/* True: no such limit, or there was a token. */
static __always_inline bool bucket_charge_source(const struct packet *packet,
	const struct sluice_guard *guard, enum listener_limit kind,
	const struct sluice_settings *settings)
{
	const struct sluice_limit *limit = &guard->limits[kind];
	struct sluice_bucket *a, *b;
	__u32 row_a, row_b;
	__u64 hash;

	if (!limit->ticks_per_token)
		return true;
	hash = bucket_source_hash(packet, guard->id, kind, limit->generation, settings);
	row_a = hash & settings->source_mask;
	row_b = hash >> 32 & settings->source_mask;
	a = bpf_map_lookup_elem(&source_buckets, &row_a);
	b = bpf_map_lookup_elem(&source_buckets, &row_b);
	return !a || !b || bucket_charge_rows(a, b, limit, settings->source_longest);
}

static __always_inline struct sluice_listener_bucket *bucket_listener(
	const struct sluice_guard *guard)
{
	__u32 row = guard->id;

	return bpf_map_lookup_elem(&listener_buckets, &row);
}

/* Over a limit that dry_run makes count only? */
#define BUCKET_DRY(guard, reason)                                                                  \
	({                                                                                         \
		bool _dry = (guard)->flags & LISTENER_DRY_RUN;                                     \
		if (_dry)                                                                          \
			COUNT(dry_##reason);                                                       \
		_dry;                                                                              \
	})

/* Over a limit: is the source on the allow list, which spares it that and what its neighbours share?
 * It is looked for here alone, at most once per packet. */
static __always_inline bool bucket_spares(
	struct packet *packet, const struct sluice_settings *settings)
{
	if (!allow_has(packet, settings))
		return false;
	COUNT(allow_list);
	packet->spared = true;
	return true;
}

/* Source first, and both before the listener: one loud source must not spend what others share. */
static __always_inline int bucket_charge_source_packets(struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *settings)
{
	if (!bucket_charge_source(packet, guard, LIMIT_SOURCE_PACKETS, settings) &&
		!BUCKET_DRY(guard, source_packet_limit) && !bucket_spares(packet, settings))
		return DROP(source_packet_limit);
	if (!packet->spared &&
		!bucket_charge_source(packet, guard, LIMIT_PREFIX_PACKETS, settings) &&
		!BUCKET_DRY(guard, prefix_packet_limit) && !bucket_spares(packet, settings))
		return DROP(prefix_packet_limit);
	return XDP_PASS;
}

static __always_inline int bucket_charge_source_connection(struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *settings)
{
	if (!bucket_charge_source(packet, guard, LIMIT_SOURCE_CONNECTIONS, settings) &&
		!BUCKET_DRY(guard, source_connection_limit) && !bucket_spares(packet, settings))
		return DROP(source_connection_limit);
	if (!packet->spared &&
		!bucket_charge_source(packet, guard, LIMIT_PREFIX_CONNECTIONS, settings) &&
		!BUCKET_DRY(guard, prefix_connection_limit) && !bucket_spares(packet, settings))
		return DROP(prefix_connection_limit);
	return XDP_PASS;
}

/* A packet that belongs to no connection. `proven`: its source address is known to be no forgery.
 * Returns XDP_PASS, or the DROP() of the limit that is exceeded. */
static __always_inline int bucket_charge_packets(struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *settings, bool proven)
{
	const struct sluice_limit *limit = &guard->limits[LIMIT_PACKETS];
	struct sluice_listener_bucket *own;
	int verdict = proven ? bucket_charge_source_packets(packet, guard, settings) : XDP_PASS;

	if (verdict != XDP_PASS || !limit->ticks_per_token)
		return verdict;
	own = bucket_listener(guard);
	if (own && !bucket_charge_shared(&own->packets, limit, bucket_now()) &&
		!BUCKET_DRY(guard, listener_packet_limit))
		return DROP(listener_packet_limit);
	return XDP_PASS;
}

/* A socket is about to be made: once per connection. */
static __always_inline int bucket_charge_connection(struct packet *packet,
	const struct sluice_guard *guard, const struct sluice_settings *settings, bool proven)
{
	const struct sluice_limit *limit = &guard->limits[LIMIT_CONNECTIONS];
	struct sluice_listener_bucket *own;
	int verdict = proven ? bucket_charge_source_connection(packet, guard, settings) : XDP_PASS;

	if (verdict != XDP_PASS || !limit->ticks_per_token)
		return verdict;
	own = bucket_listener(guard);
	if (own && !bucket_charge_shared(&own->connections, limit, bucket_now()) &&
		!BUCKET_DRY(guard, listener_connection_limit))
		return DROP(listener_connection_limit);
	return XDP_PASS;
}

/* A SYN for a listener in SYN_UNDER_ATTACK: true when it is to be answered with a cookie. The
 * state is left BUCKET_ATTACK_S after the budget was last exceeded, so that it does not flap. */
static __always_inline bool bucket_attack(const struct sluice_guard *guard)
{
	const struct sluice_limit *limit = &guard->limits[LIMIT_SYNS];
	__u64 jiffies = bpf_jiffies64(), until = jiffies + BUCKET_ATTACK_S * CONFIG_HZ, old;
	struct sluice_listener_bucket *own;

	if (!limit->ticks_per_token)
		return false;
	own = bucket_listener(guard);
	if (!own)
		return false;
	old = *(volatile __u64 *)&own->attack_until;
	if (bucket_charge_shared(&own->syns, limit, jiffies << SLUICE_TICK_SHIFT))
		return (__s64)(old - jiffies) > 0;
	/* written once a jiffy at most; whoever began the attack counts it */
	if (old != until && __sync_val_compare_and_swap(&own->attack_until, old, until) == old &&
		(__s64)(old - jiffies) <= 0)
		COUNT(attack_began);
	return true;
}

/* May a segment that belongs to nothing be answered with RST? Not set: none is. */
static __always_inline bool bucket_charge_reset(const struct sluice_settings *settings)
{
	struct sluice_reset_bucket *own;
	__u32 row = 0;

	if (!settings->resets.ticks_per_token)
		return false;
	own = bpf_map_lookup_elem(&reset_bucket, &row);
	return own && bucket_charge_shared(&own->resets, &settings->resets, bucket_now());
}

#endif
