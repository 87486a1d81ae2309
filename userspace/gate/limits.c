/*
 * Token buckets in user space: see limits.h. A row holds the point in time at which its bucket will
 * be full again (generic cell rate algorithm), in ticks of 1/4096 microsecond, so that rates
 * of millions per second are still met within a per mille. The generation is part of the key rather than of the
 * row: two limits of different generations that share a row would otherwise refill each other's.
 *
 * A key's bucket is the less charged one of its two rows; a token is charged to both (each is moved
 * up to the new point in time, never down), so whoever shares one row with a busy key goes by the
 * other. The row that does not decide is moved first: the one that decides then stays the lower one
 * for as long as it takes to move it, and every token of a key is one successful compare-and-swap
 * of the same row. That makes a limit exact for any number of threads.
 */
#include "gate/limits.h"
#include "core/hash.h"
#include "core/mem.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS = 1 << 18, /* 2 MiB */
	TICK_SHIFT = 12, /* ticks per microsecond, log2 */
};

#define TICKS_PER_S   (1000000ull << TICK_SHIFT) /* fits 32 bits */
#define TICKS_FAR_MAX (1ull << 62)

struct gate_limits {
	struct hash_key hash_key;
	_Atomic uint64_t *rows; /* full_at, in ticks */
};

/* What is hashed; the key's bytes follow. */
struct key_head {
	uint32_t scope;
	uint8_t kind, generation;
	uint16_t zero;
};

struct gate_limits *gate_limits_new(void)
{
	struct gate_limits *limits = mem_alloc(sizeof(*limits));

	hash_random(&limits->hash_key, sizeof(limits->hash_key));
	limits->rows = mem_zalloc(ROWS * sizeof(*limits->rows));
	return limits;
}

void gate_limits_free(struct gate_limits *limits)
{
	if (!limits)
		return;
	free((void *)limits->rows);
	free(limits);
}

static uint64_t hash_key_of(const struct gate_limits *limits, const struct key_head *head,
	const void *key, size_t key_bytes)
{
	char bytes[sizeof(*head) + GATE_LIMIT_KEY_BYTES_MAX];

	assert(key_bytes <= GATE_LIMIT_KEY_BYTES_MAX);
	memcpy(bytes, head, sizeof(*head));
	if (key_bytes)
		memcpy(bytes + sizeof(*head), key, key_bytes);
	return hash_bytes(&limits->hash_key, bytes, sizeof(*head) + key_bytes);
}

static void raise_row(_Atomic uint64_t *row, uint64_t to)
{
	uint64_t old = atomic_load_explicit(row, memory_order_acquire);

	while (old < to && !atomic_compare_exchange_weak_explicit(
				   row, &old, to, memory_order_acq_rel, memory_order_acquire))
		;
}

/* How far a bucket may be from full and still give a token: its burst but for one. */
static uint64_t slack_of(const struct gate_limit *limit, uint64_t token)
{
	uint64_t burst = limit->burst ? limit->burst : limit->rate_per_s;
	uint64_t slack = (burst - 1) * token; /* both have 32 bits */

	return slack < TICKS_FAR_MAX ? slack : TICKS_FAR_MAX;
}

bool gate_limits_charge(struct gate_limits *limits, const struct gate_limit *limit,
	enum gate_limit_kind kind, uint32_t scope, const void *key, size_t key_bytes,
	uint64_t now_us)
{
	struct key_head head = {scope, (uint8_t)kind, limit->generation, 0};
	uint64_t now = now_us << TICK_SHIFT, hash, old, full_at, other_full_at, token, slack;
	_Atomic uint64_t *row, *other, *swap;

	if (!limit->rate_per_s)
		return true;
	token = (uint32_t)TICKS_PER_S / limit->rate_per_s;
	token += !token;
	slack = slack_of(limit, token);
	hash = hash_key_of(limits, &head, key, key_bytes);
	row = &limits->rows[hash & (ROWS - 1)];
	other = &limits->rows[hash >> 32 & (ROWS - 1)];
	for (;;) {
		old = atomic_load_explicit(row, memory_order_acquire);
		full_at = old > now ? old : now;
		other_full_at = atomic_load_explicit(other, memory_order_acquire);
		if (other_full_at < full_at && full_at > now) {
			swap = row;
			row = other;
			other = swap;
			old = other_full_at;
			full_at = old > now ? old : now;
		}
		if (full_at - now > slack)
			return false;
		full_at += token;
		if (other != row)
			raise_row(other, full_at);
		if (atomic_compare_exchange_strong_explicit(
			    row, &old, full_at, memory_order_acq_rel, memory_order_acquire))
			return true;
	}
}
