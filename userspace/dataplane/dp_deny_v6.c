/*
 * Building an IPv6 list (<sluice/deny.h>) in the memory of its maps. Prefixes go in by length,
 * shorter ones first: what a look-up finds by then covers the next one, which is left out. Any
 * thread.
 */
#include "core/hash.h"
#include "core/mem.h"
#include "dataplane/dp_deny_internal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	V6_TRIES = 8, /* new factors and a quarter more buckets each time */
	V6_PREFETCH_AHEAD = 12,  /* prefixes */
	V6_PREFETCH_LENGTHS = 4,
};

struct v6_table {
	struct sluice_list_v6 *list;
	struct sluice_list_v6_bucket *buckets;
};

struct v6_prefix {
	uint64_t high, low; /* host order */
};

/* Prefixes by length: those of length n are sorted[first[n]] to sorted[first[n + 1] - 1]. */
struct v6_sorted {
	struct v6_prefix *prefixes;
	size_t first[SLUICE_LIST_V6_LENGTHS + 1];
};

static void v6_sort(struct v6_sorted *sorted, const struct dp_prefix *prefixes, size_t count)
{
	size_t next[SLUICE_LIST_V6_LENGTHS], all = 0;

	memset(sorted->first, 0, sizeof(sorted->first));
	for (size_t i = 0; i < count; i++)
		if (prefixes[i].v6)
			sorted->first[prefixes[i].length_bits + 1]++;
	/* from how many there are of each to where they begin */
	for (int length = 0; length <= SLUICE_LIST_V6_LENGTHS; length++)
		sorted->first[length] = all += sorted->first[length];
	memcpy(next, sorted->first, sizeof(next));
	sorted->prefixes =
		mem_alloc((sorted->first[SLUICE_LIST_V6_LENGTHS] + 1) * sizeof(*sorted->prefixes));
	for (size_t i = 0; i < count; i++) {
		uint64_t words_be[2];

		if (!prefixes[i].v6)
			continue;
		memcpy(words_be, prefixes[i].addr, sizeof(words_be));
		sorted->prefixes[next[prefixes[i].length_bits]++] =
			(struct v6_prefix){be64toh(words_be[0]), be64toh(words_be[1])};
	}
}

static struct v6_prefix v6_cut(const struct v6_prefix *prefix, uint32_t length)
{
	return (struct v6_prefix){
		.high = prefix->high & (length >= 64 ? ~0ull : sluice_list_v6_mask(length)),
		.low = length > 64 ? prefix->low & sluice_list_v6_mask(length - 64) : 0,
	};
}

/* The tag of (prefix, length) in the table; where there is none, a free one is taken if `tag` is
 * not 0. NULL: not there, or no room near enough. */
static uint16_t *v6_entry(
	const struct v6_table *table, const struct v6_prefix *cut, uint32_t length, uint16_t tag)
{
	uint32_t place = sluice_list_v6_home(table->list, cut->high, cut->low, length);

	for (int step = 0; step < SLUICE_LIST_V6_CHAIN; step++, place++) {
		struct sluice_list_v6_bucket *bucket = &table->buckets[place];

		for (int i = 0; i < SLUICE_LIST_V6_ENTRIES; i++) {
			if (!bucket->tags[i] && tag) {
				bucket->prefix_host[i][0] = cut->high;
				bucket->prefix_host[i][1] = cut->low;
				bucket->tags[i] = tag;
				table->list->entry_count++;
			}
			if (bucket->prefix_host[i][0] == cut->high &&
				bucket->prefix_host[i][1] == cut->low &&
				(bucket->tags[i] & ~LIST_V6_PREFIX) == (length | LIST_V6_USED))
				return &bucket->tags[i];
		}
		if (tag)
			bucket->overflowed = 1;
		else if (!bucket->overflowed)
			return NULL;
	}
	return NULL;
}

/* The look-up of the XDP program. */
static bool v6_covered(const struct v6_table *table, const struct v6_prefix *prefix)
{
	uint32_t first = 0, behind = table->list->length_count;

	while (first < behind) {
		uint32_t middle = (first + behind) / 2, length = table->list->lengths[middle];
		struct v6_prefix cut = v6_cut(prefix, length);
		const uint16_t *tag = v6_entry(table, &cut, length, 0);

		if (tag && *tag & LIST_V6_PREFIX)
			return true;
		if (tag)
			first = middle + 1;
		else
			behind = middle;
	}
	return false;
}

/* The prefix itself, and a marker at every shorter length the halving looks at on its way. */
static int v6_add(const struct v6_table *table, const struct v6_prefix *prefix, uint32_t length)
{
	uint32_t first = 0, behind = table->list->length_count, word;
	__u64 bits;

	while (first < behind) {
		uint32_t middle = (first + behind) / 2, looked = table->list->lengths[middle];
		struct v6_prefix cut = v6_cut(prefix, looked);
		uint16_t tag = (uint16_t)(looked | LIST_V6_USED), *place;

		if (looked > length) {
			behind = middle;
			continue;
		}
		place = v6_entry(table, &cut, looked, tag);
		if (!place)
			return -ENOSPC;
		if (looked == length) {
			*place |= LIST_V6_PREFIX;
			break;
		}
		first = middle + 1;
	}
	word = sluice_list_v6_filter_word(table->list, prefix->high, &bits);
	table->list->filter[word] |= bits;
	return 0;
}

/* Steps of the halving that look at a length up to this one: entries that a prefix takes. */
static uint32_t v6_entries_of(const struct sluice_list_v6 *list, uint32_t length)
{
	uint32_t first = 0, behind = list->length_count, entries = 0;

	while (first < behind) {
		uint32_t middle = (first + behind) / 2;

		if (list->lengths[middle] > length) {
			behind = middle;
			continue;
		}
		entries++;
		if (list->lengths[middle] == length)
			break;
		first = middle + 1;
	}
	return entries;
}

/* Lengths in use, what the filter looks at, how many entries there can be at most. */
static size_t v6_plan(struct sluice_list_v6 *list, const struct v6_sorted *sorted)
{
	size_t entries = 0;

	list->prefix_count = (uint32_t)sorted->first[SLUICE_LIST_V6_LENGTHS];
	for (uint32_t length = 0; length < SLUICE_LIST_V6_LENGTHS; length++)
		if (sorted->first[length + 1] > sorted->first[length])
			list->lengths[list->length_count++] = (uint8_t)length;
	for (uint32_t i = 0; i < list->length_count; i++) {
		uint32_t length = list->lengths[i];

		entries += (sorted->first[length + 1] - sorted->first[length]) *
			   v6_entries_of(list, length);
	}
	list->filter_mask = list->lengths[0] >= 64 ? ~0ull : sluice_list_v6_mask(list->lengths[0]);
	return entries;
}

/* The table is far larger than any cache: asks for the buckets of a prefix some time before they are
 * needed, of the lengths that are in most lists. */
static void v6_prefetch(const struct v6_table *table, const struct v6_prefix *prefix)
{
	const struct sluice_list_v6 *list = table->list;

	for (uint32_t i = 0; i < list->length_count && i < V6_PREFETCH_LENGTHS; i++) {
		struct v6_prefix cut = v6_cut(prefix, list->lengths[i]);

		__builtin_prefetch(&table->buckets[sluice_list_v6_home(
			list, cut.high, cut.low, list->lengths[i])]);
	}
}

static int v6_fill(const struct v6_table *table, const struct v6_sorted *sorted)
{
	size_t all = sorted->first[SLUICE_LIST_V6_LENGTHS];
	int code = 0;

	for (uint32_t length = 0; length < SLUICE_LIST_V6_LENGTHS; length++) {
		for (size_t i = sorted->first[length]; i < sorted->first[length + 1] && !code;
			i++) {
			if (i + V6_PREFETCH_AHEAD < all)
				v6_prefetch(table, &sorted->prefixes[i + V6_PREFETCH_AHEAD]);
			if (!v6_covered(table, &sorted->prefixes[i]))
				code = v6_add(table, &sorted->prefixes[i], length);
		}
	}
	return code;
}

/* -ENOSPC: one bucket has too many full neighbours, with these factors. */
static int v6_try(
	struct deny_family *family, const struct v6_sorted *sorted, size_t buckets, struct err *err)
{
	struct sluice_list_v6 *list = family->index.rows;
	struct v6_table table = {.list = list};
	int code =
		deny_map_new("deny_v6_rows", sizeof(*table.buckets), buckets + SLUICE_LIST_V6_CHAIN,
			BPF_F_MMAPABLE | BPF_F_INNER_MAP, &family->rows, err);

	if (code)
		return code;
	hash_random(list->factors, sizeof(list->factors));
	for (size_t i = 0; i < sizeof(list->factors) / sizeof(list->factors[0]); i++)
		list->factors[i] |= 1;
	memset(list->filter, 0, sizeof(list->filter));
	list->entry_count = 0;
	list->bucket_count = (uint32_t)buckets;
	table.buckets = family->rows.rows;
	code = v6_fill(&table, sorted);
	if (code)
		deny_map_free(&family->rows);
	return code;
}

int deny_v6_build(const struct dp_prefix *prefixes, size_t count, struct deny_family *ret_family,
	struct err *err)
{
	struct deny_family family = {DENY_MAP_NONE, DENY_MAP_NONE};
	struct v6_sorted sorted;
	size_t buckets; /* filled to 4/9: an entry is 12 to 15 away from its own, at most */
	int code;

	code = deny_map_new(
		"deny_v6", sizeof(struct sluice_list_v6), 1, BPF_F_MMAPABLE, &family.index, err);
	if (code)
		return code;
	v6_sort(&sorted, prefixes, count);
	buckets = v6_plan(family.index.rows, &sorted) * 3 / 4 + 1;
	code = -ENOSPC;
	for (int try = 0; try < V6_TRIES && code == -ENOSPC; try++, buckets += buckets / 4)
		code = v6_try(&family, &sorted, buckets, err);
	free(sorted.prefixes);
	if (code == -ENOSPC)
		code = err_set(err, code, "deny_v6_rows: no hash function spreads this list");
	if (code) {
		deny_map_free(&family.index);
		return code;
	}
	*ret_family = family;
	return 0;
}
