/* Certificates out of files, and into OpenSSL's objects: see cert.h. */
#define LOG_MODULE "certificates"
#include "tls/cert_parts.h"

#include "core/log.h"
#include "core/mem.h"
#include "tls/files.h"
#include "tls/pkcs12.h"
#include "tls/token.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>

/* One pair while it is read. */
struct reading {
	char *cert_path, *key_path;
	uint8_t *pem, *key_pem;
	size_t pem_len, key_pem_len;
	uint8_t *der; /* leaf and chain, one behind the other */
	size_t der_len, leaf_len;
	X509 *leaf;
	struct key_der key;
	uint8_t *names;
	struct cert_content content;
};

static void reading_fini(struct reading *reading)
{
	free(reading->cert_path);
	free(reading->key_path);
	tls_file_free(reading->pem, reading->pem_len);
	if (reading->key_pem != reading->pem)
		tls_file_free(reading->key_pem, reading->key_pem_len);
	free(reading->der);
	X509_free(reading->leaf);
	key_der_fini(&reading->key);
	free(reading->names);
}

static int damaged(struct reading *reading, uint32_t number, struct err *err)
{
	return err_set(err, -EINVAL, "certificate %u in %s is damaged", number, reading->cert_path);
}

static int no_more_blocks(struct reading *reading, uint32_t n, struct err *err)
{
	bool is_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;

	if (n && is_end)
		return 0;
	if (!is_end)
		return damaged(reading, n + 1, err);
	if (reading->pem_len > 3 && reading->pem[0] == 0x30 && reading->pem[1] >= 0x80)
		return err_set(err, -EINVAL,
			"%s is in DER, not in PEM: convert it with openssl x509 -inform DER",
			reading->cert_path);
	return err_set(err, -EINVAL, "%s holds no certificate (no PEM block \"BEGIN CERTIFICATE\")",
		reading->cert_path);
}

static bool is_cert_block(const char *name)
{
	return !strcmp(name, PEM_STRING_X509) || !strcmp(name, PEM_STRING_X509_OLD);
}

static int is_trusted_form(const struct reading *reading, struct err *err)
{
	return err_set(err, -EINVAL,
		"%s has a certificate in OpenSSL's own form (\"BEGIN TRUSTED CERTIFICATE\"): convert "
		"it with openssl x509",
		reading->cert_path);
}

/* The key and the certificates of one file. */
static int unpack_pkcs12(
	struct reading *reading, const struct key_password_source *password, struct err *err)
{
	struct pkcs12_content content;
	int r = pkcs12_read(
		reading->pem, reading->pem_len, reading->cert_path, password, &content, err);

	if (r < 0)
		return r;
	reading->der = content.certs;
	reading->der_len = content.certs_len;
	reading->leaf_len = content.leaf_len;
	reading->key = content.key;
	return 0;
}

/* Certificates of the file, decoded from base64, behind each other. */
static int decode_certs(struct reading *reading, struct err *err)
{
	BIO *bio = BIO_new_mem_buf(reading->pem, (int)reading->pem_len);
	char *name, *header;
	uint32_t n = 0;
	uint8_t *der;
	long len;
	int r = 0;

	ERR_clear_error();
	while (r == 0 && n <= CERTCHAIN_MAX + 1 &&
		PEM_read_bio(bio, &name, &header, &der, &len) == 1) {
		if (!strcmp(name, PEM_STRING_X509_TRUSTED))
			r = is_trusted_form(reading, err);
		else if (is_cert_block(name) && n++ <= CERTCHAIN_MAX) {
			reading->der = mem_realloc(reading->der, reading->der_len + (size_t)len);
			memcpy(reading->der + reading->der_len, der, (size_t)len);
			reading->der_len += (size_t)len;
			if (n == 1)
				reading->leaf_len = (size_t)len;
		}
		OPENSSL_free(name);
		OPENSSL_free(header);
		OPENSSL_clear_free(der, (size_t)len);
	}
	if (r == 0 && n > CERTCHAIN_MAX + 1)
		r = err_set(err, -EINVAL, "%s holds more than %d certificates", reading->cert_path,
			CERTCHAIN_MAX + 1);
	else if (r == 0)
		r = no_more_blocks(reading, n, err);
	BIO_free(bio);
	ERR_clear_error();
	return r;
}

static bool is_one_file(const struct reading *reading)
{
	return !strcmp(reading->key_path, reading->cert_path);
}

static int read_certs(
	struct reading *reading, const struct key_password_source *password, struct err *err)
{
	const uint8_t *at;
	uint32_t bad = 0;
	int r;

	r = tls_file_read_identity(reading->cert_path, &reading->pem, &reading->pem_len,
		&reading->content.identity, err);
	if (r < 0)
		return r;
	if (is_one_file(reading) && pkcs12_is(reading->pem, reading->pem_len))
		r = unpack_pkcs12(reading, password, err);
	else
		r = decode_certs(reading, err);
	if (r < 0)
		return r;
	at = reading->der;
	reading->leaf = d2i_X509(NULL, &at, (long)reading->leaf_len);
	ERR_clear_error();
	if (!reading->leaf || at != reading->der + reading->leaf_len)
		return damaged(reading, 1, err);
	if (reading->der_len > reading->leaf_len &&
		certchain_new(at, reading->der_len - reading->leaf_len, &reading->content.chain,
			&bad) < 0)
		return damaged(reading, bad + 2, err);
	reading->content.leaf = reading->der;
	reading->content.leaf_len = (uint32_t)reading->leaf_len;
	return 0;
}

static int read_key(
	struct reading *reading, const struct key_password_source *password, struct err *err)
{
	int r = 0;

	if (token_is_uri(reading->key_path)) {
		if (password->path)
			reading->content.key_identity = tls_file_identity_at(password->path);
		r = key_der_of_token(reading->key_path, password, &reading->key, err);
	} else if (is_one_file(reading)) {
		reading->key_pem = reading->pem;
		reading->key_pem_len = reading->pem_len;
		reading->content.key_identity = reading->content.identity;
	} else {
		r = tls_file_read_identity(reading->key_path, &reading->key_pem,
			&reading->key_pem_len, &reading->content.key_identity, err);
	}
	if (r == 0 && !reading->key.bytes)
		r = key_der_read(reading->key_pem, reading->key_pem_len, reading->key_path,
			password, &reading->key, err);
	if (r == 0 && tls_file_identity_at(reading->cert_path) != reading->content.identity)
		r = err_set(
			err, -EAGAIN, "%s was replaced while its key was read", reading->cert_path);
	reading->content.key = reading->key.bytes;
	reading->content.key_len = (uint32_t)reading->key.len;
	reading->content.is_key_plain = reading->key.is_plain;
	reading->content.is_key_volatile = tls_file_is_volatile(reading->key_path);
	return r;
}

static uint16_t strength_of_all(const struct reading *reading)
{
	const struct certchain *chain = reading->content.chain;
	uint16_t leaf = cert_strength(reading->leaf), others;

	others = chain ? certchain_strength(chain) : leaf;
	return leaf < others ? leaf : others;
}

static int read_facts(struct reading *reading, struct err *err)
{
	struct cert_facts *facts = &reading->content.facts;
	enum key_kind kind;
	uint32_t bits;
	int r = key_of_cert(reading->leaf, reading->key_path, &kind, &bits, NULL, err);

	if (r < 0)
		return r;
	facts->key_kind = (uint8_t)kind;
	facts->key_bits = (uint16_t)bits;
	facts->security_bits = strength_of_all(reading);
	r = cert_facts_read(
		reading->leaf, facts, &reading->names, &reading->content.names_len, err);
	reading->content.names = reading->names;
	return r;
}

int cert_read(struct cert_source *source, const char *cert_file, const char *key_file,
	struct cert **ret_cert, struct err *err)
{
	struct reading reading = {
		.cert_path = cert_source_path(source, slice_of(cert_file)),
		.key_path = cert_source_path(source, slice_of(key_file)),
		.content.cert_file = cert_file,
		.content.key_file = key_file,
	};
	int r;

	if (strlen(cert_file) > CERT_FILE_BYTES_MAX || strlen(key_file) > CERT_FILE_BYTES_MAX)
		r = err_set(err, -ENAMETOOLONG, "the path %.100s... is too long", cert_file);
	else
		r = read_certs(&reading, &source->password, err);
	if (r == 0)
		r = read_key(&reading, &source->password, err);
	if (r == 0)
		r = read_facts(&reading, err);
	if (r == 0)
		*ret_cert = cert_new(source, &reading.content);
	else
		certchain_put(reading.content.chain);
	reading_fini(&reading);
	return r;
}

static int tell_away(struct cert *cert, const struct err *err)
{
	char name[CERT_NAME_BYTES];

	key_put(cert_token_key(cert)); /* bad, unless it has just been opened after all */
	if (cert_state(cert) == CERT_BAD && cert_is_news(cert))
		log_error("certificate %s is served to nobody until its token signs: %s",
			cert_name(cert, name), err->text);
	return 0;
}

int cert_load(const struct cert_spec *spec, struct cert **ret_cert, struct err *err)
{
	struct cert_source *source = cert_source_new_of(spec->name, NULL, &spec->password);
	struct cert *cert = NULL;
	int r;

	r = cert_read(source, spec->cert_path, spec->key_path ? spec->key_path : spec->cert_path,
		&cert, err);
	if (r == 0)
		r = cert_check(cert, err);
	if (cert && spec->may_be_away && cert_is_token_away(r))
		r = tell_away(cert, err);
	cert_source_put(source);
	if (r == 0)
		*ret_cert = cert;
	else if (cert)
		cert_put(cert);
	return r < 0 ? err_context(err, r, "certificate %s", spec->name) : 0;
}

/* --- into OpenSSL */
static int chain_broken(const struct cert *cert, X509 *leaf, int at, struct err *err)
{
	const STACK_OF(X509) *chain = certchain_all(cert->chain);
	X509 *subject = at ? sk_X509_value(chain, at - 1) : leaf;
	char *of = cert_facts_name_text(X509_get_subject_name(subject));
	char *by = cert_facts_name_text(X509_get_subject_name(sk_X509_value(chain, at)));
	char *path = cert_source_path(cert->source, cert_file(cert));
	int r = err_set(err, -EINVAL,
		"the chain in %s is out of order: certificate %d (%s) is not the issuer of "
		"certificate %d (%s); put the leaf first, then each one's issuer",
		path, at + 2, by, at + 1, of);

	free(of);
	free(by);
	free(path);
	return r;
}

static int check_chain(const struct cert *cert, X509 *leaf, struct err *err)
{
	int at = cert->chain ? certchain_broken_at(cert->chain, leaf) : -1;

	return at < 0 ? 0 : chain_broken(cert, leaf, at, err);
}

int cert_check_key(const struct cert *cert, const struct key *key, X509 *leaf, struct err *err)
{
	const STACK_OF(X509) *chain = cert->chain ? certchain_all(cert->chain) : NULL;
	char *cert_path, *key_path;
	int i, r;

	if (key_matches(key, leaf))
		return 0;
	cert_path = cert_source_path(cert->source, cert_file(cert));
	key_path = cert_source_path(cert->source, cert_key_file(cert));
	for (i = 0; i < sk_X509_num(chain) && !key_matches(key, sk_X509_value(chain, i)); i++)
		;
	if (i < sk_X509_num(chain))
		r = err_set(err, -EINVAL,
			"the key belongs to certificate %d in %s; put the leaf first, then each "
			"one's issuer",
			i + 2, cert_path);
	else
		r = err_set(err, -EINVAL, "the key in %s does not belong to the certificate in %s",
			key_path, cert_path);
	free(cert_path);
	free(key_path);
	return r;
}

/* That an object could not be made says nothing about the bytes then. */
static bool is_out_of_memory(void)
{
	unsigned long error;
	bool is_so = false;

	while ((error = ERR_get_error()))
		is_so |= ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE;
	return is_so;
}

static int parse_key(struct cert *cert, struct key **ret_key, struct err *err)
{
	const struct cert_record *record = &cert->record;
	char *path;
	int r;

	if (cert_is_in_token(cert)) {
		*ret_key = cert_token_key(cert);
		return *ret_key ? 0 : err_set(err, -ENOKEY, "its key is not open in its token");
	}
	path = cert_source_path(cert->source, cert_key_file(cert));
	r = key_parse(cert_record_key(record), record->key_len, path, ret_key, err);
	free(path);
	return r;
}

static int parse(struct cert *cert, struct cert_parsed *parsed, struct err *err)
{
	const uint8_t *der = cert_record_leaf(&cert->record);
	int r;

	ERR_clear_error();
	parsed->leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	if (parsed->leaf)
		r = parse_key(cert, &parsed->key, err);
	else
		r = err_set(err, -EINVAL, "the certificate is damaged");
	if (r < 0 && is_out_of_memory())
		r = err_set(err, -ENOMEM, "out of memory");
	ERR_clear_error();
	if (r == 0)
		r = cert_check_key(cert, parsed->key, parsed->leaf, err);
	if (r == 0)
		r = check_chain(cert, parsed->leaf, err);
	parsed->chain = cert->chain ? certchain_sent(cert->chain) : NULL;
	return r;
}

/* Where the key is in a token, its state is what the token last said: cert_token.c. */
static void note_state(struct cert *cert, int r)
{
	if (r == -ENOMEM || r == -ENOKEY || (r == 0 && cert_is_in_token(cert)))
		return;
	atomic_store_explicit(&cert->state, r == 0 ? CERT_GOOD : CERT_BAD, memory_order_relaxed);
	if (r == 0)
		atomic_store_explicit(&cert->was_told, false, memory_order_relaxed);
}

int cert_parse(struct cert *cert, struct cert_parsed *ret_parsed, struct err *err)
{
	struct cert_parsed parsed = {0};
	int r = parse(cert, &parsed, err);

	note_state(cert, r);
	if (r == 0)
		*ret_parsed = parsed;
	else
		cert_parsed_fini(&parsed);
	return r;
}

void cert_parsed_fini(struct cert_parsed *parsed)
{
	X509_free(parsed->leaf);
	key_put(parsed->key);
}

int cert_check(struct cert *cert, struct err *err)
{
	struct cert_parsed parsed = {0};
	int r = cert_is_in_token(cert) ? cert_token_open(cert, err) : 0;
	char *path;

	if (r == 0)
		r = cert_parse(cert, &parsed, err);
	if (r < 0)
		return r;
	if (!key_is_whole(parsed.key)) {
		path = cert_source_path(cert->source, cert_key_file(cert));
		r = err_set(err, -EINVAL,
			"the private key in %s is damaged: it is not that of its public key", path);
		atomic_store_explicit(&cert->state, CERT_BAD, memory_order_relaxed);
		free(path);
	}
	cert_parsed_fini(&parsed);
	return r;
}

int cert_install(const struct cert_parsed *parsed, struct ssl_st *ssl)
{
	return key_install(parsed->key, ssl, parsed->leaf, parsed->chain);
}

int cert_install_all(
	struct cert *cert, struct ssl_ctx_st *ctx, struct key **ret_key, struct err *err)
{
	struct cert_parsed parsed = {0};
	unsigned long error;
	int r = cert_parse(cert, &parsed, err);

	*ret_key = NULL;
	if (r < 0)
		return r == -ENOKEY ? 0 : r;
	ERR_clear_error();
	r = key_install_all(parsed.key, ctx, parsed.leaf, parsed.chain);
	if (r == 0)
		*ret_key = key_get(parsed.key);
	cert_parsed_fini(&parsed);
	error = ERR_peek_error();
	if (r < 0)
		err_set(err, r, "%s",
			error ? ERR_reason_error_string(error) : "refused by OpenSSL");
	ERR_clear_error();
	return r;
}

bool cert_is_for_clients(const struct cert *cert)
{
	const uint8_t *der = cert_record_leaf(&cert->record);
	X509 *leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	bool is_so = leaf && X509_check_purpose(leaf, X509_PURPOSE_SSL_CLIENT, 0) == 1;

	X509_free(leaf);
	ERR_clear_error();
	return is_so;
}
