/* Rings of lines: see linering.h. */
#include "core/linering.h"

#include "core/mem.h"
#include <stdlib.h>

struct linering *linering_new(uint32_t size)
{
	struct linering *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));

	if (!ring || size & (size - 1))
		abort();
	ring->size = size;
	ring->bytes = mem_alloc(size);
	atomic_init(&ring->head, 0);
	atomic_init(&ring->tail, 0);
	atomic_init(&ring->dropped, 0);
	return ring;
}

void linering_free(struct linering *ring)
{
	if (!ring)
		return;
	free(ring->bytes);
	free(ring);
}

void linering_lose(struct linering *ring)
{
	atomic_fetch_add_explicit(&ring->dropped, 1, memory_order_relaxed);
}

bool linering_put(struct linering *ring, const char *line, size_t len)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);
	size_t at = head & (ring->size - 1), first;

	if (len > ring->size - (head - tail)) {
		linering_lose(ring);
		return false;
	}
	first = len < ring->size - at ? len : ring->size - at;
	memcpy(ring->bytes + at, line, first);
	memcpy(ring->bytes, line + first, len - first);
	atomic_store_explicit(&ring->head, head + len, memory_order_release);
	return true;
}

size_t linering_peek(const struct linering *ring, struct slice ret_runs[2])
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	size_t len = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
	size_t at = tail & (ring->size - 1);
	size_t first = len < ring->size - at ? len : ring->size - at;

	ret_runs[0] = (struct slice){ring->bytes + at, first};
	ret_runs[1] = (struct slice){ring->bytes, len - first};
	return len;
}

void linering_take(struct linering *ring, size_t len)
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->tail, tail + len, memory_order_release);
}
