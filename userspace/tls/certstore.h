/*
 * The certificates of one listener by name, immutable. Holds a count on each certificate. Another
 * version shares what did not change with the one before: a replaced certificate costs
 * microseconds, however many there are. Counted. A look-up allocates nothing and takes no lock; any
 * thread.
 */
#ifndef SLUICE_TLS_CERTSTORE_H
#define SLUICE_TLS_CERTSTORE_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "tls/cert.h"
#include "tls/certoffer.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* RFC 1035: 253 characters without the trailing dot. */
enum { CERTSTORE_NAME_MAX = 253 };

struct certstore;

/* The first certificate is the default. `n` is at least 1; none may be there twice. */
int certstore_new(struct cert *const *certs, size_t n, struct certstore **ret_store,
	struct err *err) must_check;
struct certstore *certstore_get(struct certstore *store);
/* NULL is ignored. */
void certstore_put(struct certstore *store);
/* From now on the last put of a store only lays it aside: to free one may take as long as a hundred
 * milliseconds, which no worker has. */
void certstore_lay_aside(bool is_wanted);
bool certstore_has_aside(void);
/* Frees what was laid aside. */
void certstore_free_aside(void);

struct certstore_change {
	struct cert *const *removed; /* all of them in the store */
	size_t n_removed;
	struct cert *const *added; /* none of them in the store */
	size_t n_added;
	struct cert *preferred; /* the default from now on; NULL: the one before, which stays */
};

struct certstore *certstore_change(
	const struct certstore *store, const struct certstore_change *change);

/*
 * The certificate for a server name (empty: none was sent) and what the client can verify. Order:
 * exact name before wildcard (leftmost label, one level); verifiable by the client; not expired;
 * ECDSA, then Ed25519, then RSA; stronger hash; larger key; longer validity. No certificate has
 * the name: the default one, and among those with the same names as it the best. Bad ones
 * (CERT_BAD), and those that are too weak for the listener, are passed over as if they were not
 * there. NULL: all that could be served are bad.
 */
struct cert *certstore_lookup(
	const struct certstore *store, struct slice name, const struct cert_offer *offer);

enum certstore_match { CERTSTORE_NO_MATCH, CERTSTORE_EXACT, CERTSTORE_WILDCARD };

/* One that a client with a certain name may get, for people who ask why. */
struct certstore_candidate {
	struct cert *cert; /* not counted */
	enum certstore_match match; /* NO_MATCH: as the default, or for having its names */
};

/* All of them, best first within each kind of match (exact, wildcard, default); those that are passed
 * over last. At most `max`; returns how many. What is served is for certstore_lookup() to say. */
size_t certstore_candidates(const struct certstore *store, struct slice name,
	const struct cert_offer *offer, struct certstore_candidate *ret_list, size_t max);

/* Whether some certificate has the name, whatever the client can verify. */
enum certstore_match certstore_match(const struct certstore *store, struct slice name);
struct cert *certstore_default(const struct certstore *store);
/* How many names there are, of all certificates together. */
size_t certstore_names(const struct certstore *store);

#endif
