/* Loading of certificates and keys: facts, and the exact words of each refusal. */
#include "pki.h"

#include "core/attr.h"
#include "tls/cert.h"
#include <errno.h>
#include <openssl/ssl.h>

static struct pki pki;

static int setup(void **state)
{
	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "www",
				.cn = "www.example.com",
				.sans = "DNS:WWW.example.com,DNS:*.Example.com,IP:192.0.2.1",
				.append = "ca.crt"});
	pki_issue(&pki, &(struct pki_request){.file = "other", .cn = "other.example.com"});
	return 0;
}

static int teardown(void **state)
{
	pki_fini(&pki);
	return 0;
}

static struct cert *load(const char *crt, const char *key)
{
	struct cert_spec spec = {
		.name = "main", .cert_path = pki_path(&pki, crt), .key_path = pki_path(&pki, key)};
	struct cert *cert = NULL;
	struct err err = {""};
	int r = cert_load(&spec, &cert, &err);

	assert_string_equal(err.text, "");
	assert_int_equal(r, 0);
	return cert;
}

static void expect_error(
	const char *crt, const char *key, const char *password, int code, const char *format)
{
	struct cert_spec spec = {.name = "main",
		.cert_path = pki_path(&pki, crt),
		.key_path = key ? pki_path(&pki, key) : NULL,
		.password.path = password ? pki_path(&pki, password) : NULL};
	struct cert *cert = NULL;
	char expected[ERR_TEXT_BYTES];
	struct err err = {""};

	assert_int_equal(cert_load(&spec, &cert, &err), code);
	assert_null(cert);
	snprintf(expected, sizeof(expected), format, pki.dir, pki.dir);
	assert_string_equal(err.text, expected);
}

/* "a, b" */
static const char *names_of(const struct cert *cert)
{
	static char text[1024];
	struct slice name;
	uint32_t cursor = 0;
	size_t len = 0;

	text[0] = '\0';
	while (cert_next_name(cert, &cursor, &name))
		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%.*s", len ? ", " : "",
			(int)name.len, name.ptr);
	return text;
}

static void test_facts(void **state)
{
	struct cert *cert = load("www.crt", "www.key");
	const struct cert_facts *facts = cert_facts(cert);
	struct cert_description texts;
	struct err warning = {""};

	assert_int_equal(facts->n_names, 2);
	assert_string_equal(names_of(cert), "www.example.com, *.example.com");
	assert_int_equal(facts->signature_scheme, 0x0403);
	assert_int_equal(facts->key_kind, KEY_ECDSA);
	assert_int_equal(facts->key_bits, 256);
	assert_int_equal(facts->hash_bits, 256);
	assert_true(llabs(facts->not_after_unix_s - time(NULL) - 90 * PKI_DAY_S) < 60);
	assert_false(cert_warning(cert, time(NULL), &warning));
	assert_int_equal(cert_state(cert), CERT_GOOD);
	cert_describe(cert, &texts);
	assert_string_equal(texts.name, "main");
	assert_string_equal(texts.cert_path, pki_path(&pki, "www.crt"));
	assert_string_equal(texts.key_path, pki_path(&pki, "www.key"));
	assert_string_equal(texts.subject, "CN=www.example.com");
	assert_string_equal(texts.issuer, "CN=Test CA");
	assert_string_equal(texts.serial_hex, "02");
	assert_string_equal(texts.key_type, "ECDSA P-256");
	assert_string_equal(texts.signature, "ecdsa-with-SHA256");
	assert_int_equal(texts.n_chain, 0); /* the root is not sent */
	assert_int_equal(texts.n_scts, 0);
	assert_int_equal(strlen(texts.fingerprint_sha256), 64);
	cert_description_fini(&texts);
	cert_put(cert);
}

static void test_common_name_only_without_san(void **state)
{
	struct cert *cert = load("other.crt", "other.key");

	assert_string_equal(names_of(cert), "other.example.com");
	cert_put(cert);
}

static void test_kinds_of_keys(void **state)
{
	static const char *const kinds[][2] = {
		{"RSA-2048", "RSA 2048"}, {"P-384", "ECDSA P-384"}, {"ED25519", "Ed25519"}};
	size_t i;

	for (i = 0; i < 3; i++) {
		pki_issue(&pki, &(struct pki_request){.file = "kind", .key = kinds[i][0]});
		struct cert *cert = load("kind.crt", "kind.key");
		struct cert_description texts;

		cert_describe(cert, &texts);
		assert_string_equal(texts.key_type, kinds[i][1]);
		cert_description_fini(&texts);
		cert_put(cert);
	}
}

/* The forms in which openssl writes ECDSA keys: each signs for its certificate and no other. */
static void test_forms_of_ecdsa_keys(void **state)
{
	static const char *const curves[] = {"P-256", "P-384", "P-521"};
	static const char *const forms[] = {
		"pkcs8 -topk8 -nocrypt", "ec", "ec -no_public", "ec -conv_form compressed"};
	char command[512];
	size_t i, form;

	for (i = 0; i < array_len(curves); i++)
		for (form = 0; form < array_len(forms); form++) {
			pki_issue(&pki, &(struct pki_request){.file = "form", .key = curves[i]});
			snprintf(command, sizeof(command),
				"cd %s && openssl %s -in form.key -out other-form.key 2>/dev/null",
				pki.dir, forms[form]);
			assert_int_equal(system(command), 0);
			struct cert *cert = load("form.crt", "other-form.key");

			assert_int_equal(cert_facts(cert)->key_kind, KEY_ECDSA);
			cert_put(cert);
			expect_error("www.crt", "other-form.key", NULL, -EINVAL,
				"certificate main: the key in %s/other-form.key does not belong to "
				"the certificate in %s/www.crt");
		}
}

/* A pair of a directory, whose key nobody looks at before it is needed. */
static void test_read_unchecked(void **state)
{
	struct cert_source *source = cert_source_new("shop", pki.dir, NULL);
	char name[CERT_NAME_BYTES];
	struct cert *cert;
	struct err err;

	assert_int_equal(cert_read(source, "www.crt", "www.key", &cert, &err), 0);
	assert_int_equal(cert_state(cert), CERT_UNCHECKED);
	assert_string_equal(cert_name(cert, name), "shop/www");
	assert_int_equal(cert_check(cert, &err), 0);
	assert_int_equal(cert_state(cert), CERT_GOOD);
	/* what a small ECDSA pair costs, all in */
	assert_in_range(cert_bytes(cert), 300, 900);
	cert_put(cert);
	assert_int_equal(cert_read(source, "www.crt", "other.key", &cert, &err), 0);
	assert_int_equal(cert_state(cert), CERT_UNCHECKED);
	assert_int_equal(cert_check(cert, &err), -EINVAL);
	assert_int_equal(cert_state(cert), CERT_BAD);
	assert_non_null(strstr(err.text, "other.key does not belong to the certificate in"));
	cert_put(cert);
	cert_source_put(source);
}

static void test_unreadable(void **state)
{
	expect_error("none.crt", "www.key", NULL, -ENOENT,
		"certificate main: cannot read %s/none.crt: No such file or directory");
	expect_error("www.crt", "none.key", NULL, -ENOENT,
		"certificate main: cannot read %s/none.key: No such file or directory");
	expect_error(
		"", "www.key", NULL, -EISDIR, "certificate main: cannot read %s/: Is a directory");
}

static void test_no_pem(void **state)
{
	pki_write(&pki, "text.pem", "this is no certificate\n");
	expect_error("text.pem", "www.key", NULL, -EINVAL,
		"certificate main: %s/text.pem holds no certificate (no PEM block \"BEGIN "
		"CERTIFICATE\")");
	expect_error("www.crt", "text.pem", NULL, -EINVAL,
		"certificate main: %s/text.pem holds no private key (no PEM block \"BEGIN ... "
		"PRIVATE KEY\")");
	pki_write(&pki, "cut.pem", "-----BEGIN CERTIFICATE-----\nMIIB\n");
	expect_error("cut.pem", "www.key", NULL, -EINVAL,
		"certificate main: certificate 1 in %s/cut.pem is damaged");
	/* Without a key path the key is expected beside the certificate. */
	expect_error("www.crt", NULL, NULL, -EINVAL,
		"certificate main: %s/www.crt holds no private key (no PEM block \"BEGIN ... "
		"PRIVATE KEY\")");
}

static void test_mismatch(void **state)
{
	expect_error("www.crt", "other.key", NULL, -EINVAL,
		"certificate main: the key in %s/other.key does not belong to the certificate in "
		"%s/www.crt");
}

static void test_chain_order(void **state)
{
	pki_issue(&pki, &(struct pki_request){
				.file = "wrong", .cn = "wrong.example.com", .append = "other.crt"});
	expect_error("wrong.crt", "wrong.key", NULL, -EINVAL,
		"certificate main: the chain in %s/wrong.crt is out of order: certificate 2 "
		"(CN=other.example.com) is not the issuer of certificate 1 (CN=wrong.example.com); put the "
		"leaf first, then each one's issuer");
	expect_error("wrong.crt", "other.key", NULL, -EINVAL,
		"certificate main: the key belongs to certificate 2 in %s/wrong.crt; put the leaf "
		"first, then each one's issuer");
}

static void test_weak_key(void **state)
{
	pki_issue(&pki, &(struct pki_request){.file = "weak", .key = "RSA-1024"});
	expect_error("weak.crt", "weak.key", NULL, -EINVAL,
		"certificate main: the RSA key in %s/weak.key has 1024 bits; 2048 to 8192 are "
		"allowed");
}

static void test_password(void **state)
{
	struct cert_spec spec = {.name = "main"};
	struct cert *cert;
	struct err err;

	pki_issue(&pki, &(struct pki_request){.file = "locked", .password = "open sesame"});
	pki_write(&pki, "right", "open sesame\n");
	pki_write(&pki, "wrong", "close sesame\n");
	pki_write(&pki, "empty", "");
	expect_error("locked.crt", "locked.key", NULL, -EINVAL,
		"certificate main: the key in %s/locked.key is encrypted: say where its password "
		"is (key_password_file, key_password_env or key_password_command)");
	expect_error("locked.crt", "locked.key", "wrong", -EINVAL,
		"certificate main: the password does not open the key in %s/locked.key");
	expect_error("locked.crt", "locked.key", "empty", -EINVAL,
		"certificate main: password of the key: the first line of %s/empty must be the password (1 to 1024 "
		"bytes)");
	spec.cert_path = pki_path(&pki, "locked.crt");
	spec.key_path = pki_path(&pki, "locked.key");
	spec.password.path = pki_path(&pki, "right");
	assert_int_equal(cert_load(&spec, &cert, &err), 0);
	cert_put(cert);
}

static void test_expired_is_a_warning(void **state)
{
	struct err warning = {""};
	struct cert *cert;

	pki_issue(&pki, &(struct pki_request){.file = "old",
				.cn = "old.example.com",
				.from_s = -20 * PKI_DAY_S,
				.to_s = -10 * PKI_DAY_S});
	cert = load("old.crt", "old.key");
	assert_true(cert_is_expired(cert, time(NULL)));
	assert_true(cert_warning(cert, time(NULL), &warning));
	assert_non_null(strstr(warning.text, "certificate main ("));
	assert_non_null(strstr(warning.text, "old.crt) expired on 20"));
	assert_non_null(strstr(warning.text, ": renew it"));
	cert_put(cert);
}

/* A certificate "LEAF" of an intermediate, signed with that hash by the CA of the test. */
static void issue_below(const char *file, const char *sub_hash, const char *sub_key)
{
	char chain[64];
	EVP_PKEY *ca_key = pki.ca_key, *key;
	X509 *ca = pki.ca, *sub;
	FILE *out;

	key = pki_key(sub_key);
	sub = pki_cert(&pki, key, &(struct pki_request){.cn = "Sub CA", .hash = sub_hash});
	snprintf(chain, sizeof(chain), "%s-sub.crt", file);
	out = fopen(pki_path(&pki, chain), "we");
	assert_non_null(out);
	assert_true(PEM_write_X509(out, sub));
	fclose(out);
	pki.ca = sub;
	pki.ca_key = key;
	pki_issue(&pki, &(struct pki_request){.file = file, .sans = "DNS:a.test", .append = chain});
	pki.ca = ca;
	pki.ca_key = ca_key;
	X509_free(sub);
	EVP_PKEY_free(key);
}

static struct cert *load_pair(const char *stem)
{
	char crt[64], key[64];

	snprintf(crt, sizeof(crt), "%s.crt", stem);
	snprintf(key, sizeof(key), "%s.key", stem);
	return load(crt, key);
}

static void expect_strength(const char *file, uint16_t bits, const char *text)
{
	struct cert *cert = load_pair(file);
	struct err err = {""};

	assert_int_equal(cert_facts(cert)->security_bits, bits);
	assert_int_equal(cert_check_strength(cert, bits, &err), 0);
	if (text) {
		assert_int_equal(cert_check_strength(cert, 112, &err), -EKEYREJECTED);
		if (!strstr(err.text, text))
			fail_msg("%s: %s", text, err.text);
	}
	cert_put(cert);
}

/* The weakest of what is sent: OpenSSL takes none of it into a handshake otherwise. */
static void test_strength(void **state)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	static const char *const files[] = {"weak", "below", "below2"};
	struct cert_parsed parsed;
	struct cert *cert;
	struct err err;
	size_t i;
	SSL *ssl;

	pki_issue(&pki, &(struct pki_request){.file = "strong", .append = "ca.crt"});
	pki_issue(&pki, &(struct pki_request){.file = "weak", .hash = "SHA1"});
	issue_below("below", "SHA1", NULL);
	issue_below("below2", "SHA256", "RSA-1024");
	expect_strength("strong", 128, NULL);
	expect_strength("weak", 63, "the signature on certificate 1 in ");
	expect_strength("below", 63, "the signature on certificate 2 in ");
	expect_strength("below2", 80, "the key of certificate 2 in ");
	SSL_CTX_set_security_level(ctx, 2);
	for (i = 0; i < array_len(files); i++) { /* what this is about */
		cert = load_pair(files[i]);
		ssl = SSL_new(ctx);
		assert_int_equal(cert_parse(cert, &parsed, &err), 0);
		assert_int_equal(cert_install(&parsed, ssl), -EINVAL);
		cert_parsed_fini(&parsed);
		SSL_free(ssl);
		cert_put(cert);
	}
	SSL_CTX_free(ctx);
}

/* FILE.crt of a new key; `san` as it is in the extension. */
static void issue_with_san(const char *file, const uint8_t *san, int len)
{
	EVP_PKEY *key = pki_key(NULL);
	X509 *cert = pki_cert(&pki, key, &(struct pki_request){.cn = "cn.test"});
	ASN1_OCTET_STRING *value = ASN1_OCTET_STRING_new();
	X509_EXTENSION *extension;
	char path[64];
	FILE *out;

	assert_true(ASN1_OCTET_STRING_set(value, san, len));
	extension = X509_EXTENSION_create_by_NID(NULL, NID_subject_alt_name, 0, value);
	assert_true(X509_add_ext(cert, extension, -1));
	assert_true(X509_sign(cert, pki.ca_key, EVP_sha256()) > 0);
	snprintf(path, sizeof(path), "%s.crt", file);
	out = fopen(pki_path(&pki, path), "we");
	assert_non_null(out);
	assert_true(PEM_write_X509(out, cert));
	assert_true(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	fclose(out);
	X509_EXTENSION_free(extension);
	ASN1_OCTET_STRING_free(value);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* No client looks at the CN of such a one; and so many names would take the loader's time. */
static void test_damaged_and_endless_names(void **state)
{
	static uint8_t many[4 + 9 * 5000];
	size_t i, len = sizeof(many) - 4;
	char name[8];

	issue_with_san("damaged", (const uint8_t *)"\x30\x05\x82\x09x", 5);
	expect_error("damaged.crt", NULL, NULL, -EINVAL,
		"certificate main: the alternative names (SAN) in the certificate are damaged, or "
		"there twice");
	memcpy(many, (uint8_t[]){0x30, 0x82, (uint8_t)(len >> 8), (uint8_t)len}, 4);
	for (i = 0; i < 5000; i++) {
		snprintf(name, sizeof(name), "n%04zu.t", i);
		memcpy(many + 4 + 9 * i, "\x82\x07", 2);
		memcpy(many + 6 + 9 * i, name, 7);
	}
	issue_with_san("many", many, sizeof(many));
	expect_error("many.crt", NULL, NULL, -E2BIG,
		"certificate main: the certificate has more than 4096 names");
}

/* The public half in the file is right, the private one is not: no handshake would succeed. */
static void test_key_with_a_wrong_half(void **state)
{
	EVP_PKEY *key = pki_key(NULL);
	X509 *cert = pki_cert(&pki, key, &(struct pki_request){.cn = "half.test"});
	uint8_t *der = NULL;
	FILE *out = fopen(pki_path(&pki, "half.crt"), "we");
	int len = i2d_PrivateKey(key, &der);

	assert_non_null(out);
	assert_in_range(len, 64, 512);
	der[20] ^= 1; /* of the 32 bytes from 7 on */
	assert_true(PEM_write_X509(out, cert));
	assert_true(PEM_write(out, "EC PRIVATE KEY", "", der, len));
	fclose(out);
	expect_error("half.crt", NULL, NULL, -EINVAL,
		"certificate main: the private key in %s/half.crt is damaged: it is not that of its "
		"public key");
	OPENSSL_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
}

/* Each part of it but the modulus, which the certificate has, too. */
static void test_rsa_key_with_wrong_parts(void **state)
{
	static const int offsets[] = {400, 600, 730, 860, 1000, 1130}; /* d, p, q, dP, dQ, qInv */
	EVP_PKEY *key = pki_key("RSA-2048");
	X509 *cert = pki_cert(&pki, key, &(struct pki_request){.cn = "parts.test"});
	struct cert *good;
	struct err err;
	uint8_t *der = NULL;
	int len = i2d_PrivateKey(key, &der);

	assert_in_range(len, 1150, 1250);
	for (size_t i = 0; i <= array_len(offsets); i++) {
		FILE *out = fopen(pki_path(&pki, "parts.crt"), "we");

		assert_non_null(out);
		assert_true(PEM_write_X509(out, cert));
		if (i < array_len(offsets))
			der[offsets[i]] ^= 1;
		assert_true(PEM_write(out, "RSA PRIVATE KEY", "", der, len));
		fclose(out);
		if (i == array_len(offsets))
			break;
		der[offsets[i]] ^= 1;
		expect_error("parts.crt", NULL, NULL, -EINVAL,
			"certificate main: the private key in %s/parts.crt is damaged: it is not "
			"that of its public key");
	}
	assert_int_equal(cert_load(&(struct cert_spec){.name = "main",
					   .cert_path = pki_path(&pki, "parts.crt")},
				 &good, &err),
		0);
	cert_put(good);
	OPENSSL_free(der);
	X509_free(cert);
	EVP_PKEY_free(key);
}

static void test_trusted_form(void **state)
{
	char command[256];

	snprintf(command, sizeof(command),
		"openssl x509 -in %s/www.crt -trustout -out %s/trusted.crt", pki.dir, pki.dir);
	assert_int_equal(system(command), 0);
	expect_error("trusted.crt", "www.key", NULL, -EINVAL,
		"certificate main: %s/trusted.crt has a certificate in OpenSSL's own form "
		"(\"BEGIN TRUSTED CERTIFICATE\"): convert it with openssl x509");
}

/* --- without memory */
static _Thread_local bool has_no_memory;

static void *tight_alloc(size_t size, const char *file, int line)
{
	return has_no_memory ? NULL : malloc(size);
}

static void *tight_realloc(void *at, size_t size, const char *file, int line)
{
	return has_no_memory ? NULL : realloc(at, size);
}

static void tight_free(void *at, const char *file, int line)
{
	free(at);
}

/* That there was none once does not make a certificate a bad one. */
static void test_no_memory(void **state)
{
	struct cert_source *source = cert_source_new("dir", pki.dir, NULL);
	struct cert_parsed parsed;
	struct cert *cert;
	struct err err;
	int r;

	assert_int_equal(cert_read(source, "www.crt", "www.key", &cert, &err), 0);
	has_no_memory = true;
	r = cert_parse(cert, &parsed, &err);
	has_no_memory = false;
	assert_int_equal(r, -ENOMEM);
	assert_int_equal(cert_state(cert), CERT_UNCHECKED);
	assert_int_equal(cert_parse(cert, &parsed, &err), 0);
	assert_int_equal(cert_state(cert), CERT_GOOD);
	cert_parsed_fini(&parsed);
	cert_put(cert);
	cert_source_put(source);
}

/* One that is valid is not given up for one that is not. */
static void test_dates(void **state)
{
	struct cert *valid, *expired, *later;
	int64_t now = time(NULL);
	struct err err = {""};

	pki_issue(&pki, &(struct pki_request){.file = "valid"});
	pki_issue(&pki, &(struct pki_request){
				.file = "expired", .from_s = -9 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	pki_issue(&pki,
		&(struct pki_request){.file = "later", .from_s = PKI_DAY_S, .to_s = 9 * PKI_DAY_S});
	valid = load_pair("valid");
	expired = load_pair("expired");
	later = load_pair("later");
	assert_int_equal(cert_check_dates(expired, valid, now, &err), -EKEYEXPIRED);
	assert_non_null(strstr(err.text, "expired.crt expired on "));
	assert_int_equal(cert_check_dates(later, valid, now, &err), -ETIME);
	assert_non_null(strstr(err.text, "later.crt is not valid before "));
	assert_int_equal(cert_check_dates(later, valid, now + 2 * PKI_DAY_S, &err), 0);
	assert_int_equal(cert_check_dates(expired, NULL, now, &err), 0);
	assert_int_equal(cert_check_dates(expired, later, now, &err), 0);
	assert_int_equal(cert_check_dates(valid, expired, now, &err), 0);
	cert_put(valid);
	cert_put(expired);
	cert_put(later);
}

int main(void)
{
	/* Before anything of OpenSSL has memory. */
	bool is_set = CRYPTO_set_mem_functions(tight_alloc, tight_realloc, tight_free);
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_common_name_only_without_san),
		cmocka_unit_test(test_kinds_of_keys),
		cmocka_unit_test(test_forms_of_ecdsa_keys),
		cmocka_unit_test(test_read_unchecked),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_no_pem),
		cmocka_unit_test(test_mismatch),
		cmocka_unit_test(test_chain_order),
		cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_expired_is_a_warning),
		cmocka_unit_test(test_strength),
		cmocka_unit_test(test_dates),
		cmocka_unit_test(test_damaged_and_endless_names),
		cmocka_unit_test(test_key_with_a_wrong_half),
		cmocka_unit_test(test_rsa_key_with_wrong_parts),
		cmocka_unit_test(test_trusted_form),
		cmocka_unit_test(test_no_memory),
	};

	if (!is_set)
		return 1;
	return cmocka_run_group_tests(tests, setup, teardown);
}
