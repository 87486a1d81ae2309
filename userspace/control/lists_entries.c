/* Sorted entries of deny and allow lists: see lists_entries.h. */
#include "control/lists_entries.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

const char *lists_kind_name(enum list_kind kind)
{
	return kind == LIST_ALLOW ? "allow" : "deny";
}

const char *lists_source_name(enum lists_source source)
{
	static const char *const names[LIST_SOURCES] = {
		[LIST_FROM_CONFIG] = "config",
		[LIST_FROM_FILE] = "file",
		[LIST_FROM_API] = "api",
	};

	return (unsigned int)source < LIST_SOURCES ? names[source] : "unknown";
}

/* While they are sorted, entries carry where they stood. */
struct placed {
	struct lists_entry entry;
	size_t place;
};

static int placed_compare(const void *a, const void *b)
{
	const struct placed *left = a, *right = b;
	int order = dp_prefix_compare(&left->entry.prefix, &right->entry.prefix);

	return order ? order : (left->place > right->place) - (left->place < right->place);
}

static bool is_sorted(const struct lists_entries *entries)
{
	for (size_t i = 1; i < entries->count; i++)
		if (dp_prefix_compare(&entries->rows[i - 1].prefix, &entries->rows[i].prefix) >= 0)
			return false;
	return true;
}

void lists_entries_sort(struct lists_entries *entries)
{
	struct placed *placed;
	size_t kept = 0;

	if (is_sorted(entries))
		return;
	placed = mem_alloc(entries->count * sizeof(*placed));
	for (size_t i = 0; i < entries->count; i++)
		placed[i] = (struct placed){entries->rows[i], i};
	qsort(placed, entries->count, sizeof(*placed), placed_compare);
	for (size_t i = 0; i < entries->count; i++) {
		if (kept && dp_prefix_compare(
				    &entries->rows[kept - 1].prefix, &placed[i].entry.prefix) == 0)
			kept--;
		entries->rows[kept++] = placed[i].entry;
	}
	entries->count = kept;
	free(placed);
}

void lists_entries_free(struct lists_entries *entries)
{
	free(entries->rows);
	*entries = (struct lists_entries){};
}

const struct lists_entry *lists_entries_find(
	const struct lists_entries *entries, const struct dp_prefix *prefix)
{
	size_t first = 0, behind = entries->count;

	while (first < behind) {
		size_t middle = (first + behind) / 2;
		int order = dp_prefix_compare(&entries->rows[middle].prefix, prefix);

		if (order == 0)
			return &entries->rows[middle];
		if (order < 0)
			first = middle + 1;
		else
			behind = middle;
	}
	return NULL;
}

const struct lists_entry *lists_entries_match(
	const struct lists_entries *entries, bool v6, const uint8_t *address)
{
	struct dp_prefix prefix = {.v6 = v6};

	memcpy(prefix.addr, address, v6 ? 16 : 4);
	for (int length = v6 ? 128 : 32; length >= 0; length--) {
		const struct lists_entry *entry;

		prefix.length_bits = (uint8_t)length;
		entry = lists_entries_find(entries, &prefix);
		if (entry)
			return entry;
		if (length)
			prefix.addr[(length - 1) / 8] &= (uint8_t)~(0x80u >> (length - 1) % 8);
	}
	return NULL;
}
