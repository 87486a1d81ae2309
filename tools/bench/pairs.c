/*
 * pairs DIRECTORY COUNT: makes COUNT pairs of an ECDSA P-256 key and a certificate for
 * "cNNNNNN.example.test", signed by one CA, as DIRECTORY/cNNNNNN.crt and .key, and the CA as
 * DIRECTORY/../ca.crt. Files that are there stay: a second run with a larger COUNT adds to them,
 * signed by another CA. One process, no threads; what the bench measures is elsewhere.
 */
#include <errno.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DAY_S = 86400, LIFE_DAYS = 3650 };

static void must(bool is_so, const char *what)
{
	if (is_so)
		return;
	fprintf(stderr, "pairs: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void extend(X509 *cert, X509 *issuer, int nid, const char *value)
{
	X509V3_CTX ctx;
	X509_EXTENSION *extension;

	X509V3_set_ctx(&ctx, issuer, cert, NULL, NULL, 0);
	extension = X509V3_EXT_conf_nid(NULL, &ctx, nid, value);
	must(extension && X509_add_ext(cert, extension, -1), "extension");
	X509_EXTENSION_free(extension);
}

/* `issuer` NULL: of itself. */
static X509 *make_cert(
	EVP_PKEY *key, const char *name, long serial, X509 *issuer, EVP_PKEY *issuer_key)
{
	X509 *cert = X509_new();
	char san[128];

	X509_set_version(cert, X509_VERSION_3);
	ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
	X509_gmtime_adj(X509_getm_notBefore(cert), -DAY_S);
	X509_gmtime_adj(X509_getm_notAfter(cert), (long)LIFE_DAYS * DAY_S);
	X509_NAME_add_entry_by_txt(X509_get_subject_name(cert), "CN", MBSTRING_UTF8,
		(const unsigned char *)name, -1, -1, 0);
	X509_set_issuer_name(cert, X509_get_subject_name(issuer ? issuer : cert));
	X509_set_pubkey(cert, key);
	if (issuer) {
		snprintf(san, sizeof(san), "DNS:%s", name);
		extend(cert, issuer, NID_subject_alt_name, san);
	} else {
		extend(cert, cert, NID_basic_constraints, "critical,CA:TRUE");
		extend(cert, cert, NID_key_usage, "critical,keyCertSign,cRLSign");
	}
	must(X509_sign(cert, issuer_key, EVP_sha256()) > 0, "signature");
	return cert;
}

static void write_pair(const char *directory, long number, X509 *ca, EVP_PKEY *ca_key)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	char path[512], name[64];
	X509 *cert;
	FILE *out;

	snprintf(path, sizeof(path), "%s/c%06ld.crt", directory, number);
	if (access(path, F_OK) == 0) {
		EVP_PKEY_free(key);
		return;
	}
	snprintf(name, sizeof(name), "c%06ld.example.test", number);
	cert = make_cert(key, name, number + 2, ca, ca_key);
	out = fopen(path, "we");
	must(out && PEM_write_X509(out, cert) && fclose(out) == 0, path);
	snprintf(path, sizeof(path), "%s/c%06ld.key", directory, number);
	out = fopen(path, "we");
	must(out && PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL) && fclose(out) == 0,
		path);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void write_ca(const char *directory, X509 *ca)
{
	char path[512];
	FILE *out;

	snprintf(path, sizeof(path), "%s/../ca.crt", directory);
	out = fopen(path, "we");
	must(out && PEM_write_X509(out, ca) && fclose(out) == 0, path);
}

int main(int argc, char **argv)
{
	EVP_PKEY *ca_key;
	long i, count;
	X509 *ca;

	if (argc != 3 || (count = strtol(argv[2], NULL, 10)) < 1) {
		fprintf(stderr, "usage: pairs DIRECTORY COUNT\n");
		return 2;
	}
	umask(077);
	must(mkdir(argv[1], 0700) == 0 || errno == EEXIST, argv[1]);
	ca_key = EVP_EC_gen("P-256");
	ca = make_cert(ca_key, "sluice bench CA", 1, NULL, ca_key);
	for (i = 0; i < count; i++)
		write_pair(argv[1], i, ca, ca_key);
	write_ca(argv[1], ca);
	X509_free(ca);
	EVP_PKEY_free(ca_key);
	return 0;
}
