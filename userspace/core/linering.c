/* Rings of lines: see linering.h. */
#include "core/linering.h"

#include "core/mem.h"
#include <stdlib.h>
#include <sys/eventfd.h>

struct linering *linering_new(uint32_t size)
{
	struct linering *ring = aligned_alloc(CACHE_LINE, sizeof(*ring));

	if (!ring || size & (size - 1))
		abort();
	ring->size = size;
	ring->wake_bytes = 0;
	ring->wake_fd = -1;
	ring->bytes = mem_alloc(size);
	atomic_init(&ring->head, 0);
	atomic_init(&ring->base, 0);
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

void linering_wake_at(struct linering *ring, uint32_t bytes, int fd)
{
	ring->wake_bytes = bytes;
	ring->wake_fd = fd;
}

static size_t place_of(const struct linering *ring, uint64_t at)
{
	uint64_t base = atomic_load_explicit(&ring->base, memory_order_relaxed);

	return (at - base) & (ring->size - 1);
}

/* Where the next line begins, and how much is free from there on, the ring round. */
static size_t find_room(struct linering *ring, size_t *ret_free)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_acquire);

	/* The reader looks at `base` only if it has seen a head beyond its tail, which comes after this. */
	if (head == tail)
		atomic_store_explicit(&ring->base, head, memory_order_relaxed);
	*ret_free = ring->size - (head - tail);
	return place_of(ring, head);
}

bool linering_put(struct linering *ring, const char *line, size_t len)
{
	size_t room, at = find_room(ring, &room), first;

	if (len > room) {
		linering_lose(ring);
		return false;
	}
	first = len < ring->size - at ? len : ring->size - at;
	memcpy(ring->bytes + at, line, first);
	memcpy(ring->bytes, line + first, len - first);
	linering_commit(ring, len);
	return true;
}

char *linering_reserve(struct linering *ring, size_t size)
{
	size_t room, at = find_room(ring, &room);

	return size > room || size > ring->size - at ? NULL : ring->bytes + at;
}

void linering_commit(struct linering *ring, size_t len)
{
	uint64_t head = atomic_load_explicit(&ring->head, memory_order_relaxed);
	uint64_t waiting = head - atomic_load_explicit(&ring->tail, memory_order_relaxed);

	atomic_store_explicit(&ring->head, head + len, memory_order_release);
	if (waiting < ring->wake_bytes && waiting + len >= ring->wake_bytes)
		eventfd_write(ring->wake_fd, 1);
}

size_t linering_peek(const struct linering *ring, struct slice ret_runs[2])
{
	uint64_t tail = atomic_load_explicit(&ring->tail, memory_order_relaxed);
	size_t len = atomic_load_explicit(&ring->head, memory_order_acquire) - tail;
	size_t at = place_of(ring, tail);
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
