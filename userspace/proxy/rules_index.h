/*
 * Which rules a request may be for, by its host and the beginning of its path: a hash table of hosts
 * (whole names, and what is behind "*."), each with a radix tree of paths. However many rules there
 * are, a look costs a few probes and one walk along the path. Immutable.
 */
#ifndef SLUICE_PROXY_RULES_INDEX_H
#define SLUICE_PROXY_RULES_INDEX_H

#include "core/slice.h"
#include <stdint.h>

enum { RULES_HOST_BYTES_MAX = 255 }; /* longer ones are looked up nowhere */

struct rules;
struct rules_index;

struct rules_index *rules_index_new(const struct rules *rules);
void rules_index_free(struct rules_index *index);

/* Numbers of rules, ascending. */
struct rules_list {
	const uint32_t *rules;
	uint32_t n;
};

/* Calls `look` with each list that a rule for this request could be in. */
typedef void rules_index_look(struct rules_list list, void *arg);
void rules_index_find(const struct rules_index *index, struct slice host, struct slice path,
	rules_index_look *look, void *arg);

#endif
