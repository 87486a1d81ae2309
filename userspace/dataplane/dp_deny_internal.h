/*
 * What the files that build lists share; nobody else includes it. Any thread.
 *	dp_deny.c       slots, order of things
 *	dp_deny_v4.c    lines and blocks
 *	dp_deny_v6.c    filter and hash table
 *	dp_deny_hits.c  counting per prefix
 */
#ifndef SLUICE_DATAPLANE_DP_DENY_INTERNAL_H
#define SLUICE_DATAPLANE_DP_DENY_INTERNAL_H

#include "dataplane/dp_deny.h"

#include <linux/bpf.h>
#include <sluice/abi.h>

/* An inner map, while it is filled through memory. */
struct deny_map {
	int fd; /* -1: none */
	void *rows;
	size_t bytes;
};

#define DENY_MAP_NONE ((struct deny_map){.fd = -1})

/* One list of one address family. */
struct deny_family {
	struct deny_map index; /* struct sluice_list_v4 or _v6 */
	struct deny_map rows;  /* union sluice_list_v4_row or struct sluice_list_v6_bucket */
};

int deny_map_new(const char *name, size_t value_bytes, size_t rows, uint32_t flags,
	struct deny_map *ret_map, struct err *err) must_check;
void deny_map_free(struct deny_map *map);

/* On error there is nothing to free. */
int deny_v4_build(const struct dp_prefix *prefixes, size_t count, struct deny_family *ret_family,
	struct err *err) must_check;
int deny_v6_build(const struct dp_prefix *prefixes, size_t count, struct deny_family *ret_family,
	struct err *err) must_check;

/* The tries of one deny list, and what is in them. */
struct deny_hits {
	int v4_fd, v6_fd; /* -1: none */
	struct dp_prefix *prefixes; /* sorted, each once */
	uint64_t *before; /* of earlier tries, index as prefixes */
	size_t count;
};

int deny_hits_new(const struct dp_prefix *prefixes, size_t count, struct deny_hits **ret_hits,
	struct err *err) must_check;
void deny_hits_free(struct deny_hits *hits);
/* Takes over what the earlier tries counted, for the prefixes that are in both. Nothing counts in
 * `earlier` any more. */
int deny_hits_carry(struct deny_hits *hits, struct deny_hits *earlier, struct err *err) must_check;
int deny_hits_each(struct deny_hits *hits, void (*each)(void *arg, const struct dp_deny_hits *hits),
	void *arg, struct err *err) must_check;

#endif
