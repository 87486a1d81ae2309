/*
 * What is stapled to a certificate: an OCSP response that was found good. Immutable, counted; several
 * objects of one certificate share it.
 */
#ifndef SLUICE_TLS_STAPLE_H
#define SLUICE_TLS_STAPLE_H

#include "core/attr.h"
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct cert;

struct staple {
	atomic_uint refs;
	int64_t this_update_unix_s, next_update_unix_s; /* from then on it is stapled no more */
	size_t len;
	uint8_t der[];
};

struct staple *staple_new(
	const uint8_t *der, size_t len, int64_t this_update_unix_s, int64_t next_update_unix_s);
struct staple *staple_get(struct staple *staple);
/* NULL is ignored. */
void staple_put(struct staple *staple);

/* What is stapled to it; NULL: nothing. A worker may use it until the end of its turn; so may the thread
 * that gives replaced ones back. */
const struct staple *cert_staple(const struct cert *cert);
/* Takes `staple` (NULL: none) and returns the one before, to be given back once every worker has passed
 * a turn (core/snapshot.h). */
struct staple *cert_staple_exchange(struct cert *cert, struct staple *staple) must_check;

#endif
