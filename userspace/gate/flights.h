/*
 * The incomplete first flights of one gate: a table of fixed size, allocated once and touched page
 * by page as it is used, found by a keyed hash. When it is full the oldest flight has to go. Owned
 * by one worker.
 */
#ifndef SLUICE_GATE_FLIGHTS_H
#define SLUICE_GATE_FLIGHTS_H

#include "core/hash.h"
#include "gate/flight.h"

enum {
	FLIGHTS_MAX_DEFAULT = 4096,
	FLIGHTS_PER_LARGE = 16, /* one large buffer for so many flights, and four more */
};

struct flights_large;

struct flights {
	struct list open; /* struct flight, oldest first */
	struct list large; /* those with a large buffer, in the order in which they got it */
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
/* A new one, started. NULL: put the oldest one back first (flights_oldest). */
struct flight *flights_get(struct flights *flights, const struct flight_key *key) must_check;
/* Clears its timer too. */
void flights_put(struct flights *flights, struct flight *flight);
/* Gives it a large buffer, its bytes move. False: all are in use (flights_oldest_large). */
bool flights_enlarge(struct flights *flights, struct flight *flight) must_check;
/* NULL: there is none. */
struct flight *flights_oldest(const struct flights *flights);
struct flight *flights_oldest_large(const struct flights *flights);

#endif
