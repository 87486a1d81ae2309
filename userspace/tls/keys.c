/* Private keys: see keys.h. */
#include "tls/keys.h"

#include "core/mem.h"
#include "tls/files.h"
#include "tls/keys_ec.h"
#include "tls/keys_rsa.h"
#include "tls/token.h"
#include "tls/vault.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct key {
	atomic_uint refs;
	EVP_PKEY *pkey;
	enum key_kind kind;
	uint32_t bits;
	char type_text[KEY_TYPE_TEXT_BYTES];
};

struct asked {
	const struct key_password *password;
	bool was_asked;
};

static int give_password(char *ret_text, int size, int rwflag, void *arg)
{
	struct asked *asked = arg;
	int len = (int)asked->password->len < size ? (int)asked->password->len : size;

	asked->was_asked = true;
	memcpy(ret_text, asked->password->text, (size_t)len);
	return len;
}

static int curve_text(struct key *key)
{
	static const struct {
		const char *group, *text;
	} curves[] = {
		{"prime256v1", "ECDSA P-256"},
		{"secp384r1", "ECDSA P-384"},
		{"secp521r1", "ECDSA P-521"},
	};
	char group[32] = "";
	size_t i;

	EVP_PKEY_get_group_name(key->pkey, group, sizeof(group), NULL);
	for (i = 0; i < array_len(curves); i++) {
		if (!strcmp(group, curves[i].group)) {
			snprintf(key->type_text, sizeof(key->type_text), "%s", curves[i].text);
			return 0;
		}
	}
	return -EINVAL;
}

static int classify(struct key *key, const char *path, struct err *err)
{
	key->bits = (uint32_t)EVP_PKEY_get_bits(key->pkey);
	if (EVP_PKEY_is_a(key->pkey, "RSA")) {
		key->kind = KEY_RSA;
		snprintf(key->type_text, sizeof(key->type_text), "RSA %u", key->bits);
		if (key->bits < KEY_RSA_BITS_MIN || key->bits > KEY_RSA_BITS_MAX)
			return err_set(err, -EINVAL,
				"the RSA key in %s has %u bits; %d to %d are allowed", path,
				key->bits, KEY_RSA_BITS_MIN, KEY_RSA_BITS_MAX);
		return 0;
	}
	if (EVP_PKEY_is_a(key->pkey, "ED25519")) {
		key->kind = KEY_ED25519;
		snprintf(key->type_text, sizeof(key->type_text), "Ed25519");
		return 0;
	}
	key->kind = KEY_ECDSA;
	if (EVP_PKEY_is_a(key->pkey, "EC") && curve_text(key) == 0)
		return 0;
	return err_set(err, -EINVAL,
		"the key in %s is of a kind that is not supported; use ECDSA P-256, P-384, P-521, "
		"RSA or Ed25519",
		path);
}

static int parse_failed(const char *path, bool was_asked, bool has_password, struct err *err)
{
	if (was_asked && !has_password)
		return err_set(err, -EINVAL,
			"the key in %s is encrypted: say where its password is (key_password_file, "
			"key_password_env or key_password_command)",
			path);
	if (was_asked)
		return err_set(err, -EINVAL, "the password does not open the key in %s", path);
	return err_set(err, -EINVAL, "the private key in %s is damaged", path);
}

static void keep_der(struct key_der *der, const uint8_t *bytes, size_t len, bool is_plain)
{
	*der = (struct key_der){vault_alloc(len), len, is_plain};
	memcpy(der->bytes, bytes, len);
}

void key_der_fini(struct key_der *der)
{
	vault_free(der->bytes, der->len);
}

/* An encrypted key is opened to see that it can be, and kept as DER like all others. */
static int open_key(const uint8_t *pem, size_t len, const char *path,
	const struct key_password_source *source, struct key_der *ret_der, struct err *err)
{
	struct key_password password;
	struct asked asked = {.password = &password};
	uint8_t *der = NULL;
	EVP_PKEY *pkey;
	int der_len, r;
	BIO *bio;

	r = key_password_ask(source, &password, err);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(pem, (int)len);
	pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, &asked) : NULL;
	BIO_free(bio);
	der_len = pkey ? i2d_PrivateKey(pkey, &der) : -1;
	EVP_PKEY_free(pkey);
	if (der_len > 0) {
		keep_der(ret_der, der, (size_t)der_len, false);
		OPENSSL_clear_free(der, (size_t)der_len);
	} else {
		r = parse_failed(path, asked.was_asked, key_password_is_given(source), err);
	}
	key_password_wipe(&password);
	return r;
}

int key_der_of_token(const char *uri, const struct key_password_source *pin,
	struct key_der *ret_der, struct err *err)
{
	struct key_password password;
	size_t uri_len = strlen(uri);
	int r = key_password_ask(pin, &password, err);

	if (r == 0) {
		*ret_der = (struct key_der){
			vault_alloc(uri_len + password.len + 2), uri_len + password.len + 2, false};
		memcpy(ret_der->bytes, uri, uri_len + 1);
		memcpy(ret_der->bytes + uri_len + 1, password.text, password.len + 1);
	}
	key_password_wipe(&password);
	return r;
}

/* DER begins with another byte. URI and PIN end both within it. */
bool key_der_is_token(const uint8_t *der, size_t len)
{
	return len && *der == 'p' && !der[len - 1] && memchr(der, 0, len - 1) &&
	       token_is_uri((const char *)der);
}

static bool is_key_block(const char *name)
{
	static const char end[] = "PRIVATE KEY";
	size_t len = strlen(name);

	return len >= sizeof(end) - 1 && !strcmp(name + len - (sizeof(end) - 1), end);
}

/* 1: it is done, 0: the key is encrypted. */
static int read_block(
	const uint8_t *pem, size_t len, const char *path, struct key_der *ret_der, struct err *err)
{
	static const char mark[] = "PRIVATE KEY-----";
	char *name = NULL, *header = NULL;
	BIO *bio = BIO_new_mem_buf(pem, (int)len);
	bool is_found = false;
	uint8_t *der = NULL;
	long der_len = 0;
	int r = 1;

	while (!is_found && PEM_read_bio(bio, &name, &header, &der, &der_len) == 1) {
		is_found = is_key_block(name);
		if (is_found && (strstr(header, "ENCRYPTED") || !strncmp(name, "ENCRYPTED", 9)))
			r = 0;
		else if (is_found)
			keep_der(ret_der, der, (size_t)der_len, true);
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)der_len);
	}
	BIO_free(bio);
	if (is_found)
		return r;
	if (memmem(pem, len, mark, sizeof(mark) - 1))
		return parse_failed(path, false, false, err);
	return err_set(err, -EINVAL,
		"%s holds no private key (no PEM block \"BEGIN ... PRIVATE KEY\")", path);
}

int key_der_read(const uint8_t *pem, size_t len, const char *path,
	const struct key_password_source *password, struct key_der *ret_der, struct err *err)
{
	int r;

	ERR_clear_error();
	r = read_block(pem, len, path, ret_der, err);
	if (r == 0)
		r = open_key(pem, len, path, password, ret_der, err);
	ERR_clear_error();
	return r < 0 ? r : 0;
}

static int take_pkey(EVP_PKEY *pkey, const char *path, struct key **ret_key, struct err *err)
{
	struct key *key = mem_zalloc(sizeof(*key));
	int r;

	atomic_init(&key->refs, 1);
	key->pkey = pkey;
	r = classify(key, path, err);
	if (r < 0)
		key_put(key);
	else
		*ret_key = key;
	return r;
}

int key_parse(
	const uint8_t *der, size_t len, const char *path, struct key **ret_key, struct err *err)
{
	EVP_PKEY *pkey;

	ERR_clear_error();
	pkey = keys_ec_parse(der, len);
	if (!pkey)
		pkey = d2i_AutoPrivateKey(NULL, &der, (long)len);
	return pkey ? take_pkey(pkey, path, ret_key, err)
		    : err_set(err, -EINVAL, "the private key in %s is damaged", path);
}

int key_open(const uint8_t *der, uint64_t pin_identity, const char *path, struct key **ret_key,
	struct err *err)
{
	const char *uri = (const char *)der;
	struct token_pin pin = {uri + strlen(uri) + 1, pin_identity};
	EVP_PKEY *pkey;
	int r = token_open_key(uri, &pin, &pkey, err);

	return r < 0 ? r : take_pkey(pkey, path, ret_key, err);
}

struct key *key_get(struct key *key)
{
	atomic_fetch_add_explicit(&key->refs, 1, memory_order_relaxed);
	return key;
}

void key_put(struct key *key)
{
	if (!key || atomic_fetch_sub_explicit(&key->refs, 1, memory_order_acq_rel) != 1)
		return;
	EVP_PKEY_free(key->pkey);
	free(key);
}

enum key_kind key_kind(const struct key *key)
{
	return key->kind;
}

uint32_t key_bits(const struct key *key)
{
	return key->bits;
}

const char *key_type_text(const struct key *key)
{
	return key->type_text;
}

int key_of_cert(struct x509_st *cert, const char *path, enum key_kind *ret_kind, uint32_t *ret_bits,
	char *ret_text, struct err *err)
{
	struct key key = {.pkey = X509_get0_pubkey(cert)};
	int r;

	if (!key.pkey) {
		ERR_clear_error();
		return err_set(err, -EINVAL,
			"the public key of the certificate cannot be used; use ECDSA P-256, P-384, "
			"P-521, RSA or Ed25519");
	}
	r = classify(&key, path, err);
	*ret_kind = key.kind;
	*ret_bits = key.bits;
	if (ret_text)
		memcpy(ret_text, key.type_text, sizeof(key.type_text));
	return r;
}

bool key_matches(const struct key *key, struct x509_st *cert)
{
	bool matches = X509_check_private_key(cert, key->pkey) == 1;

	ERR_clear_error();
	return matches;
}

bool key_is(const struct key *key, const struct evp_pkey_st *used)
{
	return key->pkey == used;
}

bool key_is_whole(const struct key *key)
{
	const OSSL_PROVIDER *provider = EVP_PKEY_get0_provider(key->pkey);
	EVP_PKEY_CTX *ctx;
	bool is_whole;

	if (!provider || strcmp(OSSL_PROVIDER_get0_name(provider), "default") != 0)
		return true;
	if (key->kind == KEY_RSA) {
		is_whole = keys_rsa_is_whole(key->pkey);
		ERR_clear_error();
		return is_whole;
	}
	ctx = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
	is_whole = !ctx || EVP_PKEY_pairwise_check(ctx) == 1;
	EVP_PKEY_CTX_free(ctx);
	ERR_clear_error();
	return is_whole;
}

int key_install(const struct key *key, struct ssl_st *ssl, struct x509_st *cert,
	struct stack_st_X509 *chain)
{
	return SSL_use_cert_and_key(ssl, cert, key->pkey, chain, 1) == 1 ? 0 : -EINVAL;
}

int key_install_all(const struct key *key, struct ssl_ctx_st *ctx, struct x509_st *cert,
	struct stack_st_X509 *chain)
{
	return SSL_CTX_use_cert_and_key(ctx, cert, key->pkey, chain, 1) == 1 ? 0 : -EINVAL;
}
