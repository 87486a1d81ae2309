/*
 * Who connects most: sources, server names and JA4 fingerprints with the most first flights, by the
 * space-saving algorithm (Metwally et al., 2005): fixed memory, error below total / rows. One per
 * worker and kind, written by that worker, copied out by the control thread (a reader that meets a
 * write tries again). Counts halve every minute, so that the list is about now.
 */
#ifndef SLUICE_GATE_TOP_H
#define SLUICE_GATE_TOP_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { TOP_ROWS = 256, TOP_KEY_BYTES = 64 };

enum top_kind { TOP_SOURCES, TOP_NAMES, TOP_JA4, TOP_KINDS };

struct top_row {
	char key[TOP_KEY_BYTES]; /* printable, NUL-terminated; longer names are cut */
	uint64_t released,
		refused; /* first flights; `refused` also has sampled drops of the XDP program */
	uint64_t error; /* counted at most this much too much */
};

struct top;

struct top *top_new(void);
void top_free(struct top *top);
void top_count(struct top *top, struct slice key, bool refused, uint64_t weight);
/* Halves every count: about once a minute, by the worker that owns it. */
void top_age(struct top *top);
/* The rows in use, in no order. Any thread. */
size_t top_copy(const struct top *top, struct top_row ret_rows[static TOP_ROWS]);

#endif
