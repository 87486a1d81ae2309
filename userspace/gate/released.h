/*
 * First flights that were released a moment ago: so that the worker that accepts the connection,
 * which need not be the one whose gate released it, knows that limits were charged for it, and does
 * not charge them again. The mark is of the client, not of its bytes: those are judged after accept,
 * too. One fixed table for the node; a row is half a cache line, taken out when it is found. What
 * does not fit is charged a second time. Any worker; lock-free.
 */
#ifndef SLUICE_GATE_RELEASED_H
#define SLUICE_GATE_RELEASED_H

#include "core/attr.h"
#include "net/addr.h"
#include <stdbool.h>
#include <stdint.h>

struct gate_released;

struct gate_released *gate_released_new(void);
void gate_released_free(struct gate_released *released);

/* Before the packet is written to the TUN device: `client` as the socket will have it (not that of
 * a PROXY header). `listener_id`: whose policy was asked; no other listener's connection counts as
 * judged by it. */
void gate_released_put(struct gate_released *released, const union addr *client,
	uint32_t listener_id, uint64_t now_us);
/* At accept. Rows older than a few seconds do not count. */
bool gate_released_take(struct gate_released *released, const union addr *client,
	uint32_t listener_id, uint64_t now_us);

#endif
