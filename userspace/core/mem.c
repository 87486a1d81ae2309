/* Memory: see mem.h. */
#include "core/mem.h"
#include "core/counter.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { BLOCK_BYTES = 64 * 1024, BLOCK_HEAD_BYTES = 64 };

/* At the start of a block, whose address is a multiple of its size. */
struct block {
	struct list link; /* pool->blocks while it has free items */
	struct pool_item *free;
	uint32_t n_free;
};
_Static_assert(sizeof(struct block) <= BLOCK_HEAD_BYTES, "block");

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define POOL_EVERY_ITEM_IS_A_MALLOC 1
#endif
#endif

static void *must_have(void *memory, size_t size)
{
	if (!memory) {
		fprintf(stderr, "sluice: out of memory (%zu bytes)\n", size);
		abort();
	}
	return memory;
}

void *mem_alloc(size_t size)
{
	return must_have(malloc(size ? size : 1), size);
}

void *mem_zalloc(size_t size)
{
	return must_have(calloc(1, size ? size : 1), size);
}

void *mem_realloc(void *old, size_t size)
{
	return must_have(realloc(old, size ? size : 1), size);
}

char *mem_strndup(const char *text, size_t len)
{
	char *copy = mem_alloc(len + 1);

	memcpy(copy, text, len);
	copy[len] = '\0';
	return copy;
}

char *mem_strdup(const char *text)
{
	return mem_strndup(text, strlen(text));
}

char *mem_printf(const char *format, ...)
{
	va_list args;
	char *text = NULL;
	int len;

	va_start(args, format);
	len = vasprintf(&text, format, args);
	va_end(args);
	return must_have(len < 0 ? NULL : text, 0);
}

/* --- pages without core dumps */
static size_t whole_pages(size_t size)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	return (size + page - 1) / page * page;
}

/* NULL: out of memory. */
static void *map_secret(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (madvise(memory, size, MADV_DONTDUMP) == 0)
		return memory;
	munmap(memory, size);
	return NULL;
}

void *mem_secret_alloc(size_t size)
{
	return must_have(map_secret(whole_pages(size)), size);
}

void mem_secret_free(void *memory, size_t size)
{
	explicit_bzero(memory, size);
	munmap(memory, whole_pages(size));
}

/* --- blocks of a secret pool */
static uint32_t block_items(const struct pool *pool)
{
	return (uint32_t)((BLOCK_BYTES - BLOCK_HEAD_BYTES) / pool->item_bytes);
}

/* Maps twice as much, for a start at a multiple of its size. */
static bool block_new(struct pool *pool)
{
	char *memory = map_secret(2 * BLOCK_BYTES), *start, *item;
	struct block *block;
	uint32_t i;

	if (!memory)
		return false;
	start = memory + (-(uintptr_t)memory & (BLOCK_BYTES - 1));
	if (start > memory)
		munmap(memory, (size_t)(start - memory));
	munmap(start + BLOCK_BYTES, (size_t)(memory + BLOCK_BYTES - start));
	block = (struct block *)start;
	*block = (struct block){.n_free = block_items(pool)};
	for (i = block->n_free; i-- > 0;) {
		item = start + BLOCK_HEAD_BYTES + i * pool->item_bytes;
		((struct pool_item *)item)->next = block->free;
		block->free = (struct pool_item *)item;
	}
	list_add_head(&pool->blocks, &block->link);
	pool->free_len += block->n_free;
	return true;
}

static void block_free(struct pool *pool, struct block *block)
{
	list_del(&block->link);
	pool->free_len -= block->n_free;
	munmap(block, BLOCK_BYTES);
}

static struct pool_item *block_get(struct pool *pool)
{
	struct pool_item *item;
	struct block *block;

	if (list_is_empty(&pool->blocks) && !block_new(pool))
		return NULL;
	block = container_of(pool->blocks.next, struct block, link);
	item = block->free;
	assert(item);
	block->free = item->next;
	pool->free_len--;
	block->n_free--;
	if (!block->n_free)
		list_del(&block->link);
	return item;
}

static void block_put(struct pool *pool, struct pool_item *item)
{
	struct block *block = (struct block *)((uintptr_t)item & ~(uintptr_t)(BLOCK_BYTES - 1));

	if (!block->n_free)
		list_add_head(&pool->blocks, &block->link);
	item->next = block->free;
	block->free = item;
	pool->free_len++;
	block->n_free++;
	if (block->n_free == block_items(pool) && pool->free_len - block->n_free >= pool->keep)
		block_free(pool, block);
}

/* --- pools */
void pool_init(struct pool *pool, size_t item_bytes, uint32_t keep)
{
	assert(item_bytes >= sizeof(struct pool_item));
	*pool = (struct pool){.item_bytes = item_bytes, .keep = keep};
}

void pool_init_secret(struct pool *pool, size_t item_bytes, uint32_t keep)
{
	const size_t align = _Alignof(max_align_t);

	pool_init(pool, (item_bytes + align - 1) / align * align, keep);
	assert(block_items(pool) > 0);
	list_init(&pool->blocks);
#ifndef POOL_EVERY_ITEM_IS_A_MALLOC
	pool->is_secret = true;
#endif
}

void pool_fini(struct pool *pool)
{
	struct pool_item *item;

	while (pool->is_secret && !list_is_empty(&pool->blocks))
		block_free(pool, container_of(pool->blocks.next, struct block, link));
	while ((item = pool->free_list)) {
		pool->free_list = item->next;
		free(item);
	}
	pool->free_len = 0;
}

void *pool_get(struct pool *pool)
{
	struct pool_item *item = pool->free_list;

	if (pool->is_secret) {
		item = block_get(pool);
		if (!item)
			return NULL;
	} else if (likely(item)) {
		pool->free_list = item->next;
		pool->free_len--;
	} else {
		item = malloc(pool->item_bytes);
		if (!item)
			return NULL;
	}
	counter_inc(&pool->used);
	return item;
}

void pool_put(struct pool *pool, void *item)
{
	struct pool_item *freed = item;

	if (!freed)
		return;
	counter_dec(&pool->used);
	if (pool->is_secret) {
		block_put(pool, freed);
		return;
	}
#ifdef POOL_EVERY_ITEM_IS_A_MALLOC
	free(freed);
#else
	if (pool->free_len >= pool->keep) {
		free(freed);
		return;
	}
	freed->next = pool->free_list;
	pool->free_list = freed;
	pool->free_len++;
#endif
}
