/*
 * Who connects most: see top.h. Rows are found by a chained hash table and replaced by the root of a
 * heap (least counted first). Members that another thread copies out are written as whole relaxed
 * words; `writes` of a row is odd while its key changes.
 */
#include "gate/top.h"
#include "core/hash.h"
#include "core/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { CHAINS = 512, KEY_WORDS = TOP_KEY_BYTES / sizeof(uint64_t), NO_ROW = TOP_ROWS };

struct shown {
	_Atomic uint64_t key[KEY_WORDS]; /* zero-padded */
	_Atomic uint64_t released, refused, error;
	atomic_uint writes;
};

struct top {
	struct shown shown[TOP_ROWS];
	/* Below: the owner's alone. */
	struct hash_key hash_key;
	uint64_t hashes[TOP_ROWS];
	uint16_t next[TOP_ROWS]; /* in its chain */
	uint16_t places[TOP_ROWS]; /* in the heap */
	uint16_t heap[TOP_ROWS], chains[CHAINS];
	uint32_t n;
};

/* A key as it is kept. */
struct key {
	uint64_t words[KEY_WORDS];
};

struct top *top_new(void)
{
	struct top *top = mem_zalloc(sizeof(*top));
	size_t i;

	hash_random(&top->hash_key, sizeof(top->hash_key));
	for (i = 0; i < CHAINS; i++)
		top->chains[i] = NO_ROW;
	return top;
}

void top_free(struct top *top)
{
	free(top);
}

static uint64_t load(const _Atomic uint64_t *word)
{
	return atomic_load_explicit(word, memory_order_relaxed);
}

static void store(_Atomic uint64_t *word, uint64_t value)
{
	atomic_store_explicit(word, value, memory_order_relaxed);
}

static uint64_t count_of(const struct top *top, uint16_t row)
{
	return load(&top->shown[row].released) + load(&top->shown[row].refused);
}

/* --- the heap */
static void heap_put(struct top *top, uint32_t place, uint16_t row)
{
	top->heap[place] = row;
	top->places[row] = (uint16_t)place;
}

static void sink(struct top *top, uint32_t place)
{
	uint16_t row = top->heap[place];
	uint64_t count = count_of(top, row);
	uint32_t child;

	while ((child = 2 * place + 1) < top->n) {
		if (child + 1 < top->n &&
			count_of(top, top->heap[child + 1]) < count_of(top, top->heap[child]))
			child++;
		if (count_of(top, top->heap[child]) >= count)
			break;
		heap_put(top, place, top->heap[child]);
		place = child;
	}
	heap_put(top, place, row);
}

static void rise(struct top *top, uint32_t place)
{
	uint16_t row = top->heap[place];
	uint64_t count = count_of(top, row);
	uint32_t parent;

	while (place > 0) {
		parent = (place - 1) / 2;
		if (count_of(top, top->heap[parent]) <= count)
			break;
		heap_put(top, place, top->heap[parent]);
		place = parent;
	}
	heap_put(top, place, row);
}

/* --- keys */
static void make_key(struct slice text, struct key *ret_key)
{
	size_t len = text.len < TOP_KEY_BYTES - 1 ? text.len : TOP_KEY_BYTES - 1;

	memset(ret_key, 0, sizeof(*ret_key));
	memcpy(ret_key->words, text.ptr, len);
}

static bool has_key(const struct shown *shown, const struct key *key)
{
	size_t i;

	for (i = 0; i < KEY_WORDS; i++)
		if (load(&shown->key[i]) != key->words[i])
			return false;
	return true;
}

static uint16_t find(const struct top *top, const struct key *key, uint64_t hash)
{
	uint16_t row = top->chains[hash % CHAINS];

	while (row != NO_ROW && (top->hashes[row] != hash || !has_key(&top->shown[row], key)))
		row = top->next[row];
	return row;
}

static void unchain(struct top *top, uint16_t row)
{
	uint16_t *link = &top->chains[top->hashes[row] % CHAINS];

	while (*link != row)
		link = &top->next[*link];
	*link = top->next[row];
}

static void set_key(struct top *top, uint16_t row, const struct key *key, uint64_t hash)
{
	struct shown *shown = &top->shown[row];
	unsigned int writes = atomic_load_explicit(&shown->writes, memory_order_relaxed);
	size_t i;

	atomic_store_explicit(&shown->writes, writes + 1, memory_order_relaxed);
	atomic_thread_fence(memory_order_release);
	for (i = 0; i < KEY_WORDS; i++)
		store(&shown->key[i], key->words[i]);
	/* What it counted so far may be the new key's, or not. */
	store(&shown->error, count_of(top, row));
	atomic_store_explicit(&shown->writes, writes + 2, memory_order_release);
	top->hashes[row] = hash;
	top->next[row] = top->chains[hash % CHAINS];
	top->chains[hash % CHAINS] = row;
}

static uint16_t row_for(struct top *top, const struct key *key, uint64_t hash)
{
	uint16_t row;

	if (top->n < TOP_ROWS) {
		row = (uint16_t)top->n++;
		heap_put(top, row, row);
		set_key(top, row, key, hash);
		rise(top, top->places[row]);
	} else {
		row = top->heap[0];
		unchain(top, row);
		set_key(top, row, key, hash);
	}
	return row;
}

void top_count(struct top *top, struct slice text, bool refused, uint64_t weight)
{
	struct shown *shown;
	struct key key;
	uint64_t hash;
	uint16_t row;

	if (!text.len)
		return;
	make_key(text, &key);
	hash = hash_bytes(&top->hash_key, text.ptr,
		text.len < TOP_KEY_BYTES - 1 ? text.len : TOP_KEY_BYTES - 1);
	row = find(top, &key, hash);
	if (row == NO_ROW)
		row = row_for(top, &key, hash);
	shown = &top->shown[row];
	if (refused)
		store(&shown->refused, load(&shown->refused) + weight);
	else
		store(&shown->released, load(&shown->released) + weight);
	sink(top, top->places[row]);
}

void top_age(struct top *top)
{
	uint32_t i;

	for (i = 0; i < top->n; i++) {
		struct shown *shown = &top->shown[i];

		store(&shown->released, load(&shown->released) / 2);
		store(&shown->refused, load(&shown->refused) / 2);
		store(&shown->error, load(&shown->error) / 2);
	}
	/* Halves of two numbers can change the order by one. */
	for (i = top->n / 2; i-- > 0;)
		sink(top, i);
}

/* --- the reader */
static void copy_row(const struct shown *shown, struct top_row *ret_row)
{
	uint64_t words[KEY_WORDS];
	unsigned int writes;
	size_t i;

	do {
		writes = atomic_load_explicit(&shown->writes, memory_order_acquire);
		for (i = 0; i < KEY_WORDS; i++)
			words[i] = load(&shown->key[i]);
		ret_row->released = load(&shown->released);
		ret_row->refused = load(&shown->refused);
		ret_row->error = load(&shown->error);
		atomic_thread_fence(memory_order_acquire);
	} while ((writes & 1) ||
		 writes != atomic_load_explicit(&shown->writes, memory_order_relaxed));
	memcpy(ret_row->key, words, sizeof(ret_row->key));
}

size_t top_copy(const struct top *top, struct top_row ret_rows[static TOP_ROWS])
{
	size_t i, n = 0;

	for (i = 0; i < TOP_ROWS; i++) {
		copy_row(&top->shown[i], &ret_rows[n]);
		if (ret_rows[n].key[0] && ret_rows[n].released + ret_rows[n].refused)
			n++;
	}
	return n;
}
