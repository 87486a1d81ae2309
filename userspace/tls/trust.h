/*
 * A trust store: the CAs whose certificates clients may show, and what these CAs have revoked. Read
 * and checked whole, then immutable and counted. Loading may take long (a list of 500,000 revoked
 * certificates: about a second) and is the loader thread's; everything else any thread's.
 */
#ifndef SLUICE_TLS_TRUST_H
#define SLUICE_TLS_TRUST_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct x509_st;
struct x509_store_st;
struct stack_st_X509_NAME;

enum { TLS_TRUST_CAS_MAX = 10000, TLS_TRUST_CRLS_MAX = 1000, TLS_TRUST_DIGEST_BYTES = 32 };

struct tls_trust_spec {
	const char *ca_path; /* PEM bundle */
	const char *const *crl_paths; /* PEM (one or several) or DER */
	size_t n_crls;
	bool is_strict; /* a CA out of its time is refused; else it is a warning, and lets nobody in */
	const struct tls_trust *known; /* strict: but not those that it has already; may be NULL */
};

struct tls_trust;

/* Fails with a sentence that names file, line and what to do. -ETIME: something is not valid yet. */
int tls_trust_load(const struct tls_trust_spec *spec, struct tls_trust **ret_trust,
	struct err *err) must_check;
struct tls_trust *tls_trust_get(struct tls_trust *trust);
void tls_trust_put(struct tls_trust *trust);

/* For people. */
struct tls_trust_ca {
	char *subject, *issuer; /* RFC 2253 */
	char *serial_hex;
	char *fingerprint_sha256; /* hex, lower case */
	int64_t not_before_unix_s, not_after_unix_s;
	uint32_t line; /* of the bundle */
	bool is_revoked; /* by a CRL of the store: nobody is let in by it, its own CRLs count */
};

struct tls_trust_crl {
	char *path, *issuer;
	char *number_hex; /* NULL: it has none */
	int64_t this_update_unix_s,
		next_update_unix_s; /* 0: does not say when it will be replaced */
	uint32_t n_revoked;
	size_t bytes; /* of memory */
};

struct tls_trust_facts {
	const struct tls_trust_ca *cas;
	size_t n_cas;
	const struct tls_trust_crl *crls;
	size_t n_crls;
	uint64_t n_revoked; /* in all */
	uint8_t digest[TLS_TRUST_DIGEST_BYTES]; /* of what is trusted and revoked */
};

const struct tls_trust_facts *tls_trust_facts(const struct tls_trust *trust);
/* What a person should know although the store works: a CA given twice, out of its time or revoked,
 * a CRL that is out of date. Start with *cursor 0; false: there are no more. */
bool tls_trust_warning(
	const struct tls_trust *trust, int64_t now_unix_s, uint32_t *cursor, struct err *ret_text);
static inline bool tls_trust_crl_is_stale(const struct tls_trust_crl *crl, int64_t now_unix_s)
{
	return crl->next_update_unix_s && crl->next_update_unix_s < now_unix_s;
}
/* CAs that are expired and CRLs that are out of date. */
uint32_t tls_trust_n_over(const struct tls_trust *trust, int64_t now_unix_s);

/* Does `now` believe less than `before` did: a CA is gone, or a certificate is revoked that was not?
 * CAs sign the same list anew every day: that alone is nothing. */
bool tls_trust_is_tighter(const struct tls_trust *before, const struct tls_trust *now);

/* --- for verification (client_auth.c); the store's own */
struct x509_store_st *tls_trust_store(const struct tls_trust *trust);
/* Is it in a CRL of its issuer? Where there is none, nothing is revoked; a root cannot be. No lock,
 * no allocation. */
bool tls_trust_is_revoked(const struct tls_trust *trust, struct x509_st *cert);
/* Subjects of the CAs; the caller's to free. NULL: out of memory. */
struct stack_st_X509_NAME *tls_trust_ca_names(const struct tls_trust *trust) must_check;

#endif
