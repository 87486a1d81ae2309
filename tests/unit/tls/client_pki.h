/*
 * CAs, certificates of clients and CRLs for the tests of trust stores: made with OpenSSL's API,
 * written as PEM below the folder of pki.h. Header only, because every test is a program of one
 * file.
 */
#ifndef SLUICE_TESTS_UNIT_TLS_CLIENT_PKI_H
#define SLUICE_TESTS_UNIT_TLS_CLIENT_PKI_H

#include "pki.h"

#include <stdbool.h>

struct identity {
	X509 *cert;
	EVP_PKEY *key;
};

struct identity_request {
	const char *cn;
	const struct identity *issuer; /* NULL: itself */
	const char *
		constraints; /* NULL: "critical,CA:TRUE" without an issuer, "critical,CA:FALSE" with */
	const char *usage; /* keyUsage; NULL: no such extension */
	const char *extended_usage; /* NULL: no such extension */
	const char *key; /* as in pki_key() */
	int64_t from_s, to_s; /* relative to now; 0, 0: yesterday to in 90 days */
	long serial; /* 0: the next one */
	bool is_v1;
	int fill_bytes; /* of a comment, to make it large */
};

static inline void identity_fill(X509 *cert, int bytes)
{
	char *text = malloc((size_t)bytes + 1);

	memset(text, 'x', (size_t)bytes);
	text[bytes] = '\0';
	pki_extension(cert, cert, NID_netscape_comment, text);
	free(text);
}

static inline struct identity identity_new(const struct identity_request *request)
{
	static long serial = 1000;
	struct identity made = {X509_new(), pki_key(request->key)};
	const struct identity *issuer = request->issuer ? request->issuer : &made;
	int64_t from = request->from_s, to = request->to_s;
	time_t now = time(NULL);

	if (!from && !to) {
		from = -PKI_DAY_S;
		to = 90 * PKI_DAY_S;
	}
	X509_set_version(made.cert, request->is_v1 ? X509_VERSION_1 : X509_VERSION_3);
	ASN1_INTEGER_set(
		X509_get_serialNumber(made.cert), request->serial ? request->serial : ++serial);
	X509_time_adj_ex(X509_getm_notBefore(made.cert), 0, (long)from, &now);
	X509_time_adj_ex(X509_getm_notAfter(made.cert), 0, (long)to, &now);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(made.cert), "CN", MBSTRING_UTF8,
		(const uint8_t *)request->cn, -1, -1, 0);
	X509_set_issuer_name(made.cert, X509_get_subject_name(issuer->cert));
	X509_set_pubkey(made.cert, made.key);
	if (!request->is_v1) {
		const char *constraints = request->constraints;

		if (!constraints)
			constraints = request->issuer ? "critical,CA:FALSE" : "critical,CA:TRUE";
		if (*constraints)
			pki_extension(made.cert, issuer->cert, NID_basic_constraints, constraints);
		if (request->usage)
			pki_extension(made.cert, issuer->cert, NID_key_usage, request->usage);
		if (request->extended_usage)
			pki_extension(made.cert, issuer->cert, NID_ext_key_usage,
				request->extended_usage);
		if (request->fill_bytes)
			identity_fill(made.cert, request->fill_bytes);
	}
	assert_true(X509_sign(made.cert, issuer->key, EVP_sha256()) > 0);
	return made;
}

static inline void identity_free(struct identity *identity)
{
	X509_free(identity->cert);
	EVP_PKEY_free(identity->key);
	*identity = (struct identity){0};
}

/* Writes certificates one after the other; the list ends in NULL. Returns the path. */
static inline const char *write_certs(struct pki *into, const char *file, X509 *const *certs)
{
	const char *path = pki_path(into, file);
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	for (; *certs; certs++)
		assert_true(PEM_write_X509(out, *certs));
	assert_int_equal(fclose(out), 0);
	return path;
}

struct crl_request {
	const struct identity *issuer;
	EVP_PKEY *key; /* NULL: the issuer's */
	const long *serials; /* ends in 0; NULL: none */
	int64_t from_s, to_s; /* relative to now; 0, 0: yesterday to in 7 days; to_s -1: none */
	int nid; /* of an extension more; 0: none */
	const char *extension;
};

static inline X509_CRL *crl_new(const struct crl_request *request)
{
	X509_CRL *crl = X509_CRL_new();
	int64_t from = request->from_s, to = request->to_s;
	const long *serial;
	ASN1_TIME *time_at;
	time_t now = time(NULL);

	if (!from && !to) {
		from = -PKI_DAY_S;
		to = 7 * PKI_DAY_S;
	}
	X509_CRL_set_version(crl, X509_CRL_VERSION_2);
	X509_CRL_set_issuer_name(crl, X509_get_subject_name(request->issuer->cert));
	time_at = X509_time_adj_ex(NULL, 0, (long)from, &now);
	X509_CRL_set1_lastUpdate(crl, time_at);
	if (to != -1) {
		X509_time_adj_ex(time_at, 0, (long)to, &now);
		X509_CRL_set1_nextUpdate(crl, time_at);
	}
	X509_time_adj_ex(time_at, 0, -60, &now);
	for (serial = request->serials; serial && *serial; serial++) {
		X509_REVOKED *revoked = X509_REVOKED_new();
		ASN1_INTEGER *number = ASN1_INTEGER_new();

		ASN1_INTEGER_set(number, *serial);
		X509_REVOKED_set_serialNumber(revoked, number);
		X509_REVOKED_set_revocationDate(revoked, time_at);
		X509_CRL_add0_revoked(crl, revoked);
		ASN1_INTEGER_free(number);
	}
	ASN1_TIME_free(time_at);
	if (request->nid) {
		X509_EXTENSION *more =
			X509V3_EXT_conf_nid(NULL, NULL, request->nid, request->extension);

		assert_non_null(more);
		X509_CRL_add_ext(crl, more, -1);
		X509_EXTENSION_free(more);
	}
	X509_CRL_sort(crl);
	assert_true(X509_CRL_sign(crl, request->key ? request->key : request->issuer->key,
			    EVP_sha256()) > 0);
	return crl;
}

/* Writes it as PEM and frees it. Returns the path. */
static inline const char *write_crl(struct pki *into, const char *file, X509_CRL *crl)
{
	const char *path = pki_path(into, file);
	FILE *out = fopen(path, "we");

	assert_non_null(out);
	assert_true(PEM_write_X509_CRL(out, crl));
	assert_int_equal(fclose(out), 0);
	X509_CRL_free(crl);
	return path;
}

#endif
