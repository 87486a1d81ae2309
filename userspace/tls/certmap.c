/* The table: see certmap.h. */
#include "tls/certmap.h"

#include "core/attr.h"
#include "core/mem.h"
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum {
	NODE_BITS = 6,
	NODE_SEGMENTS = 1 << NODE_BITS,
	SEGMENT_ITEMS = 12, /* on average at most, when a map is sized ... */
	SEGMENT_ITEMS_MAX = 24, /* ... and before it is sized again */
	BITS_MAX = 26,
};

struct segment {
	atomic_uint refs;
	uint32_t n;
	struct certmap_item items[];
};

struct node {
	atomic_uint refs;
	struct segment *segments[NODE_SEGMENTS]; /* NULL: no items */
};

struct certmap {
	atomic_uint refs;
	uint32_t bits; /* of a hash, the upper ones: which segment */
	const struct certmap_ops *ops;
	struct hash_key key;
	size_t len, n_nodes;
	struct node *nodes[]; /* NULL: no items */
};

static bool put_ref(atomic_uint *refs)
{
	return atomic_fetch_sub_explicit(refs, 1, memory_order_acq_rel) == 1;
}

static void get_ref(atomic_uint *refs)
{
	atomic_fetch_add_explicit(refs, 1, memory_order_relaxed);
}

static void segment_put(const struct certmap *map, struct segment *segment)
{
	uint32_t i;

	if (!segment || !put_ref(&segment->refs))
		return;
	for (i = 0; i < segment->n; i++)
		map->ops->put(&segment->items[i]);
	free(segment);
}

static void node_put(const struct certmap *map, struct node *node)
{
	uint32_t i;

	if (!node || !put_ref(&node->refs))
		return;
	for (i = 0; i < NODE_SEGMENTS; i++)
		segment_put(map, node->segments[i]);
	free(node);
}

struct certmap *certmap_get(struct certmap *map)
{
	get_ref(&map->refs);
	return map;
}

void certmap_put(struct certmap *map)
{
	size_t i;

	if (!map || !put_ref(&map->refs))
		return;
	for (i = 0; i < map->n_nodes; i++)
		node_put(map, map->nodes[i]);
	free(map);
}

static struct certmap *map_alloc(
	const struct certmap_ops *ops, const struct hash_key *key, uint32_t bits)
{
	size_t n_nodes = (size_t)1 << (bits - NODE_BITS);
	struct certmap *map = mem_zalloc(sizeof(*map) + n_nodes * sizeof(map->nodes[0]));

	atomic_init(&map->refs, 1);
	map->ops = ops;
	map->key = *key;
	map->bits = bits;
	map->n_nodes = n_nodes;
	return map;
}

static uint32_t bits_for(size_t n)
{
	uint32_t bits = NODE_BITS;

	while (bits < BITS_MAX && n > (size_t)SEGMENT_ITEMS << bits)
		bits++;
	return bits;
}

struct certmap *certmap_new(const struct certmap_ops *ops, size_t n)
{
	struct hash_key key;

	hash_random(&key, sizeof(key));
	return map_alloc(ops, &key, bits_for(n));
}

size_t certmap_len(const struct certmap *map)
{
	return map->len;
}

const struct hash_key *certmap_key(const struct certmap *map)
{
	return &map->key;
}

static size_t place_of(const struct certmap *map, uint64_t hash)
{
	return (size_t)(hash >> (64 - map->bits));
}

const struct certmap_item *certmap_find(const struct certmap *map, uint64_t hash, uint32_t *ret_n)
{
	size_t place = place_of(map, hash);
	const struct node *node = map->nodes[place >> NODE_BITS];
	const struct segment *segment = node ? node->segments[place & (NODE_SEGMENTS - 1)] : NULL;

	*ret_n = segment ? segment->n : 0;
	return segment ? segment->items : NULL;
}

const struct certmap_item *certmap_next(const struct certmap *map, size_t *cursor, uint32_t *ret_n)
{
	const struct segment *segment;
	const struct node *node;

	while (*cursor >> NODE_BITS < map->n_nodes) {
		node = map->nodes[*cursor >> NODE_BITS];
		segment = node ? node->segments[*cursor & (NODE_SEGMENTS - 1)] : NULL;
		++*cursor;
		if (segment) {
			*ret_n = segment->n;
			return segment->items;
		}
	}
	return NULL;
}

/* --- changing a version that nobody has seen yet */

/* The node of its own of `map`; `before` may have the same one. */
static struct node *own_node(struct certmap *map, const struct certmap *before, size_t at)
{
	struct node *shared = before ? before->nodes[at] : NULL, *node = map->nodes[at];
	uint32_t i;

	if (node && node != shared)
		return node;
	node = mem_zalloc(sizeof(*node));
	atomic_init(&node->refs, 1);
	for (i = 0; shared && i < NODE_SEGMENTS; i++) {
		node->segments[i] = shared->segments[i];
		if (node->segments[i])
			get_ref(&node->segments[i]->refs);
	}
	if (map->nodes[at])
		node_put(map, map->nodes[at]);
	map->nodes[at] = node;
	return node;
}

/* A segment that nobody else has, with the items of `old` and room for `n`; takes over the count on
 * `old`. */
static struct segment *own_segment(const struct certmap *map, struct segment *old, uint32_t n)
{
	struct segment *segment = NULL;
	size_t bytes = sizeof(*segment) + n * sizeof(segment->items[0]);
	uint32_t i;

	if (old && atomic_load_explicit(&old->refs, memory_order_acquire) == 1)
		return mem_realloc(old, bytes);
	segment = mem_alloc(bytes);
	atomic_init(&segment->refs, 1);
	segment->n = old ? old->n : 0;
	for (i = 0; i < segment->n; i++) {
		segment->items[i] = old->items[i];
		map->ops->get(&segment->items[i]);
	}
	segment_put(map, old);
	return segment;
}

static struct segment **own_place(struct certmap *map, const struct certmap *before, uint64_t hash)
{
	size_t place = place_of(map, hash);
	struct node *node = own_node(map, before, place >> NODE_BITS);

	return &node->segments[place & (NODE_SEGMENTS - 1)];
}

static void add_item(
	struct certmap *map, const struct certmap *before, const struct certmap_item *item)
{
	uint64_t hash = map->ops->hash(&map->key, item);
	struct segment **place = own_place(map, before, hash);
	struct segment *segment = own_segment(map, *place, (*place ? (*place)->n : 0) + 1);

	segment->items[segment->n++] =
		(struct certmap_item){item->value, certmap_tag(hash), item->note};
	map->ops->get(item);
	map->len++;
	*place = segment;
}

static void remove_item(
	struct certmap *map, const struct certmap *before, const struct certmap_item *item)
{
	struct segment **place = own_place(map, before, map->ops->hash(&map->key, item));
	struct segment *segment = own_segment(map, *place, *place ? (*place)->n : 0);
	uint32_t i = 0;

	while (i < segment->n &&
		(segment->items[i].value != item->value || segment->items[i].note != item->note))
		i++;
	if (i == segment->n)
		abort();
	segment->items[i] = segment->items[--segment->n];
	map->ops->put(item);
	map->len--;
	*place = segment;
	if (segment->n)
		return;
	segment_put(map, segment);
	*place = NULL;
}

/* The same items in more segments. */
static struct certmap *resized(struct certmap *map)
{
	struct certmap *larger = map_alloc(map->ops, &map->key, bits_for(map->len));
	const struct certmap_item *items;
	size_t cursor = 0;
	uint32_t i, n;

	while ((items = certmap_next(map, &cursor, &n)))
		for (i = 0; i < n; i++)
			add_item(larger, NULL, &items[i]);
	certmap_put(map);
	return larger;
}

struct certmap *certmap_change(const struct certmap *before, const struct certmap_item *removed,
	size_t n_removed, const struct certmap_item *added, size_t n_added)
{
	struct certmap *map = map_alloc(before->ops, &before->key, before->bits);
	size_t i;

	map->len = before->len;
	for (i = 0; i < map->n_nodes; i++) {
		map->nodes[i] = before->nodes[i];
		if (map->nodes[i])
			get_ref(&map->nodes[i]->refs);
	}
	for (i = 0; i < n_removed; i++)
		remove_item(map, before, &removed[i]);
	for (i = 0; i < n_added; i++)
		add_item(map, before, &added[i]);
	if (map->bits < BITS_MAX && map->len > (size_t)SEGMENT_ITEMS_MAX << map->bits)
		return resized(map);
	return map;
}
