/*
 * A certificate and its key, compact: the facts by which one is chosen, names, and both as DER; in
 * memory that is not dumped. What OpenSSL makes of it (struct cert_parsed) is made when it is
 * served, and kept for a while by certcache.h. Immutable but for its state; counted; any thread.
 */
#ifndef SLUICE_TLS_CERT_H
#define SLUICE_TLS_CERT_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "tls/keys.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct ssl_st;
struct ssl_ctx_st;
struct cert;
struct cert_source;

enum { CERT_NAME_BYTES = 384 };

/* Where certificates come from: one pair of files, or a directory of pairs. Counted. */
struct cert_source *cert_source_new(
	const char *name, const char *directory, const char *password_path);
struct cert_source *cert_source_new_of(
	const char *name, const char *directory, const struct key_password_source *password);
struct cert_source *cert_source_get(struct cert_source *source);
void cert_source_put(struct cert_source *source);

struct cert_spec {
	const char *name;          /* of the certificate in the configuration */
	const char *cert_path; /* PEM: leaf first, then intermediates; or PKCS#12, with the key */
	const char *key_path;  /* PEM; NULL: the key is in cert_path */
	struct key_password_source password; /* nothing: the key is not encrypted */
	bool may_be_away; /* a token: then the certificate is bad, and the log says why */
};

/* What a choice among certificates needs. */
struct cert_facts {
	int64_t not_before_unix_s, not_after_unix_s;
	uint32_t n_names; /* DNS names: SAN, or CN if there is no SAN; lower case */
	uint16_t key_bits;
	uint16_t hash_bits; /* of the signature on the leaf */
	uint16_t signature_scheme; /* on the leaf, as in TLS; 0: none */
	uint16_t security_bits; /* of the weakest key or signature in what is sent */
	uint8_t key_kind; /* enum key_kind */
	bool is_self_signed;
	bool must_staple; /* clients refuse it without an OCSP response (RFC 7633) */
	bool is_in_token; /* the key signs there, and never decrypts; see certoffer.c */
};

/* An unchecked one has not been looked at with its key yet. A bad one is served to nobody. */
enum cert_state { CERT_UNCHECKED, CERT_GOOD, CERT_BAD };

/* Fails with a sentence that names the certificate, the file and what to do. An expired
 * certificate is loaded: cert_is_expired() and the warning text say so. */
int cert_load(const struct cert_spec *spec, struct cert **ret_cert, struct err *err) must_check;
/*
 * The same for files of a source (below its directory), which may be changing: -EAGAIN if they did
 * while they were read. The key is not parsed: the state is CERT_UNCHECKED. Errors do not name the
 * certificate.
 */
int cert_read(struct cert_source *source, const char *cert_file, const char *key_file,
	struct cert **ret_cert, struct err *err) must_check;
struct cert *cert_get(struct cert *cert);
void cert_put(struct cert *cert);

const struct cert_facts *cert_facts(const struct cert *cert);
enum cert_state cert_state(const struct cert *cert);
/* The name in the configuration; of one in a directory with its place there: "shop/eu/a.example".
 * Returns `buf`. */
const char *cert_name(const struct cert *cert, char buf[static CERT_NAME_BYTES]);
/* Below the source's directory; or as configured. The key's is the certificate's own where one
 * file has both. */
struct slice cert_file(const struct cert *cert);
struct slice cert_key_file(const struct cert *cert);
const struct cert_source *cert_source(const struct cert *cert);
/* Start with *cursor 0. False: there are no more. */
bool cert_next_name(const struct cert *cert, uint32_t *cursor, struct slice *ret_name);
/* The same for all certificates that have the same names, in whatever order, on any node; never 0. */
uint64_t cert_names_id(struct cert *cert);
/* Best first among certificates that a client can use alike; see certstore_lookup(). */
bool cert_is_better(const struct cert *a, const struct cert *b);
/* Which files it was made of, as they were (file_identity of tls/files.h). For a key in a token: the
 * file with its PIN, 0 if it is from elsewhere. */
uint64_t cert_identity(const struct cert *cert);
uint64_t cert_key_identity(const struct cert *cert);
/* SHA-256 of the leaf's DER: tells a renewed certificate from the one before. */
enum { CERT_FINGERPRINT_BYTES = 32 };
void cert_fingerprint(
	const struct cert *cert, uint8_t ret_fingerprint[static CERT_FINGERPRINT_BYTES]);
/* Bytes of memory it has of its own. */
size_t cert_bytes(const struct cert *cert);

bool cert_is_expired(const struct cert *cert, int64_t now_unix_s);
bool cert_is_not_yet_valid(const struct cert *cert, int64_t now_unix_s);
/* What a person should know although the certificate works (expired, not yet valid, no name);
 * false: nothing, `ret_text` is untouched. */
bool cert_warning(const struct cert *cert, int64_t now_unix_s, struct err *ret_text);

struct x509_st;
struct stack_st_X509;
/* As OpenSSL wants it. */
struct cert_parsed {
	struct x509_st *leaf;
	struct stack_st_X509 *chain; /* the certificate's own */
	struct key *key;
};

/* Parses, and checks that key, leaf and chain belong together; the state says so from then on. 0, or
 * -EINVAL and why, without the certificate's name; -ENOMEM says nothing about it. */
int cert_parse(struct cert *cert, struct cert_parsed *ret_parsed, struct err *err) must_check;
void cert_parsed_fini(struct cert_parsed *parsed);
/* That it is bad is for the log once: true for the first who asks. */
bool cert_is_news(struct cert *cert);
/* Only checks; has a token asked, and waits for it a while. */
int cert_check(struct cert *cert, struct err *err) must_check;
/* Does it have so many bits (tls_policy_security_bits())? 0, or -EKEYREJECTED and what has not. */
int cert_check_strength(const struct cert *cert, uint16_t bits, struct err *err) must_check;
/* One that is valid is not given up for one that is not: 0, -EKEYEXPIRED or (not yet valid) -ETIME. */
int cert_check_dates(const struct cert *cert, const struct cert *old, int64_t now_unix_s,
	struct err *err) must_check;
/* Puts the certificate into a handshake. */
int cert_install(const struct cert_parsed *parsed, struct ssl_st *ssl) must_check;
/* Into all handshakes of a context; they keep what they need. The key is counted, NULL where none is
 * open in its token: then nothing was done. */
int cert_install_all(struct cert *cert, struct ssl_ctx_st *ctx, struct key **ret_key,
	struct err *err) must_check;
/* Its extensions do not say that it is for something else. */
bool cert_is_for_clients(const struct cert *cert);

/* Texts for people, allocated. */
struct cert_description {
	char *name, *cert_path, *key_path;
	char *subject, *issuer, *serial_hex;
	char *key_type; /* "ECDSA P-256" */
	char *signature; /* "ecdsa-with-SHA256" */
	char *fingerprint_sha256; /* hex, lower case */
	uint32_t n_chain; /* intermediates that are sent after the leaf */
	uint32_t n_scts; /* signed certificate timestamps in the leaf */
};

void cert_describe(const struct cert *cert, struct cert_description *ret_description);
void cert_description_fini(struct cert_description *description);

#endif
