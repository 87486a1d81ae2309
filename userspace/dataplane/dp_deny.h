/*
 * Deny and allow lists of the XDP program: whole lists, built aside on any thread (a loader
 * thread: it takes up to a second for a million prefixes) and swapped at once by one store.
 *
 *	dp_lists_build    any thread   makes the maps and lays them into the slot not in force
 *	dp_lists_install  control      one store
 *	dp_lists_free     any thread   waits out packets on their way, frees what is not in force
 *
 * One change at a time: whoever built must free, installed or not, before the next one is built.
 * Allowing beats denying. The packet path never sees half a list.
 */
#ifndef SLUICE_DATAPLANE_DP_DENY_H
#define SLUICE_DATAPLANE_DP_DENY_H

#include "core/err.h"
#include "core/slice.h"
#include "dataplane/dataplane.h"

struct dp_prefix {
	uint8_t addr[16]; /* network order; IPv4 in the first four bytes, the others zero */
	uint8_t length_bits;
	bool v6;
};

/* "192.0.2.0/24", "2001:db8::/32", a bare address is /32 or /128. An IPv4-mapped IPv6 prefix of
 * /96 or longer becomes IPv4. Bits beyond the length must be zero (-EINVAL, the text names the
 * prefix that was probably meant). Any thread. */
int dp_prefix_parse(struct slice text, struct dp_prefix *ret_prefix, struct err *err) must_check;

enum { DP_PREFIX_TEXT_BYTES = 52 };

/* The other way round, as dp_prefix_parse() takes it; a whole address without its length. */
void dp_prefix_print(const struct dp_prefix *prefix, char ret_text[DP_PREFIX_TEXT_BYTES]);
/* IPv4 first, by address, shorter ones before what they cover. */
int dp_prefix_compare(const struct dp_prefix *a, const struct dp_prefix *b);

/* Prefixes may repeat and cover each other, in any order. */
struct dp_lists_spec {
	const struct dp_prefix *deny;
	size_t deny_count;
	const struct dp_prefix *allow;
	size_t allow_count;
	bool hits; /* count hits for every denied prefix (the longest one that holds) */
};

struct dp_lists;

/* -EBUSY: another change has been built and not freed. On an inactive plane it makes an empty
 * object. */
int dp_lists_build(struct dataplane *dp, const struct dp_lists_spec *spec,
	struct dp_lists **ret_lists, struct err *err) must_check;
void dp_lists_install(struct dataplane *dp, struct dp_lists *lists);
/* NULL is ignored. Waits some ten milliseconds where a list was swapped. */
void dp_lists_free(struct dataplane *dp, struct dp_lists *lists);

/* What the maps of a built change take. */
size_t dp_lists_bytes(const struct dp_lists *lists);

/* All three on the calling thread, at start and in tests. */
int dp_lists_set(
	struct dataplane *dp, const struct dp_lists_spec *spec, struct err *err) must_check;

struct dp_deny_hits {
	struct dp_prefix prefix;
	uint64_t hits; /* since counting was switched on; kept while the prefix stays listed */
};

/* Calls `each` for every denied prefix that was hit, in the order of dp_prefix_compare(); none while
 * hits are not counted. Not while a change is being built or freed (the same thread does both). */
int dp_deny_hits_read(struct dataplane *dp,
	void (*each)(void *arg, const struct dp_deny_hits *hits), void *arg,
	struct err *err) must_check;

#endif
