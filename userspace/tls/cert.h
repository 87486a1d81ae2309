/*
 * A certificate: chain, key and the facts about them, loaded from files once and immutable from
 * then on. Counted (shared between snapshots and listeners); any thread.
 */
#ifndef SLUICE_TLS_CERT_H
#define SLUICE_TLS_CERT_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/keys.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;
struct cert;

struct cert_spec {
	const char *name;          /* of the certificate in the configuration */
	const char *cert_path;     /* PEM: leaf first, then intermediates */
	const char *key_path;      /* PEM; NULL: the key is in cert_path */
	const char *password_path; /* NULL: the key is not encrypted */
};

/* Every pointer lives as long as the certificate. */
struct cert_facts {
	const char *name, *cert_path, *key_path;
	const char *const *names; /* DNS names: SAN, or CN if there is no SAN; lower case */
	uint32_t n_names;
	uint32_t n_chain; /* intermediates that are sent after the leaf */
	const char *subject, *issuer, *serial_hex;
	const char *key_type;  /* "ECDSA P-256" */
	const char *signature; /* "ecdsa-with-SHA256" */
	const char *fingerprint_sha256; /* hex, lower case */
	int64_t not_before_unix_s, not_after_unix_s;
	enum key_kind key_kind;
	uint32_t key_bits;
	uint32_t hash_bits; /* of the signature on the leaf */
	uint16_t signature_scheme; /* on the leaf, as in TLS; 0: none */
	bool is_self_signed;
};

/* Fails with a sentence that names the certificate, the file and what to do. An expired
 * certificate is loaded: cert_is_expired() and the warning text say so. */
int cert_load(const struct cert_spec *spec, struct cert **ret_cert, struct err *err) must_check;
struct cert *cert_get(struct cert *cert);
void cert_put(struct cert *cert);

const struct cert_facts *cert_facts(const struct cert *cert);
bool cert_is_expired(const struct cert *cert, int64_t now_unix_s);
bool cert_is_not_yet_valid(const struct cert *cert, int64_t now_unix_s);
/* What a person should know although the certificate works (expired, not yet valid, no name);
 * false: nothing, `ret_text` is untouched. */
bool cert_warning(const struct cert *cert, int64_t now_unix_s, struct err *ret_text);

/* Puts the certificate into a handshake. */
int cert_install(const struct cert *cert, struct ssl_st *ssl) must_check;

#endif
