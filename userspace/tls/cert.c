/* Certificates: see cert.h. */
#include "tls/cert.h"

#include "core/clock.h"
#include "core/mem.h"
#include "core/shared.h"
#include "tls/cert_facts.h"
#include "tls/files.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CHAIN_MAX = 10 };

struct cert {
	struct shared shared;
	struct cert_facts facts;
	X509 *leaf;
	STACK_OF(X509) * chain; /* without the leaf; without a root at its end */
	struct key *key;
};

static void cert_free(struct shared *shared)
{
	struct cert *cert = container_of(shared, struct cert, shared);

	cert_facts_free(&cert->facts);
	free((char *)cert->facts.name);
	free((char *)cert->facts.cert_path);
	free((char *)cert->facts.key_path);
	X509_free(cert->leaf);
	OSSL_STACK_OF_X509_free(cert->chain);
	key_free(cert->key);
	shared_fini(shared);
	free(cert);
}

static struct cert *cert_new(const struct cert_spec *spec)
{
	struct cert *cert = mem_zalloc(sizeof(*cert));

	shared_init(&cert->shared, 0, cert_free);
	cert->facts.name = mem_strdup(spec->name);
	cert->facts.cert_path = mem_strdup(spec->cert_path);
	cert->facts.key_path = mem_strdup(spec->key_path ? spec->key_path : spec->cert_path);
	cert->chain = sk_X509_new_null();
	return cert;
}

static int pem_ended(const char *path, int n_read, struct err *err)
{
	unsigned long error = ERR_peek_last_error();

	if (n_read && ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
		return 0;
	if (ERR_GET_REASON(error) == PEM_R_NO_START_LINE)
		return err_set(err, -EINVAL,
			"%s holds no certificate (no PEM block \"BEGIN CERTIFICATE\")", path);
	return err_set(err, -EINVAL, "certificate %d in %s is damaged", n_read + 1, path);
}

/* The leaf and what follows it, as the file has them. */
static int read_chain(struct cert *cert, struct err *err)
{
	const char *path = cert->facts.cert_path;
	uint8_t *bytes;
	size_t len;
	X509 *x509;
	BIO *bio;
	int n = 0, r;

	r = tls_file_read(path, &bytes, &len, err);
	if (r < 0)
		return r;
	bio = BIO_new_mem_buf(bytes, (int)len);
	ERR_clear_error();
	while (n <= CHAIN_MAX && (x509 = PEM_read_bio_X509(bio, NULL, NULL, NULL))) {
		if (n++ == 0)
			cert->leaf = x509;
		else if (!sk_X509_push(cert->chain, x509))
			X509_free(x509);
	}
	if (n > CHAIN_MAX)
		r = err_set(err, -EINVAL, "%s holds more than %d certificates", path, CHAIN_MAX);
	else
		r = pem_ended(path, n, err);
	BIO_free(bio);
	tls_file_free(bytes, len);
	ERR_clear_error();
	return r;
}

static int chain_broken(const char *path, int at, X509 *subject, X509 *issuer, struct err *err)
{
	char *of = cert_facts_name_text(X509_get_subject_name(subject));
	char *by = cert_facts_name_text(X509_get_subject_name(issuer));
	int r = err_set(err, -EINVAL,
		"the chain in %s is out of order: certificate %d (%s) did not sign certificate %d "
		"(%s); put the leaf first, then each one's issuer",
		path, at + 2, by, at + 1, of);

	free(of);
	free(by);
	return r;
}

static int check_chain(struct cert *cert, struct err *err)
{
	X509 *subject = cert->leaf, *issuer;
	int i;

	for (i = 0; i < sk_X509_num(cert->chain); i++) {
		issuer = sk_X509_value(cert->chain, i);
		if (X509_check_issued(issuer, subject) != X509_V_OK)
			return chain_broken(cert->facts.cert_path, i, subject, issuer, err);
		subject = issuer;
	}
	/* A root at the end is of no use to a client: it has it or does not trust it. */
	if (i && X509_self_signed(subject, 0) == 1)
		X509_free(sk_X509_pop(cert->chain));
	ERR_clear_error();
	cert->facts.n_chain = (uint32_t)sk_X509_num(cert->chain);
	return 0;
}

static int check_key(struct cert *cert, struct err *err)
{
	int i;

	if (key_matches(cert->key, cert->leaf))
		return 0;
	for (i = 0; i < sk_X509_num(cert->chain); i++)
		if (key_matches(cert->key, sk_X509_value(cert->chain, i)))
			return err_set(err, -EINVAL,
				"the key belongs to certificate %d in %s; put the leaf first, then "
				"each one's issuer",
				i + 2, cert->facts.cert_path);
	return err_set(err, -EINVAL, "the key in %s does not belong to the certificate in %s",
		cert->facts.key_path, cert->facts.cert_path);
}

int cert_load(const struct cert_spec *spec, struct cert **ret_cert, struct err *err)
{
	struct cert *cert = cert_new(spec);
	int r;

	r = read_chain(cert, err);
	if (r == 0)
		r = key_load(cert->facts.key_path, spec->password_path, &cert->key, err);
	if (r == 0)
		r = check_key(cert, err);
	if (r == 0)
		r = check_chain(cert, err);
	if (r < 0) {
		cert_put(cert);
		return err_context(err, r, "certificate %s", spec->name);
	}
	cert_facts_read(cert->leaf, &cert->facts);
	cert->facts.key_kind = key_kind(cert->key);
	cert->facts.key_bits = key_bits(cert->key);
	cert->facts.key_type = key_type_text(cert->key);
	*ret_cert = cert;
	return 0;
}

struct cert *cert_get(struct cert *cert)
{
	shared_get(&cert->shared);
	return cert;
}

void cert_put(struct cert *cert)
{
	shared_put(&cert->shared);
}

const struct cert_facts *cert_facts(const struct cert *cert)
{
	return &cert->facts;
}

bool cert_is_expired(const struct cert *cert, int64_t now_unix_s)
{
	return now_unix_s > cert->facts.not_after_unix_s;
}

bool cert_is_not_yet_valid(const struct cert *cert, int64_t now_unix_s)
{
	return now_unix_s < cert->facts.not_before_unix_s;
}

static const char *date_text(int64_t at_unix_s, char *ret_text, size_t size)
{
	time_t at = (time_t)at_unix_s;
	struct tm tm;

	strftime(ret_text, size, "%Y-%m-%d %H:%M UTC", gmtime_r(&at, &tm));
	return ret_text;
}

bool cert_warning(const struct cert *cert, int64_t now_unix_s, struct err *ret_text)
{
	const struct cert_facts *facts = &cert->facts;
	char date[32];

	if (cert_is_expired(cert, now_unix_s))
		err_set(ret_text, 0, "certificate %s (%s) expired on %s: renew it", facts->name,
			facts->cert_path, date_text(facts->not_after_unix_s, date, sizeof(date)));
	else if (cert_is_not_yet_valid(cert, now_unix_s))
		err_set(ret_text, 0, "certificate %s (%s) is not valid before %s", facts->name,
			facts->cert_path, date_text(facts->not_before_unix_s, date, sizeof(date)));
	else if (!facts->n_names)
		err_set(ret_text, 0,
			"certificate %s (%s) has no DNS name: it is served as a default only",
			facts->name, facts->cert_path);
	else
		return false;
	return true;
}

int cert_install(const struct cert *cert, struct ssl_st *ssl)
{
	return key_install(cert->key, ssl, cert->leaf, cert->chain);
}
