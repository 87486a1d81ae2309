/*
 * Flights in several segments that ended a moment ago, so that a copy of a later segment that comes
 * after the verdict (a client's tail loss probe, when the gate was slow) is known for what it is
 * and no new flight is opened for it. Nothing is let in by this; a flight that begins again from
 * its first byte is judged again. Owned by one gate.
 */
#ifndef SLUICE_GATE_STRAGGLERS_H
#define SLUICE_GATE_STRAGGLERS_H

#include <stdbool.h>
#include <stdint.h>

enum { STRAGGLERS_ROWS = 1024, STRAGGLERS_MS = 2000 };

struct stragglers {
	struct straggler {
		uint64_t key; /* hash of the flight's key */
		uint32_t from_seq, to_seq;
		uint32_t at_ms;
	} rows[STRAGGLERS_ROWS];
};

static inline void stragglers_put(struct stragglers *stragglers, uint64_t key, uint32_t from_seq,
	uint32_t to_seq, uint64_t now_ms)
{
	stragglers->rows[key % STRAGGLERS_ROWS] =
		(struct straggler){key, from_seq, to_seq, (uint32_t)now_ms};
}

/* Whether all these bytes were there when that flight ended. */
static inline bool stragglers_has(const struct stragglers *stragglers, uint64_t key,
	uint32_t from_seq, uint32_t to_seq, uint64_t now_ms)
{
	const struct straggler *row = &stragglers->rows[key % STRAGGLERS_ROWS];

	return row->key == key && (int32_t)(from_seq - row->from_seq) >= 0 &&
	       (int32_t)(row->to_seq - to_seq) >= 0 &&
	       (uint32_t)now_ms - row->at_ms < STRAGGLERS_MS;
}

#endif
