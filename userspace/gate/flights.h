/*
 * The incomplete first flights of one gate: a table of fixed size, allocated once and touched page
 * by page as it is used, found by a keyed hash. When it is full the oldest flight of the prefix that
 * has most has to go (see crowds.h). Owned by one worker.
 */
#ifndef SLUICE_GATE_FLIGHTS_H
#define SLUICE_GATE_FLIGHTS_H

#include "core/hash.h"
#include "gate/crowds.h"
#include "gate/flight.h"

enum {
	FLIGHTS_MAX_DEFAULT = 4096,
	FLIGHTS_PER_LARGE = 16, /* one large buffer for so many flights, and four more */
};

struct flights_large;

struct flights {
	struct list open; /* struct flight, oldest first */
	struct crowds crowds;
	uint32_t n_open, max;
	uint32_t n_fresh, n_fresh_large; /* of the arrays: used once at least */
	uint32_t max_large;
	uint32_t cell_mask;
	struct hash_key hash_key;
	struct flight **cells;
	struct flight *all, *free;
	struct flights_large *all_large, *free_large;
};

int flights_init(struct flights *flights, uint32_t max) must_check;
void flights_fini(struct flights *flights);
/* Of a key, the same while the table lives. */
uint64_t flights_hash(const struct flights *flights, const struct flight_key *key);
/* NULL: there is none. */
struct flight *flights_find(const struct flights *flights, const struct flight_key *key);
/* A new one, started. NULL: put another one back first (flights_surplus). */
struct flight *flights_get(struct flights *flights, const struct flight_key *key) must_check;
/* Clears its timer too. */
void flights_put(struct flights *flights, struct flight *flight);
/* Gives it a large buffer, its bytes move. False: all are in use (flights_surplus). */
bool flights_enlarge(struct flights *flights, struct flight *flight) must_check;
/* The oldest flight of the prefix that has most flights, or most large buffers: the one to put
 * back. NULL: there is none. */
struct flight *flights_surplus(const struct flights *flights, enum crowd_share_kind kind);
/* The oldest flight of the key's prefix if it has `share` of them or more; NULL: it has less. */
struct flight *flights_over_share(
	const struct flights *flights, const struct flight_key *key, uint32_t share);

#endif
