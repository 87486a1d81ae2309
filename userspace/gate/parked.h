/*
 * Incomplete first flights on their way from one gate to another, maybe of another process: a block of
 * bytes, written by gate_park() and read by gate_unpark(). What it holds belongs to nobody; the memory is
 * the caller's. Any thread.
 */
#ifndef SLUICE_GATE_PARKED_H
#define SLUICE_GATE_PARKED_H

#include <stddef.h>
#include <stdint.h>

struct gate;

struct gate_parked {
	uint8_t *bytes; /* of malloc(); NULL: there is none */
	size_t len;
};

/* What the gate has now; it keeps it. `places`: of its sources, in words that both gates know. That gate's
 * worker. */
void gate_park(struct gate *gate, const uint32_t *places, struct gate_parked *ret_parked);
/* Adds those of the block that came from one of the places of this gate, and returns how many. A block of
 * another layout has none for it. That gate's worker. */
uint32_t gate_unpark(struct gate *gate, const uint32_t *places, const struct gate_parked *parked);

#endif
