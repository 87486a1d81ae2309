/*
 * The certificates of one listener by name, immutable. Holds a count on each certificate.
 * A look-up allocates nothing and takes no lock; any thread.
 */
#ifndef SLUICE_TLS_CERTSTORE_H
#define SLUICE_TLS_CERTSTORE_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "tls/cert.h"
#include <stddef.h>
#include <stdint.h>

/* RFC 1035: 253 characters without the trailing dot. */
enum { CERTSTORE_NAME_MAX = 253 };

struct certstore;

/* What a ClientHello says the client can verify: code points of TLS, host byte order. Lists are
 * borrowed. An absent signature_algorithms extension is NULL: everything is assumed. */
struct cert_offer {
	const uint8_t *schemes;      /* signature_algorithms: two bytes each, big endian */
	size_t n_schemes;
	const uint8_t *cert_schemes; /* signature_algorithms_cert; NULL: as `schemes` */
	size_t n_cert_schemes;
	const uint8_t *ciphers; /* cipher suites, two bytes each, big endian */
	size_t n_ciphers;
	const uint8_t *groups; /* supported_groups, two bytes each; NULL: not sent */
	size_t n_groups;
	bool is_tls13; /* this handshake will be TLS 1.3 */
	int64_t now_unix_s;
};

/* The first certificate is the default. `n` is at least 1. */
int certstore_new(struct cert *const *certs, size_t n, struct certstore **ret_store,
	struct err *err) must_check;
void certstore_free(struct certstore *store);

/*
 * The certificate for a server name (empty: none was sent) and what the client can verify. Order:
 * exact name before wildcard (leftmost label, one level); verifiable by the client; not expired;
 * ECDSA, then Ed25519, then RSA; stronger hash; larger key; longer validity. No certificate has
 * the name: the default one, and among those with the same names as it the best. Never NULL.
 */
const struct cert *certstore_lookup(
	const struct certstore *store, struct slice name, const struct cert_offer *offer);

enum certstore_match { CERTSTORE_NO_MATCH, CERTSTORE_EXACT, CERTSTORE_WILDCARD };

/* Whether some certificate has the name, whatever the client can verify. */
enum certstore_match certstore_match(const struct certstore *store, struct slice name);
const struct cert *certstore_default(const struct certstore *store);

#endif
