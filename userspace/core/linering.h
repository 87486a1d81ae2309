/*
 * Lines on their way from one thread to another: a bounded ring of bytes for one writer and one
 * reader, no lock. Only whole lines are in it; one that does not fit is dropped and counted. A ring
 * that the reader has emptied begins at its first byte again: as long as the reader keeps up, what
 * is in use is small and stays in the caches. The writer makes no system call but one, to wake the
 * reader when so much is waiting that its usual time may be too late.
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
	uint32_t wake_bytes;
	int wake_fd;
	char *bytes;
	atomic_uint_fast64_t head cache_aligned; /* the writer's: bytes put so far */
	atomic_uint_fast64_t base; /* of those the one that is at the first byte */
	atomic_uint_fast64_t dropped; /* lines */
	atomic_uint_fast64_t tail cache_aligned; /* the reader's: bytes taken so far */
};

/* `size` is a power of two. */
struct linering *linering_new(uint32_t size);
/* NULL is ignored. */
void linering_free(struct linering *ring);
/* Before there is a writer: with `bytes` waiting, it writes to the eventfd `fd` (borrowed). */
void linering_wake_at(struct linering *ring, uint32_t bytes, int fd);

/* Writer: a line with its end. False: there was no room. */
bool linering_put(struct linering *ring, const char *line, size_t len);

/* Writer: where a line of at most `size` bytes may be made in place; NULL: so much is not free in one
 * piece, though it may be in two. Nobody sees it before it is committed, with its end. */
char *linering_reserve(struct linering *ring, size_t size);
void linering_commit(struct linering *ring, size_t len);

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
