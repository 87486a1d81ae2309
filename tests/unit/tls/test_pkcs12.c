/* PKCS#12 files: what is taken out of them, and what is refused with which words. */
#include "pki.h"

#include "tls/cert.h"
#include <errno.h>
#include <openssl/pkcs12.h>

static struct pki pki;

/* What a file is made of. */
struct made {
	const char *password;
	int key_cipher, cert_cipher; /* 0: OpenSSL's choice; -1: not encrypted */
	int iterations, mac_iterations; /* 0: OpenSSL's choice */
	bool has_other_key, has_no_key, has_no_cert;
};

static EVP_PKEY *key;
static X509 *leaf;

static int setup(void **state)
{
	pki_init(&pki);
	key = pki_key("P-256");
	leaf = pki_cert(&pki, key, &(struct pki_request){.cn = "main", .sans = "DNS:www.test"});
	return 0;
}

static int teardown(void **state)
{
	X509_free(leaf);
	EVP_PKEY_free(key);
	pki_fini(&pki);
	return 0;
}

/* The CA comes first in it, and one that has nothing to do with it. */
static const char *make(const char *file, const struct made *made)
{
	const char *path = pki_path(&pki, file);
	STACK_OF(X509) *cas = sk_X509_new_null();
	EVP_PKEY *other = pki_key("P-256");
	struct pki alone = {.dir = ""};
	EVP_PKEY *other_key = pki_key("P-384");
	X509 *stranger = pki_cert(&alone, other, &(struct pki_request){.cn = "stranger"});
	FILE *out = fopen(path, "we");
	PKCS12 *p12;

	sk_X509_push(cas, stranger);
	sk_X509_push(cas, pki.ca);
	if (!made->has_no_cert && made->has_other_key)
		sk_X509_push(cas, leaf);
	p12 = PKCS12_create(made->password, "name",
		made->has_no_key      ? NULL
		: made->has_other_key ? other_key
				      : key,
		made->has_no_key || made->has_other_key || made->has_no_cert ? NULL : leaf,
		made->has_no_cert ? NULL : cas, made->key_cipher, made->cert_cipher,
		made->iterations, made->mac_iterations, 0);
	assert_non_null(p12);
	assert_non_null(out);
	assert_true(i2d_PKCS12_fp(out, p12));
	fclose(out);
	PKCS12_free(p12);
	sk_X509_free(cas);
	X509_free(stranger);
	EVP_PKEY_free(other);
	EVP_PKEY_free(other_key);
	return path;
}

static int load(const char *path, const char *password, struct cert **ret_cert, struct err *err)
{
	char *const command[] = {"/bin/echo", (char *)password, NULL};
	struct cert_spec spec = {.name = "main", .cert_path = path};

	if (password)
		spec.password.command = command;
	return cert_load(&spec, ret_cert, err);
}

static void expect_good(const char *path, const char *password)
{
	struct cert_description texts;
	struct err err = {""};
	struct cert *cert;

	if (load(path, password, &cert, &err) < 0)
		fail_msg("%s", err.text);
	assert_int_equal(cert_state(cert), CERT_GOOD);
	assert_int_equal(cert_facts(cert)->n_names, 1);
	cert_describe(cert, &texts);
	assert_string_equal(texts.subject, "CN=main");
	assert_string_equal(texts.issuer, "CN=Test CA");
	cert_description_fini(&texts);
	cert_put(cert);
}

static void expect_bad(const char *path, const char *password, const char *words)
{
	struct err err = {""};
	struct cert *cert = NULL;

	assert_int_equal(load(path, password, &cert, &err), -EINVAL);
	assert_null(cert);
	if (!strstr(err.text, words))
		fail_msg("\"%s\" is not in: %s", words, err.text);
	assert_non_null(strstr(err.text, path));
}

static void test_good(void **state)
{
	struct made today = {.password = "pw"};
	struct made yesterday = {"pw", NID_pbe_WithSHA1And3_Key_TripleDES_CBC,
		NID_pbe_WithSHA1And3_Key_TripleDES_CBC, 2048, 1, false, false, false};
	struct made open = {.password = "pw", .key_cipher = -1, .cert_cipher = -1};

	expect_good(make("today.p12", &today), "pw");
	expect_good(make("yesterday.p12", &yesterday), "pw");
	expect_good(make("open.p12", &open), "pw");
	today.password = "";
	expect_good(make("empty.p12", &today), NULL);
}

static void test_passwords(void **state)
{
	struct made made = {.password = "right"},
		    no_mac = {.password = "right", .mac_iterations = -1};
	const char *path = make("locked.p12", &made);

	expect_bad(path, "wrong", "the password does not open the PKCS#12 file");
	expect_bad(path, NULL, "say where it is (key_password_file");
	path = make("no-mac.p12", &no_mac);
	expect_good(path, "right");
	expect_bad(path, "wrong", "the password does not open the PKCS#12 file");
}

static void test_contents(void **state)
{
	struct made other = {.password = "pw", .has_other_key = true};
	struct made no_key = {.password = "pw", .has_no_key = true};
	struct made no_cert = {.password = "pw", .has_no_cert = true};

	expect_bad(make("no-key.p12", &no_key), "pw", "holds no key");
	expect_bad(make("no-cert.p12", &no_cert), "pw", "holds no certificate");
	expect_bad(make("other.p12", &other), "pw", "belongs to no certificate in it");
}

/* 100,000 iterations, which are fine, become 8,388,607. */
static void ask_for_more(const char *path)
{
	static const uint8_t some[] = {0x02, 0x03, 0x01, 0x86, 0xa0};
	uint8_t bytes[8192], *at;
	FILE *file = fopen(path, "r+e");
	size_t len = fread(bytes, 1, sizeof(bytes), file);

	at = memmem(bytes, len, some, sizeof(some));
	assert_non_null(at);
	memcpy(at + 2, "\x7f\xff\xff", 3);
	rewind(file);
	assert_int_equal(fwrite(bytes, 1, len, file), len);
	fclose(file);
}

/* What a file makes us do is bounded, wherever it says so. */
static void test_iterations(void **state)
{
	struct made mac = {.password = "pw", .iterations = 1, .mac_iterations = 100000};
	struct made parts = {.password = "pw", .iterations = 100000, .mac_iterations = -1};
	const char *path = make("mac.p12", &mac);

	expect_good(path, "pw");
	ask_for_more(path);
	expect_bad(path, "pw", "asks for more than 2000000 iterations");
	path = make("parts.p12", &parts);
	expect_good(path, "pw");
	ask_for_more(path);
	expect_bad(path, "pw", "asks for more than 2000000 iterations");
}

/* Cut anywhere, or with any byte changed: an error with a reason, or the same certificate. */
static void test_damage(void **state)
{
	struct made made = {.password = "pw", .iterations = 1, .mac_iterations = 1};
	const char *path = make("whole.p12", &made), *hurt = pki_path(&pki, "hurt.p12");
	uint8_t bytes[8192];
	FILE *file = fopen(path, "re");
	size_t len = fread(bytes, 1, sizeof(bytes), file), i;
	struct cert *cert;
	struct err err;

	fclose(file);
	assert_true(len > 1000 && len < sizeof(bytes));
	for (i = 0; i < len; i += 7) {
		bytes[i] ^= 0x11;
		file = fopen(hurt, "we");
		assert_int_equal(fwrite(bytes, 1, i % 2 ? len : i, file), i % 2 ? len : i);
		fclose(file);
		bytes[i] ^= 0x11;
		err.text[0] = '\0';
		if (load(hurt, NULL, &cert, &err) == 0)
			cert_put(cert);
		else
			assert_true(*err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_passwords),
		cmocka_unit_test(test_contents),
		cmocka_unit_test(test_iterations),
		cmocka_unit_test(test_damage),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
