/* The certificate of the fuzzers that speak TLS, made anew by each of them. */
#ifndef SLUICE_TESTS_FUZZ_CERT_H
#define SLUICE_TESTS_FUZZ_CERT_H

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static inline void must(bool is_so)
{
	if (!is_so)
		abort();
}

/* Certificate and key as PEM into a new file: `path` ends in XXXXXX, and is its name afterwards. */
static inline void make_cert(char *path)
{
	FILE *out = fdopen(mkstemp(path), "w");
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *x509 = X509_new();

	must(out && key && x509);
	X509_gmtime_adj(X509_getm_notBefore(x509), 0);
	X509_gmtime_adj(X509_getm_notAfter(x509), 86400);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(x509), "CN", MBSTRING_UTF8,
		(const uint8_t *)"www.test", -1, -1, 0);
	X509_set_issuer_name(x509, X509_get_subject_name(x509));
	X509_set_pubkey(x509, key);
	must(X509_sign(x509, key, EVP_sha256()) > 0);
	must(PEM_write_X509(out, x509) &&
		PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	fclose(out);
	X509_free(x509);
	EVP_PKEY_free(key);
}

#endif
