/*
 * An immutable hash table of counted values in which a change copies a few hundred bytes: segments
 * of about a dozen items, found through nodes of segments; a new version shares all but those that
 * changed with the one before. A look-up takes no lock and allocates nothing; any thread.
 */
#ifndef SLUICE_TLS_CERTMAP_H
#define SLUICE_TLS_CERTMAP_H

#include "core/hash.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct certmap;

struct certmap_item {
	void *value;
	uint32_t tag;  /* the map's */
	uint32_t note; /* the user's */
};

struct certmap_ops {
	uint64_t (*hash)(const struct hash_key *key, const struct certmap_item *item);
	void (*get)(const struct certmap_item *item);
	void (*put)(const struct certmap_item *item);
};

/* `n` is a guess of how many items there will be. */
struct certmap *certmap_new(const struct certmap_ops *ops, size_t n);
struct certmap *certmap_get(struct certmap *map);
/* NULL is ignored. */
void certmap_put(struct certmap *map);

/* A new version without `removed` (which must be in it: value and note as they are there) and with
 * `added` (a count is taken on each value). Tags are ignored. */
struct certmap *certmap_change(const struct certmap *map, const struct certmap_item *removed,
	size_t n_removed, const struct certmap_item *added, size_t n_added);

size_t certmap_len(const struct certmap *map);
const struct hash_key *certmap_key(const struct certmap *map);

/* Items of one segment; those of `hash` have certmap_tag(hash) as their tag, others may, too. */
const struct certmap_item *certmap_find(const struct certmap *map, uint64_t hash, uint32_t *ret_n);
static inline uint32_t certmap_tag(uint64_t hash)
{
	return (uint32_t)hash;
}

/* All items, segment by segment: start with *cursor 0. NULL: there are no more. */
const struct certmap_item *certmap_next(const struct certmap *map, size_t *cursor, uint32_t *ret_n);

#endif
