/*
 * Certificates for the tests of tls/: made with OpenSSL's API in a folder of the test, signed by a
 * CA of the test. Header only, because every test is a program of one file. Fails by assertion.
 */
#ifndef SLUICE_TESTS_UNIT_TLS_PKI_H
#define SLUICE_TESTS_UNIT_TLS_PKI_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PKI_DAY_S ((int64_t)86400)

struct pki {
	char dir[64];
	EVP_PKEY *ca_key;
	X509 *ca;
	long serial;
	char paths[64][128]; /* ring of texts that pki_path() returns */
	unsigned int next_path;
};

struct pki_request {
	const char *file;    /* FILE.crt and FILE.key are written */
	const char *cn;      /* NULL: "test" */
	const char *sans;    /* "DNS:a,DNS:*.b"; NULL: no SAN */
	const char *key;     /* "P-256" (default), "P-384", "RSA-2048", "RSA-1024", "ED25519" */
	const char *hash;    /* of the CA's signature; NULL: SHA256 */
	int64_t from_s, to_s; /* relative to now; 0, 0: yesterday to in 90 days */
	const char *append;  /* file whose content follows in FILE.crt ("ca.crt") */
	const char *password; /* encrypts FILE.key */
};

static inline const char *pki_path(struct pki *pki, const char *file)
{
	char *path = pki->paths[pki->next_path++ % 64];

	snprintf(path, sizeof(pki->paths[0]), "%s/%s", pki->dir, file);
	return path;
}

static inline void pki_write(struct pki *pki, const char *file, const char *text)
{
	FILE *out = fopen(pki_path(pki, file), "we");

	assert_non_null(out);
	assert_true(fputs(text, out) >= 0);
	assert_int_equal(fclose(out), 0);
}

static inline EVP_PKEY *pki_key(const char *kind)
{
	EVP_PKEY *key;

	if (!kind || kind[0] == 'P')
		key = EVP_EC_gen(kind ? kind : "P-256");
	else if (kind[0] == 'R')
		key = EVP_RSA_gen((unsigned int)atoi(kind + 4));
	else
		key = EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
	assert_non_null(key);
	return key;
}

static inline void pki_extension(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	assert_non_null(extension);
	assert_true(X509_add_ext(cert, extension, -1));
	X509_EXTENSION_free(extension);
}

static inline X509 *pki_cert(struct pki *pki, EVP_PKEY *key, const struct pki_request *request)
{
	X509 *cert = X509_new(), *issuer = pki->ca ? pki->ca : cert;
	int64_t from = request->from_s, to = request->to_s;
	X509_NAME *name = X509_get_subject_name(cert);
	time_t now = time(NULL);

	if (!from && !to) {
		from = -PKI_DAY_S;
		to = 90 * PKI_DAY_S;
	}
	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), ++pki->serial);
	X509_time_adj_ex(X509_getm_notBefore(cert), 0, (long)from, &now);
	X509_time_adj_ex(X509_getm_notAfter(cert), 0, (long)to, &now);
	X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8,
		(const uint8_t *)(request->cn ? request->cn : "test"), -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer));
	X509_set_pubkey(cert, key);
	pki_extension(cert, issuer, NID_basic_constraints,
		pki->ca ? "critical,CA:FALSE" : "critical,CA:TRUE");
	if (request->sans)
		pki_extension(cert, issuer, NID_subject_alt_name, request->sans);
	assert_true(X509_sign(cert, pki->ca ? pki->ca_key : key,
			    EVP_get_digestbyname(request->hash ? request->hash : "SHA256")) > 0);
	return cert;
}

static inline void pki_append(struct pki *pki, FILE *out, const char *file)
{
	FILE *in = fopen(pki_path(pki, file), "re");
	char bytes[16384];
	size_t len;

	assert_non_null(in);
	len = fread(bytes, 1, sizeof(bytes), in);
	assert_int_equal(fwrite(bytes, 1, len, out), len);
	fclose(in);
}

/* Writes FILE.crt and FILE.key. */
static inline void pki_issue(struct pki *pki, const struct pki_request *request)
{
	EVP_PKEY *key = pki_key(request->key);
	X509 *cert = pki_cert(pki, key, request);
	char file[64];
	FILE *out;

	snprintf(file, sizeof(file), "%s.crt", request->file);
	out = fopen(pki_path(pki, file), "we");
	assert_non_null(out);
	assert_true(PEM_write_X509(out, cert));
	if (request->append)
		pki_append(pki, out, request->append);
	fclose(out);
	snprintf(file, sizeof(file), "%s.key", request->file);
	out = fopen(pki_path(pki, file), "we");
	assert_non_null(out);
	assert_true(PEM_write_PrivateKey(out, key, request->password ? EVP_aes_256_cbc() : NULL,
		NULL, 0, NULL, (void *)request->password));
	fclose(out);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static inline void pki_init(struct pki *pki)
{
	struct pki_request ca = {.file = "ca", .cn = "Test CA"};
	FILE *out;

	*pki = (struct pki){.dir = "/tmp/sluice-test-tls-XXXXXX"};
	assert_non_null(mkdtemp(pki->dir));
	pki->ca_key = pki_key("P-256");
	pki->ca = pki_cert(pki, pki->ca_key, &ca);
	out = fopen(pki_path(pki, "ca.crt"), "we");
	assert_non_null(out);
	assert_true(PEM_write_X509(out, pki->ca));
	fclose(out);
}

static inline void pki_fini(struct pki *pki)
{
	char command[128];

	X509_free(pki->ca);
	EVP_PKEY_free(pki->ca_key);
	snprintf(command, sizeof(command), "rm -rf '%s'", pki->dir);
	assert_int_equal(system(command), 0);
}

#endif
