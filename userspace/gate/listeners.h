/*
 * Which listener an address belongs to: a small hash table of a snapshot's gated listeners, built
 * anew for every snapshot. The exact address goes before the wildcard of its family. Owned by the
 * gate of one worker.
 */
#ifndef SLUICE_GATE_LISTENERS_H
#define SLUICE_GATE_LISTENERS_H

#include "gate/gate.h"
#include <sluice/cookie.h>

struct listeners_row;

struct listeners {
	struct listeners_row *rows; /* open addressing */
	uint32_t mask;
};

void listeners_init(struct listeners *listeners);
void listeners_fini(struct listeners *listeners);
void listeners_set(struct listeners *listeners, const struct gate_listener *rows, size_t count);
/* By the destination of the tuple. NULL: nobody's. */
const struct gate_listener *listeners_find(
	const struct listeners *listeners, const struct sluice_cookie_tuple *tuple);

#endif
