/* Loading of certificates and keys: facts, and the exact words of each refusal. */
#include "pki.h"

#include "tls/cert.h"
#include <errno.h>

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
	struct cert_spec spec = {"main", pki_path(&pki, crt), pki_path(&pki, key), NULL};
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
	struct cert_spec spec = {"main", pki_path(&pki, crt), key ? pki_path(&pki, key) : NULL,
		password ? pki_path(&pki, password) : NULL};
	struct cert *cert = NULL;
	char expected[ERR_TEXT_BYTES];
	struct err err = {""};

	assert_int_equal(cert_load(&spec, &cert, &err), code);
	assert_null(cert);
	snprintf(expected, sizeof(expected), format, pki.dir, pki.dir);
	assert_string_equal(err.text, expected);
}

static void test_facts(void **state)
{
	struct cert *cert = load("www.crt", "www.key");
	const struct cert_facts *facts = cert_facts(cert);
	struct err warning = {""};

	assert_string_equal(facts->name, "main");
	assert_int_equal(facts->n_names, 2);
	assert_string_equal(facts->names[0], "www.example.com");
	assert_string_equal(facts->names[1], "*.example.com");
	assert_string_equal(facts->subject, "CN=www.example.com");
	assert_string_equal(facts->issuer, "CN=Test CA");
	assert_string_equal(facts->serial_hex, "02");
	assert_string_equal(facts->key_type, "ECDSA P-256");
	assert_string_equal(facts->signature, "ecdsa-with-SHA256");
	assert_int_equal(facts->signature_scheme, 0x0403);
	assert_int_equal(facts->n_chain, 0); /* the root is not sent */
	assert_int_equal(strlen(facts->fingerprint_sha256), 64);
	assert_true(llabs(facts->not_after_unix_s - time(NULL) - 90 * PKI_DAY_S) < 60);
	assert_false(cert_warning(cert, time(NULL), &warning));
	cert_put(cert);
}

static void test_common_name_only_without_san(void **state)
{
	struct cert *cert = load("other.crt", "other.key");

	assert_int_equal(cert_facts(cert)->n_names, 1);
	assert_string_equal(cert_facts(cert)->names[0], "other.example.com");
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

		assert_string_equal(cert_facts(cert)->key_type, kinds[i][1]);
		cert_put(cert);
	}
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
		"(CN=other.example.com) did not sign certificate 1 (CN=wrong.example.com); put the "
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
	struct cert_spec spec = {"main", NULL, NULL, NULL};
	struct cert *cert;
	struct err err;

	pki_issue(&pki, &(struct pki_request){.file = "locked", .password = "open sesame"});
	pki_write(&pki, "right", "open sesame\n");
	pki_write(&pki, "wrong", "close sesame\n");
	pki_write(&pki, "empty", "");
	expect_error("locked.crt", "locked.key", NULL, -EINVAL,
		"certificate main: the key in %s/locked.key is encrypted: name the file with its "
		"password");
	expect_error("locked.crt", "locked.key", "wrong", -EINVAL,
		"certificate main: the password does not open the key in %s/locked.key");
	expect_error("locked.crt", "locked.key", "empty", -EINVAL,
		"certificate main: the first line of %s/empty must be the password (1 to 1024 "
		"bytes)");
	spec.cert_path = pki_path(&pki, "locked.crt");
	spec.key_path = pki_path(&pki, "locked.key");
	spec.password_path = pki_path(&pki, "right");
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

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_facts),
		cmocka_unit_test(test_common_name_only_without_san),
		cmocka_unit_test(test_kinds_of_keys),
		cmocka_unit_test(test_unreadable),
		cmocka_unit_test(test_no_pem),
		cmocka_unit_test(test_mismatch),
		cmocka_unit_test(test_chain_order),
		cmocka_unit_test(test_weak_key),
		cmocka_unit_test(test_password),
		cmocka_unit_test(test_expired_is_a_warning),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
