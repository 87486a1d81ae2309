/*
 * The vault: see vault.h. Objects of up to CLASS_BYTES_MAX lie in regions of one size class each,
 * so that what they leave is of use to others of their size; larger ones have a mapping of their
 * own. Under AddressSanitizer each object is a malloc.
 */
#include "tls/vault.h"

#include "core/list.h"
#include "core/mem.h"
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define VAULT_EVERY_OBJECT_IS_A_MALLOC 1
#endif
#endif

enum {
	GRAIN_BYTES = 32,
	CLASS_BYTES_MAX = 4096,
	CLASSES = CLASS_BYTES_MAX / GRAIN_BYTES,
	REGION_BYTES = 1 << 20, /* aligned to that: an object finds its region */
	PAGE_BYTES = 4096,
};

struct free_object {
	struct free_object *next;
};

struct region {
	struct list link; /* in `open` of its class, while there is room */
	struct free_object *freed;
	uint32_t fresh, end; /* offsets: never used yet */
	uint32_t used;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct list open_regions[CLASSES]; /* zeroed: none yet */
static size_t mapped_bytes;

static void *map_bytes(size_t size)
{
	void *bytes = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED)
		abort();
	return bytes;
}

/* Twice as much is mapped and the ends are given back: the rest is aligned. */
static struct region *region_new(uint32_t object_bytes)
{
	uint8_t *all = map_bytes(2 * REGION_BYTES);
	size_t before = -(uintptr_t)all & (REGION_BYTES - 1);
	struct region *region = (struct region *)(all + before);

	if (before)
		munmap(all, before);
	munmap(all + before + REGION_BYTES, REGION_BYTES - before);
	madvise(region, REGION_BYTES, MADV_DONTDUMP);
	mapped_bytes += REGION_BYTES;
	region->fresh = (sizeof(*region) + GRAIN_BYTES - 1) / GRAIN_BYTES * GRAIN_BYTES;
	region->end = REGION_BYTES - (REGION_BYTES - region->fresh) % object_bytes;
	return region;
}

static size_t class_of(size_t size)
{
	return size ? (size - 1) / GRAIN_BYTES : 0;
}

static void *class_alloc(size_t class)
{
	uint32_t object_bytes = (uint32_t)(class + 1) * GRAIN_BYTES;
	struct list *open = &open_regions[class];
	struct region *region;
	void *bytes;

	if (!open->next)
		list_init(open);
	if (list_is_empty(open))
		list_add_head(open, &region_new(object_bytes)->link);
	region = container_of(open->next, struct region, link);
	region->used++;
	if (region->freed) {
		bytes = region->freed;
		region->freed = region->freed->next;
	} else {
		bytes = (uint8_t *)region + region->fresh;
		region->fresh += object_bytes;
	}
	if (!region->freed && region->fresh == region->end)
		list_del(&region->link);
	return bytes;
}

static void class_free(void *bytes, size_t class)
{
	struct region *region =
		(struct region *)((uintptr_t)bytes & ~(uintptr_t)(REGION_BYTES - 1));
	struct list *open = &open_regions[class];
	struct free_object *object = bytes;

	object->next = region->freed;
	region->freed = object;
	region->used--;
	if (!list_is_linked(&region->link))
		list_add_tail(open, &region->link);
	/* The last region of a class stays: a certificate is often replaced by one of its size. */
	if (region->used || (open->next == &region->link && open->prev == &region->link))
		return;
	list_del(&region->link);
	munmap(region, REGION_BYTES);
	mapped_bytes -= REGION_BYTES;
}

static size_t pages(size_t size)
{
	return (size + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
}

static void *large_alloc(size_t size)
{
	void *bytes = map_bytes(pages(size));

	madvise(bytes, pages(size), MADV_DONTDUMP);
	mapped_bytes += pages(size);
	return bytes;
}

static void *locked_alloc(size_t size)
{
	void *bytes;

	pthread_mutex_lock(&lock);
	bytes = size <= CLASS_BYTES_MAX ? class_alloc(class_of(size)) : large_alloc(size);
	pthread_mutex_unlock(&lock);
	return bytes;
}

static void locked_free(void *bytes, size_t size)
{
	pthread_mutex_lock(&lock);
	if (size <= CLASS_BYTES_MAX) {
		class_free(bytes, class_of(size));
	} else {
		munmap(bytes, pages(size));
		mapped_bytes -= pages(size);
	}
	pthread_mutex_unlock(&lock);
}

static bool is_split(void)
{
#ifdef VAULT_EVERY_OBJECT_IS_A_MALLOC
	return true;
#else
	return false;
#endif
}

static void *split_alloc(size_t size)
{
	pthread_mutex_lock(&lock);
	mapped_bytes += size;
	pthread_mutex_unlock(&lock);
	return mem_alloc(size);
}

static void split_free(void *bytes, size_t size)
{
	pthread_mutex_lock(&lock);
	mapped_bytes -= size;
	pthread_mutex_unlock(&lock);
	free(bytes);
}

void *vault_alloc(size_t size)
{
	return is_split() ? split_alloc(size) : locked_alloc(size);
}

void vault_free(void *bytes, size_t size)
{
	if (!bytes)
		return;
	explicit_bzero(bytes, size);
	if (is_split())
		split_free(bytes, size);
	else
		locked_free(bytes, size);
}

size_t vault_mapped_bytes(void)
{
	size_t bytes;

	pthread_mutex_lock(&lock);
	bytes = mapped_bytes;
	pthread_mutex_unlock(&lock);
	return bytes;
}
