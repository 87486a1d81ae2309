/* How many requests a rule lets through: see rate_limit.h. */
#include "proxy/rate_limit.h"

#include "core/hash.h"
#include "core/mem.h"
#include "core/shared.h"

#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

/*
 * A client's word: who it is (some bits of a keyed hash), and the point in time, in ticks, which wraps.
 * What is further ahead than it can be is long past. 0: nobody's.
 */
enum {
	POINT_BITS = 44,
	WAYS = 8, /* one line of the cache */
	TRIES = 64, /* of an exchange that others are in the way of: then the request goes through */
	TICKS_LOG2 = 12, /* a period has at least so many ticks, if it has so many nanoseconds */
};
#define POINT_MASK ((UINT64_C(1) << POINT_BITS) - 1)
#define NS_PER_S   UINT64_C(1000000000)

/* In ticks. */
struct pace {
	uint32_t shift; /* a tick is 2^shift ns */
	uint64_t period, slack;
	uint64_t most; /* the farthest a point can be ahead, whoever's clock is a second late */
};

struct clients {
	_Atomic uint64_t word[WAYS];
} cache_aligned;

struct rate_limit {
	struct shared shared;
	struct rate_limit_spec spec;
	struct pace all, client;
	struct hash_key key;
	void *memory; /* of the table: pages that nobody was put into are none */
	struct clients *table;
	uint64_t table_mask;
	_Atomic uint64_t point cache_aligned; /* of all together */
};

/* --- life */

static struct pace pace_of(const struct rate *rate)
{
	uint32_t burst = rate->burst ? rate->burst : rate->per_second;
	struct pace pace = {0};
	uint64_t period_ns;

	if (!rate->per_second)
		return pace;
	period_ns = NS_PER_S / rate->per_second;
	while (period_ns >> pace.shift >= 2u << TICKS_LOG2)
		pace.shift++;
	pace.period = period_ns >> pace.shift;
	pace.slack = (burst - 1) * pace.period;
	pace.most = pace.slack + pace.period + (NS_PER_S >> pace.shift);
	return pace;
}

static void limit_free(struct shared *shared)
{
	struct rate_limit *limit = container_of(shared, struct rate_limit, shared);

	free(limit->memory);
	shared_fini(shared);
	free(limit);
}

static void make_table(struct rate_limit *limit)
{
	uint64_t sets = 1;

	while (sets * WAYS < limit->spec.max_clients)
		sets *= 2;
	limit->memory = mem_zalloc((sets + 1) * sizeof(struct clients));
	limit->table = (struct clients *)(((uintptr_t)limit->memory + CACHE_LINE - 1) &
					  ~(uintptr_t)(CACHE_LINE - 1));
	limit->table_mask = sets - 1;
	hash_random(&limit->key, sizeof(limit->key));
}

struct rate_limit *rate_limit_new(const struct rate_limit_spec *spec)
{
	struct rate_limit *limit = aligned_alloc(CACHE_LINE, sizeof(*limit));

	if (!limit)
		abort();
	memset(limit, 0, sizeof(*limit));
	shared_init(&limit->shared, 0, limit_free);
	limit->spec = *spec;
	limit->all = pace_of(&spec->all);
	limit->client = pace_of(&spec->client);
	if (spec->client.per_second)
		make_table(limit);
	return limit;
}

struct rate_limit *rate_limit_get(struct rate_limit *limit)
{
	shared_get(&limit->shared);
	return limit;
}

void rate_limit_put(struct rate_limit *limit)
{
	if (limit)
		shared_put(&limit->shared);
}

const struct rate_limit_spec *rate_limit_spec(const struct rate_limit *limit)
{
	return &limit->spec;
}

static bool rate_eq(const struct rate *a, const struct rate *b)
{
	return a->per_second == b->per_second && a->burst == b->burst;
}

bool rate_limit_spec_eq(const struct rate_limit_spec *a, const struct rate_limit_spec *b)
{
	return rate_eq(&a->all, &b->all) && rate_eq(&a->client, &b->client) &&
	       a->ipv6_bits == b->ipv6_bits && a->max_clients == b->max_clients &&
	       a->dry_run == b->dry_run;
}

/* --- requests */

/* Rounded up. */
static uint32_t seconds_of(const struct pace *pace, uint64_t ticks)
{
	return (uint32_t)(((ticks << pace->shift) + NS_PER_S - 1) / NS_PER_S);
}

static uint64_t ahead_of(const struct pace *pace, uint64_t point, uint64_t now)
{
	uint64_t ahead = (point - now) & POINT_MASK;

	return ahead > pace->most ? 0 : ahead;
}

static uint32_t take_of_all(struct rate_limit *limit, uint64_t now_ns)
{
	const struct pace *pace = &limit->all;
	uint64_t now = now_ns >> pace->shift;
	uint64_t point = atomic_load_explicit(&limit->point, memory_order_relaxed), begin;

	do {
		begin = point > now ? point : now;
		if (begin - now > pace->slack)
			return seconds_of(pace, begin - now - pace->slack);
	} while (!atomic_compare_exchange_weak_explicit(&limit->point, &point, begin + pace->period,
		memory_order_relaxed, memory_order_relaxed));
	return 0;
}

static uint64_t hash_of(const struct rate_limit *limit, const union addr *client)
{
	uint8_t address[16];
	uint32_t i, bits;

	addr_to_mapped(client, address);
	if (client->any.sa_family == AF_INET6 && !IN6_IS_ADDR_V4MAPPED(&client->v6.sin6_addr))
		for (i = 0; i < sizeof(address); i++) {
			bits = limit->spec.ipv6_bits > 8 * i ? limit->spec.ipv6_bits - 8 * i : 0;
			if (bits < 8)
				address[i] &= (uint8_t)(0xff00 >> bits);
		}
	return hash_bytes(&limit->key, address, sizeof(address));
}

/* The client's word, or the one that is missed least: nobody's, one of the past, or who is least ahead. */
static _Atomic uint64_t *find(const struct pace *pace, struct clients *clients, uint64_t who,
	uint64_t now, uint64_t *ret_word, uint64_t *ret_ahead)
{
	uint64_t least = UINT64_MAX, word, ahead;
	_Atomic uint64_t *found = NULL;
	uint32_t i;

	for (i = 0; i < WAYS; i++) {
		word = atomic_load_explicit(&clients->word[i], memory_order_relaxed);
		ahead = word ? ahead_of(pace, word, now) : 0;
		if (word >> POINT_BITS == who) {
			*ret_word = word;
			*ret_ahead = ahead;
			return &clients->word[i];
		}
		if (ahead < least) {
			least = ahead;
			found = &clients->word[i];
			*ret_word = word;
		}
	}
	*ret_ahead = 0;
	return found;
}

static uint32_t take_of_client(struct rate_limit *limit, const union addr *client, uint64_t now_ns)
{
	const struct pace *pace = &limit->client;
	uint64_t hash = hash_of(limit, client), who = hash >> POINT_BITS;
	struct clients *clients = &limit->table[hash & limit->table_mask];
	uint64_t now = now_ns >> pace->shift, word, ahead, next;
	_Atomic uint64_t *place;
	uint32_t tries;

	who = who ? who : 1;
	for (tries = 0; tries < TRIES; tries++) {
		place = find(pace, clients, who, now, &word, &ahead);
		if (ahead > pace->slack)
			return seconds_of(pace, ahead - pace->slack);
		next = who << POINT_BITS | ((now + ahead + pace->period) & POINT_MASK);
		if (atomic_compare_exchange_strong_explicit(
			    place, &word, next, memory_order_relaxed, memory_order_relaxed))
			return 0;
	}
	return 0;
}

uint32_t rate_limit_take(struct rate_limit *limit, const union addr *client, uint64_t now_us)
{
	uint64_t now_ns = now_us * 1000;
	uint32_t wait_s = 0;

	if (limit->client.period)
		wait_s = take_of_client(limit, client, now_ns);
	if (!wait_s && limit->all.period)
		wait_s = take_of_all(limit, now_ns);
	return wait_s;
}
