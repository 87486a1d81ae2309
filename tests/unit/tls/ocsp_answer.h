/*
 * OCSP responses for the tests, good and bad: about the certificate in www.crt of `pki`, which is the
 * including program's. Header only, because every test is a program of one file.
 */
#ifndef SLUICE_TESTS_UNIT_TLS_OCSP_ANSWER_H
#define SLUICE_TESTS_UNIT_TLS_OCSP_ANSWER_H

#include <openssl/ocsp.h>

enum { HOUR_S = 3600 };

/* A response and what is wrong with it; zeroed: nothing. */
struct answer {
	EVP_PKEY *by_key; /* NULL: the CA */
	X509 *by;
	X509 *about; /* NULL: www.crt */
	int status; /* V_OCSP_CERTSTATUS_ */
	const EVP_MD *hash; /* of the names; NULL: SHA-1 */
	long from_s, to_s; /* relative to now; 0, 0: an hour ago to in an hour */
	bool is_endless;
};

static inline X509 *read_cert(const char *file)
{
	FILE *in = fopen(pki_path(&pki, file), "re");
	X509 *x509;

	assert_non_null(in);
	x509 = PEM_read_X509(in, NULL, NULL, NULL);
	assert_non_null(x509);
	fclose(in);
	return x509;
}

static inline size_t answer_der(const struct answer *answer, uint8_t **ret_der)
{
	X509 *own = answer->about ? NULL : read_cert("www.crt");
	long from_s = answer->from_s || answer->to_s ? answer->from_s : -HOUR_S;
	long to_s = answer->from_s || answer->to_s ? answer->to_s : HOUR_S;
	ASN1_TIME *this = X509_gmtime_adj(NULL, from_s), *next = X509_gmtime_adj(NULL, to_s);
	ASN1_TIME *at = X509_gmtime_adj(NULL, -HOUR_S);
	OCSP_CERTID *id = OCSP_cert_to_id(answer->hash ?: EVP_sha1(), answer->about ?: own, pki.ca);
	OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
	OCSP_RESPONSE *response;
	int len;

	assert_non_null(
		OCSP_basic_add1_status(basic, id, answer->status, OCSP_REVOKED_STATUS_NOSTATUS,
			answer->status == V_OCSP_CERTSTATUS_REVOKED ? at : NULL, this,
			answer->is_endless ? NULL : next));
	assert_true(OCSP_basic_sign(
		basic, answer->by ?: pki.ca, answer->by_key ?: pki.ca_key, EVP_sha256(), NULL, 0));
	response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	*ret_der = NULL;
	len = i2d_OCSP_RESPONSE(response, ret_der);
	assert_true(len > 0);
	OCSP_RESPONSE_free(response);
	OCSP_BASICRESP_free(basic);
	OCSP_CERTID_free(id);
	ASN1_TIME_free(this);
	ASN1_TIME_free(next);
	ASN1_TIME_free(at);
	X509_free(own);
	return (size_t)len;
}

/* With its CA behind it, which lets ask `responder`; "must...": it must be stapled. */
static inline void issue_asking(const char *file, const char *responder)
{
	struct pki_request request = {.file = file, .sans = "DNS:www.test", .append = "ca.crt"};
	char crt[64], access[128];
	X509 *x509;
	EVP_PKEY *key;
	FILE *out;

	pki_issue(&pki, &request); /* for its key */
	snprintf(crt, sizeof(crt), "%s.key", file);
	out = fopen(pki_path(&pki, crt), "re");
	key = PEM_read_PrivateKey(out, NULL, NULL, NULL);
	fclose(out);
	x509 = pki_cert(&pki, key, &request);
	snprintf(access, sizeof(access), "OCSP;URI:%s", responder);
	pki_extension(x509, pki.ca, NID_info_access, access);
	if (!strncmp(file, "must", 4))
		pki_extension(x509, pki.ca, NID_tlsfeature, "status_request");
	assert_true(X509_sign(x509, pki.ca_key, EVP_sha256()) > 0);
	snprintf(crt, sizeof(crt), "%s.crt", file);
	out = fopen(pki_path(&pki, crt), "we");
	assert_true(PEM_write_X509(out, x509) && PEM_write_X509(out, pki.ca));
	fclose(out);
	X509_free(x509);
	EVP_PKEY_free(key);
}

#endif
