/* Private keys: see keys.h. */
#include "tls/keys.h"

#include "core/mem.h"
#include "tls/files.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PASSWORD_BYTES_MAX = 1024, TYPE_TEXT_BYTES = 24 };

struct key {
	EVP_PKEY *pkey;
	enum key_kind kind;
	uint32_t bits;
	char type_text[TYPE_TEXT_BYTES];
};

struct password {
	char text[PASSWORD_BYTES_MAX];
	int len;
	bool was_asked;
};

static int give_password(char *ret_text, int size, int rwflag, void *arg)
{
	struct password *password = arg;
	int len = password->len < size ? password->len : size;

	password->was_asked = true;
	memcpy(ret_text, password->text, (size_t)len);
	return len;
}

/* The first line, without its end. */
static int password_read(const char *path, struct password *password, struct err *err)
{
	uint8_t *bytes;
	size_t len, line;
	int r;

	if (!path)
		return 0;
	r = tls_file_read(path, &bytes, &len, err);
	if (r < 0)
		return err_context(err, r, "password of the key");
	for (line = 0; line < len && bytes[line] != '\n' && bytes[line] != '\r'; line++)
		;
	if (line && line <= sizeof(password->text)) {
		memcpy(password->text, bytes, line);
		password->len = (int)line;
	} else {
		r = err_set(err, -EINVAL,
			"the first line of %s must be the password (1 to %d bytes)", path,
			PASSWORD_BYTES_MAX);
	}
	tls_file_free(bytes, len);
	return r;
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

static int parse_failed(const char *path, const struct password *password, bool has_path,
	bool has_block, struct err *err)
{
	if (password->was_asked && !has_path)
		return err_set(err, -EINVAL,
			"the key in %s is encrypted: name the file with its password", path);
	if (password->was_asked)
		return err_set(err, -EINVAL, "the password does not open the key in %s", path);
	if (!has_block)
		return err_set(err, -EINVAL,
			"%s holds no private key (no PEM block \"BEGIN ... PRIVATE KEY\")", path);
	return err_set(err, -EINVAL, "the private key in %s is damaged", path);
}

int key_load(const char *path, const char *password_path, struct key **ret_key, struct err *err)
{
	static const char block[] = "PRIVATE KEY-----";
	struct password password = {0};
	struct key *key = NULL;
	uint8_t *bytes = NULL;
	size_t len = 0;
	BIO *bio;
	int r;

	r = tls_file_read(path, &bytes, &len, err);
	if (r < 0)
		return r;
	r = password_read(password_path, &password, err);
	if (r < 0)
		goto out;
	key = mem_zalloc(sizeof(*key));
	bio = BIO_new_mem_buf(bytes, (int)len);
	ERR_clear_error();
	key->pkey = bio ? PEM_read_bio_PrivateKey(bio, NULL, give_password, &password) : NULL;
	BIO_free(bio);
	if (key->pkey)
		r = classify(key, path, err);
	else
		r = parse_failed(path, &password, password_path != NULL,
			memmem(bytes, len, block, sizeof(block) - 1) != NULL, err);
	ERR_clear_error();
out:
	OPENSSL_cleanse(&password, sizeof(password));
	tls_file_free(bytes, len);
	if (r < 0)
		key_free(key);
	else
		*ret_key = key;
	return r;
}

void key_free(struct key *key)
{
	if (!key)
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

bool key_matches(const struct key *key, struct x509_st *cert)
{
	bool matches = X509_check_private_key(cert, key->pkey) == 1;

	ERR_clear_error();
	return matches;
}

int key_install(const struct key *key, struct ssl_st *ssl, struct x509_st *cert,
	struct stack_st_X509 *chain)
{
	return SSL_use_cert_and_key(ssl, cert, key->pkey, chain, 1) == 1 ? 0 : -EINVAL;
}
