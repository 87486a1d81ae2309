/* Memory: see mem.h. */
#include "core/mem.h"
#include "core/counter.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

void pool_init(struct pool *pool, size_t item_bytes, uint32_t keep)
{
	assert(item_bytes >= sizeof(struct pool_item));
	*pool = (struct pool){.item_bytes = item_bytes, .keep = keep};
}

void pool_fini(struct pool *pool)
{
	struct pool_item *item;

	while ((item = pool->free_list)) {
		pool->free_list = item->next;
		free(item);
	}
	pool->free_len = 0;
}

void *pool_get(struct pool *pool)
{
	struct pool_item *item = pool->free_list;

	if (likely(item)) {
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
