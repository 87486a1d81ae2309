/*
 * Entries of deny and allow lists: sorted arrays that nobody changes once they are made. Any thread.
 */
#ifndef SLUICE_CONTROL_LISTS_ENTRIES_H
#define SLUICE_CONTROL_LISTS_ENTRIES_H

#include "dataplane/dp_deny.h"

#include <sluice/deny.h>

enum lists_source {
	LIST_FROM_CONFIG,
	LIST_FROM_FILE,
	LIST_FROM_API,
	LIST_SOURCES,
};

struct lists_entry {
	struct dp_prefix prefix;
	uint8_t kind;   /* enum list_kind */
	uint8_t source; /* enum lists_source */
	int64_t expires_unix_s; /* 0: never; only of LIST_FROM_API */
};

/* Sorted by dp_prefix_compare(), no prefix twice. */
struct lists_entries {
	struct lists_entry *rows;
	size_t count;
};

const char *lists_kind_name(enum list_kind kind);
const char *lists_source_name(enum lists_source source);

/* Sorts; of entries with the same prefix the last one stays. */
void lists_entries_sort(struct lists_entries *entries);
void lists_entries_free(struct lists_entries *entries);
/* NULL: not there. */
const struct lists_entry *lists_entries_find(
	const struct lists_entries *entries, const struct dp_prefix *prefix);
/* The longest that holds the address; NULL: none. */
const struct lists_entry *lists_entries_match(
	const struct lists_entries *entries, bool v6, const uint8_t *address);

#endif
