/*
 * Memory. mem_* are for start-up and the control side, where running out is fatal. Data paths
 * use `struct pool`: fixed-size objects on a free list, one pool per worker and size, no locks.
 * An empty pool falls back to malloc; NULL (out of memory) refuses the connection.
 * Under AddressSanitizer every object is its own malloc, so that misuse is seen.
 * Keys of connections and of tickets are in pages of their own, which no core dump has.
 */
#ifndef SLUICE_CORE_MEM_H
#define SLUICE_CORE_MEM_H

#include "core/attr.h"
#include "core/list.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

void *mem_alloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_zalloc(size_t size) __attribute__((malloc, returns_nonnull));
void *mem_realloc(void *old, size_t size) __attribute__((returns_nonnull));
char *mem_strdup(const char *text) __attribute__((malloc, returns_nonnull));
char *mem_strndup(const char *text, size_t len) __attribute__((malloc, returns_nonnull));
char *mem_printf(const char *format, ...) printf_like(1, 2)
	__attribute__((malloc, returns_nonnull));

/* Whole pages, zeroed, for keys. */
void *mem_secret_alloc(size_t size) __attribute__((malloc, returns_nonnull));
/* Wipes them first. `size` as it was asked for. */
void mem_secret_free(void *memory, size_t size);

struct pool_item {
	struct pool_item *next;
};

struct pool {
	size_t item_bytes;
	uint32_t keep; /* items kept on the free list at most; more are given back to malloc */
	uint32_t free_len; /* on the free list */
	uint32_t used; /* handed out */
	struct pool_item *free_list;
	bool is_secret;
	struct list blocks; /* of a secret pool: blocks with free items; free_list is not used */
};

void pool_init(struct pool *pool, size_t item_bytes, uint32_t keep);
/* The same for items that hold keys. They come in blocks of 64 KiB, which go back to the kernel when
 * they are empty and `keep` items are free without them. The pool must stay where it is. */
void pool_init_secret(struct pool *pool, size_t item_bytes, uint32_t keep);
/* Frees the free list. Every item must have been put back. */
void pool_fini(struct pool *pool);
/* NULL when out of memory. Contents undefined. */
void *pool_get(struct pool *pool) must_check;
/* NULL is ignored. */
void pool_put(struct pool *pool, void *item);

#endif
