/*
 * First flights that were released a moment ago: see released.h.
 *
 * A row belongs to whoever moves its state to BUSY by compare-and-swap; only then its other members
 * are read or written. The state also carries part of the key's hash and the time, so that others
 * are passed by without touching them. A row that is BUSY is passed by, too: nobody waits.
 */
#include "gate/released.h"
#include "core/hash.h"
#include "core/mem.h"

#include <sluice/limits.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	ROWS = 1 << 15, /* 1 MiB */
	ROWS_TRIED = 4,
	LIFE_MS = 5000,
	SKEW_MS = 1000, /* loops read the clock once a turn: one may be behind another */
};

enum row_state { ROW_FREE, ROW_BUSY, ROW_FULL };

struct key {
	uint8_t client[16]; /* IPv4 mapped */
	uint16_t client_port_be, listener_id;
};

/* state: bits 0 and 1 enum row_state, 2 to 31 of the hash, 32 to 63 milliseconds. */
struct row {
	_Atomic uint64_t state;
	struct key key;
	uint32_t unused;
} __attribute__((aligned(CACHE_LINE / 2)));

_Static_assert(SLUICE_MAX_LISTENERS <= UINT16_MAX, "an id fits the key");
_Static_assert(sizeof(struct row) * 2 == CACHE_LINE, "a row does not cross a cache line");

struct gate_released {
	struct hash_key hash_key;
	struct row *rows;
};

struct gate_released *gate_released_new(void)
{
	struct gate_released *released = mem_alloc(sizeof(*released));

	hash_random(&released->hash_key, sizeof(released->hash_key));
	released->rows = aligned_alloc(CACHE_LINE, ROWS * sizeof(*released->rows));
	if (!released->rows)
		abort();
	memset((void *)released->rows, 0, ROWS * sizeof(*released->rows));
	return released;
}

void gate_released_free(struct gate_released *released)
{
	if (!released)
		return;
	free(released->rows);
	free(released);
}

static void make_key(const union addr *client, uint32_t listener_id, struct key *ret_key)
{
	addr_to_mapped(client, ret_key->client);
	/* The port lies at the same place in both families. */
	ret_key->client_port_be = client->v4.sin_port;
	ret_key->listener_id = (uint16_t)listener_id;
}

static uint64_t full_state(uint64_t hash, uint64_t now_us)
{
	return (uint64_t)(uint32_t)(now_us / 1000) << 32 | (uint32_t)(hash << 2) | ROW_FULL;
}

/* Of two states that are both full: the same part of a hash. */
static bool is_same_tag(uint64_t a, uint64_t b)
{
	return (uint32_t)a == (uint32_t)b;
}

static bool is_stale(uint64_t state, uint64_t now_us)
{
	uint32_t age_ms = (uint32_t)(now_us / 1000) - (uint32_t)(state >> 32);

	return age_ms + SKEW_MS > LIFE_MS + SKEW_MS;
}

static struct row *row_at(const struct gate_released *released, uint64_t hash, uint32_t i)
{
	return &released->rows[((hash >> 32) + i) & (ROWS - 1)];
}

static bool claim(struct row *row, uint64_t state)
{
	uint64_t busy = (state & ~(uint64_t)3) | ROW_BUSY;

	return atomic_compare_exchange_strong_explicit(
		&row->state, &state, busy, memory_order_acquire, memory_order_relaxed);
}

static void leave(struct row *row, uint64_t state)
{
	atomic_store_explicit(&row->state, state, memory_order_release);
}

/* A flight that is released a second time takes its own row again; else a free or a stale one. */
static struct row *claim_for_put(
	const struct gate_released *released, uint64_t hash, uint64_t full, uint64_t now_us)
{
	uint64_t states[ROWS_TRIED];
	uint32_t i;

	for (i = 0; i < ROWS_TRIED; i++) {
		struct row *row = row_at(released, hash, i);

		states[i] = atomic_load_explicit(&row->state, memory_order_relaxed);
		if (is_same_tag(states[i], full) && claim(row, states[i]))
			return row;
	}
	for (i = 0; i < ROWS_TRIED; i++) {
		struct row *row = row_at(released, hash, i);
		enum row_state kind = states[i] & 3;

		if (kind == ROW_BUSY || (kind == ROW_FULL && !is_stale(states[i], now_us)))
			continue;
		if (claim(row, states[i]))
			return row;
	}
	return NULL;
}

void gate_released_put(struct gate_released *released, const union addr *client,
	uint32_t listener_id, uint64_t now_us)
{
	struct key key;
	struct row *row;
	uint64_t hash, full;

	make_key(client, listener_id, &key);
	hash = hash_bytes(&released->hash_key, &key, sizeof(key));
	full = full_state(hash, now_us);
	row = claim_for_put(released, hash, full, now_us);
	if (!row)
		return;
	row->key = key;
	leave(row, full);
}

/* The row is claimed: takes it out if it is the one that is looked for and not too old. */
static bool take_row(struct row *row, uint64_t state, const struct key *key, uint64_t now_us)
{
	bool found;

	if (memcmp(&row->key, key, sizeof(*key)) != 0) {
		leave(row, state);
		return false;
	}
	found = !is_stale(state, now_us);
	leave(row, ROW_FREE);
	return found;
}

bool gate_released_take(struct gate_released *released, const union addr *client,
	uint32_t listener_id, uint64_t now_us)
{
	struct key key;
	uint64_t hash, state, full;
	uint32_t i;

	make_key(client, listener_id, &key);
	hash = hash_bytes(&released->hash_key, &key, sizeof(key));
	full = full_state(hash, now_us);
	for (i = 0; i < ROWS_TRIED; i++) {
		struct row *row = row_at(released, hash, i);

		state = atomic_load_explicit(&row->state, memory_order_relaxed);
		if (!is_same_tag(state, full) || !claim(row, state))
			continue;
		if (take_row(row, state, &key, now_us))
			return true;
	}
	return false;
}
