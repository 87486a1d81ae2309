/*
 * Certificates as OpenSSL wants them, the ones that were served last: one cache per I/O thread,
 * bounded; what was not used for a round of the clock's hand makes room. One thread.
 */
#ifndef SLUICE_TLS_CERTCACHE_H
#define SLUICE_TLS_CERTCACHE_H

#include "core/attr.h"
#include "tls/cert.h"
#include <stddef.h>
#include <stdint.h>

/* 6.4 KiB each. */
enum { CERTCACHE_DEFAULT = 4096 };

struct certcache;

/* Written by the cache's thread, read by any (relaxed). */
struct certcache_counts {
	uint64_t hits, misses, bad; /* `bad`: certificates that turned out to be */
	uint32_t held;
};

struct certcache *certcache_new(uint32_t max);
void certcache_free(struct certcache *cache);
/* From now on at most so many; at least 1. */
void certcache_resize(struct certcache *cache, uint32_t max);

/*
 * The certificate, parsed and checked: valid until the next call. NULL: it is bad (its state says
 * so from now on, and the log, once), and another one must be served.
 */
const struct cert_parsed *certcache_find(struct certcache *cache, struct cert *cert);
/* Lets go of certificates that nobody has but caches: they were replaced or removed. */
void certcache_sweep(struct certcache *cache);
const struct certcache_counts *certcache_counts(const struct certcache *cache);

#endif
