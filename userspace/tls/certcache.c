/*
 * The cache: see certcache.h. Entries lie in an array that the hand goes round; a table of twice
 * the size, open-addressed, finds them by the certificate's address, which nobody else can have as
 * long as the entry holds a count.
 */
#define LOG_MODULE "tls"
#include "tls/certcache.h"

#include "core/counter.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/cert_parts.h"
#include <stdlib.h>
#include <string.h>

enum { FIRST_ENTRIES = 64, NO_ENTRY = 0 };

struct entry {
	struct cert *cert; /* counted; NULL: free, linked by `next_free` */
	struct cert_parsed parsed;
	union {
		bool was_used; /* since the hand came by */
		uint32_t next_free; /* as in the table */
	};
};

struct certcache {
	uint32_t max, n, hand, first_free;
	struct entry *entries;
	uint32_t *table; /* number of an entry + 1 */
	uint32_t mask;
	struct certcache_counts counts;
};

static uint32_t start_of(const struct certcache *cache, const struct cert *cert)
{
	return (uint32_t)(((uintptr_t)cert >> 5) * UINT64_C(0x9e3779b97f4a7c15) >> 32) &
	       cache->mask;
}

static uint32_t *find(const struct certcache *cache, const struct cert *cert)
{
	uint32_t at = start_of(cache, cert);

	while (cache->table[at] != NO_ENTRY && cache->entries[cache->table[at] - 1].cert != cert)
		at = (at + 1) & cache->mask;
	return &cache->table[at];
}

/* Those behind it move up, so that they are found without it. */
static void unlink_slot(struct certcache *cache, uint32_t *slot)
{
	uint32_t hole = (uint32_t)(slot - cache->table), at = hole, home;

	for (;;) {
		at = (at + 1) & cache->mask;
		if (cache->table[at] == NO_ENTRY)
			break;
		home = start_of(cache, cache->entries[cache->table[at] - 1].cert);
		if (((at - home) & cache->mask) < ((at - hole) & cache->mask))
			continue;
		cache->table[hole] = cache->table[at];
		hole = at;
	}
	cache->table[hole] = NO_ENTRY;
}

static void drop(struct certcache *cache, uint32_t number)
{
	struct entry *entry = &cache->entries[number];

	unlink_slot(cache, find(cache, entry->cert));
	cert_parsed_fini(&entry->parsed);
	atomic_fetch_sub_explicit(&entry->cert->cached, 1, memory_order_relaxed);
	cert_put(entry->cert);
	*entry = (struct entry){.next_free = cache->first_free};
	cache->first_free = number + 1;
	counter_dec(&cache->counts.held);
}

/* Room for `n` entries; keeps what is there. */
static void make_room(struct certcache *cache, uint32_t n)
{
	uint32_t size = 2, i;

	while (size < 2 * n)
		size *= 2;
	cache->entries = mem_realloc(cache->entries, n * sizeof(*cache->entries));
	free(cache->table);
	cache->table = mem_zalloc(size * sizeof(*cache->table));
	cache->mask = size - 1;
	for (i = 0; i < cache->n; i++)
		if (cache->entries[i].cert)
			*find(cache, cache->entries[i].cert) = i + 1;
	for (i = cache->n; i < n; i++) {
		cache->entries[i] = (struct entry){.next_free = cache->first_free};
		cache->first_free = i + 1;
	}
	cache->n = n;
}

struct certcache *certcache_new(uint32_t max)
{
	struct certcache *cache = mem_zalloc(sizeof(*cache));

	cache->max = max ? max : 1;
	make_room(cache, cache->max < FIRST_ENTRIES ? cache->max : FIRST_ENTRIES);
	return cache;
}

static void drop_all(struct certcache *cache)
{
	uint32_t i;

	for (i = 0; i < cache->n; i++)
		if (cache->entries[i].cert)
			drop(cache, i);
}

void certcache_free(struct certcache *cache)
{
	if (!cache)
		return;
	drop_all(cache);
	free(cache->entries);
	free(cache->table);
	free(cache);
}

void certcache_resize(struct certcache *cache, uint32_t max)
{
	cache->max = max ? max : 1;
	if (cache->n <= cache->max)
		return;
	drop_all(cache); /* seldom, and what is in use comes back */
	cache->n = cache->first_free = cache->hand = 0;
	make_room(cache, cache->max < FIRST_ENTRIES ? cache->max : FIRST_ENTRIES);
}

/* One whose turn it is goes. */
static void evict(struct certcache *cache)
{
	struct entry *entry;

	for (;;) {
		cache->hand = (cache->hand + 1) % cache->n;
		entry = &cache->entries[cache->hand];
		if (!entry->was_used)
			break;
		entry->was_used = false;
	}
	drop(cache, cache->hand);
}

static struct entry *take_free(struct certcache *cache, uint32_t *ret_number)
{
	struct entry *entry;

	if (!cache->first_free && cache->n < cache->max)
		make_room(cache, 2 * cache->n < cache->max ? 2 * cache->n : cache->max);
	if (!cache->first_free)
		evict(cache);
	*ret_number = cache->first_free;
	entry = &cache->entries[cache->first_free - 1];
	cache->first_free = entry->next_free;
	return entry;
}

static const struct cert_parsed *add(
	struct certcache *cache, struct cert *cert, const struct cert_parsed *parsed)
{
	uint32_t number;
	struct entry *entry = take_free(cache, &number);

	*entry = (struct entry){.cert = cert_get(cert), .parsed = *parsed, .was_used = true};
	atomic_fetch_add_explicit(&cert->cached, 1, memory_order_relaxed);
	*find(cache, cert) = number;
	counter_inc(&cache->counts.held);
	return &entry->parsed;
}

static void tell(struct cert *cert, const struct err *err)
{
	char name[CERT_NAME_BYTES];

	log_error("certificate %s is served to nobody: %s", cert_name(cert, name), err->text);
}

const struct cert_parsed *certcache_find(struct certcache *cache, struct cert *cert)
{
	struct entry *entry = NULL;
	uint32_t *slot = find(cache, cert);
	struct cert_parsed parsed;
	struct err err;

	if (*slot != NO_ENTRY && !cert_token_has(cert, cache->entries[*slot - 1].parsed.key)) {
		drop(cache, *slot - 1);
		slot = find(cache, cert);
	}
	if (*slot != NO_ENTRY) {
		entry = &cache->entries[*slot - 1];
		entry->was_used = true;
		counter_inc(&cache->counts.hits);
		return &entry->parsed;
	}
	counter_inc(&cache->counts.misses);
	if (cert_parse(cert, &parsed, &err) == 0)
		return add(cache, cert, &parsed);
	if (cert_is_news(cert)) {
		counter_inc(&cache->counts.bad);
		tell(cert, &err);
	}
	return NULL;
}

void certcache_sweep(struct certcache *cache)
{
	struct cert *cert;
	uint32_t i;

	for (i = 0; i < cache->n; i++) {
		cert = cache->entries[i].cert;
		if (cert && atomic_load_explicit(&cert->refs, memory_order_relaxed) <=
				    atomic_load_explicit(&cert->cached, memory_order_relaxed))
			drop(cache, i);
	}
}

const struct certcache_counts *certcache_counts(const struct certcache *cache)
{
	return &cache->counts;
}
