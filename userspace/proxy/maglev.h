/*
 * A table for consistent hashing (Eisenbud et al., "Maglev", NSDI 2016, section 3.4): every member
 * has its share of the cells by weight, and when one comes or goes few cells of the others change
 * hands. Immutable; the same on every node that has the same members.
 */
#ifndef SLUICE_PROXY_MAGLEV_H
#define SLUICE_PROXY_MAGLEV_H

#include <stdint.h>

struct maglev;

struct maglev_member {
	uint64_t name_hash, other_hash; /* of what the member is called on every node */
	uint32_t weight; /* 0: has no cell */
};

/* NULL: no member has a weight. At most 65536 members. */
struct maglev *maglev_new(const struct maglev_member *members, uint32_t n);
void maglev_free(struct maglev *maglev);
/* The index of the member that has the key's cell. */
uint32_t maglev_at(const struct maglev *maglev, uint64_t key);

#endif
