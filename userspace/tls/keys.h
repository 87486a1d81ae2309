/*
 * Private keys: the only module that touches an EVP_PKEY. A key is loaded, compared with a
 * certificate and installed into a handshake; its bytes never leave, not into logs either.
 * Immutable after loading, counted; any thread.
 */
#ifndef SLUICE_TLS_KEYS_H
#define SLUICE_TLS_KEYS_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/key_password.h"
#include <stdbool.h>
#include <stdint.h>

struct evp_pkey_st;
struct ssl_st;
struct ssl_ctx_st;
struct x509_st;
struct stack_st_X509;

enum key_kind { KEY_ECDSA, KEY_RSA, KEY_ED25519, KEY_KINDS };

enum { KEY_RSA_BITS_MIN = 2048, KEY_RSA_BITS_MAX = 8192, KEY_TYPE_TEXT_BYTES = 24 };

struct key;

/* A private key as DER (PKCS#8 or of its own kind), in memory of the vault. Of one that stays in a
 * token: its URI and the PIN, each ended by a zero byte. */
struct key_der {
	uint8_t *bytes;
	size_t len;
	bool is_plain; /* as it stands in the file; else it was encrypted there */
};

/* The first private key of a PEM text, which is the content of `path`. The password is asked for if
 * the key is encrypted; one that is not is not parsed. */
int key_der_read(const uint8_t *pem, size_t len, const char *path,
	const struct key_password_source *password, struct key_der *ret_der,
	struct err *err) must_check;
/* The same for a key in a token, which is not looked at. */
int key_der_of_token(const char *uri, const struct key_password_source *pin,
	struct key_der *ret_der, struct err *err) must_check;
/* Of what key_der_of_token() makes: URI and PIN, each with its end. */
bool key_der_is_token(const uint8_t *der, size_t len);
void key_der_fini(struct key_der *der);
/* `path` is for the error. What OpenSSL says to it stays in its queue. Not of a token's. */
int key_parse(const uint8_t *der, size_t len, const char *path, struct key **ret_key,
	struct err *err) must_check;
/* The same for a key in a token, as token_open_key(). Thread for tokens. */
int key_open(const uint8_t *der, uint64_t pin_identity, const char *path, struct key **ret_key,
	struct err *err) must_check;
struct key *key_get(struct key *key);
/* NULL is ignored. */
void key_put(struct key *key);

enum key_kind key_kind(const struct key *key);
uint32_t key_bits(const struct key *key);
/* "ECDSA P-256", "RSA 2048", "Ed25519". */
const char *key_type_text(const struct key *key);
/* Kind and size of the key that belongs to a certificate; refused as a key of that kind would be.
 * `ret_text` (may be NULL): as key_type_text(). */
int key_of_cert(struct x509_st *cert, const char *path, enum key_kind *ret_kind, uint32_t *ret_bits,
	char ret_text[KEY_TYPE_TEXT_BYTES], struct err *err) must_check;
bool key_matches(const struct key *key, struct x509_st *cert);
/* Whether a handshake that says so signs with this one. */
bool key_is(const struct key *key, const struct evp_pkey_st *used);
/* Whether private and public half belong together: a file has both, and the public one alone is
 * compared with certificates. 20 to 50 us; keys in tokens are believed. */
bool key_is_whole(const struct key *key);

/* Gives a handshake the certificate, its chain and this key. 0 or -ENOMEM/-EINVAL. */
int key_install(const struct key *key, struct ssl_st *ssl, struct x509_st *cert,
	struct stack_st_X509 *chain) must_check;
/* The same for all handshakes of a context. */
int key_install_all(const struct key *key, struct ssl_ctx_st *ctx, struct x509_st *cert,
	struct stack_st_X509 *chain) must_check;

#endif
