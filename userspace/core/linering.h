/*
 * Lines on their way from one thread to another: a bounded ring of bytes for one writer and one
 * reader, no lock, no system call. Only whole lines are in it; one that does not fit is dropped and
 * counted.
 */
#ifndef SLUICE_CORE_LINERING_H
#define SLUICE_CORE_LINERING_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct linering {
	uint32_t size; /* a power of two */
	char *bytes;
	atomic_uint_fast64_t head cache_aligned; /* the writer's: bytes put so far */
	atomic_uint_fast64_t dropped; /* lines */
	atomic_uint_fast64_t tail cache_aligned; /* the reader's: bytes taken so far */
};

/* `size` is a power of two. */
struct linering *linering_new(uint32_t size);
/* NULL is ignored. */
void linering_free(struct linering *ring);

/* Writer: a line with its end. False: there was no room. */
bool linering_put(struct linering *ring, const char *line, size_t len);

/* Writer: a line could not even be made; it is counted as one that did not fit. */
void linering_lose(struct linering *ring);

/* Reader: everything there is, whole lines, in one or two runs; their number of bytes. */
size_t linering_peek(const struct linering *ring, struct slice ret_runs[2]);
/* Reader: has done with so many bytes of what it saw. */
void linering_take(struct linering *ring, size_t len);

/* Any thread. */
static inline bool linering_is_empty(const struct linering *ring)
{
	return atomic_load_explicit(&ring->head, memory_order_acquire) ==
	       atomic_load_explicit(&ring->tail, memory_order_acquire);
}

static inline uint64_t linering_dropped(const struct linering *ring)
{
	return atomic_load_explicit(&ring->dropped, memory_order_relaxed);
}

#endif
