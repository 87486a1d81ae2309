/* Keyed hashing (SipHash-1-3) for tables that outsiders can fill, and the random bytes for keys. */
#ifndef SLUICE_CORE_HASH_H
#define SLUICE_CORE_HASH_H

#include "core/attr.h"
#include <stddef.h>
#include <stdint.h>

struct hash_key {
	uint64_t k0, k1;
};

uint64_t hash_bytes(const struct hash_key *key, const void *data, size_t len);
/* Fills from getrandom(); aborts if the kernel has none. */
void hash_random(void *ret_bytes, size_t len);

#endif
