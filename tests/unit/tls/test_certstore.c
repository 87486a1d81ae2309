/* Which certificate a ClientHello gets: every step of the order, wildcards, odd names. */
#include "pki.h"

#include "core/attr.h"
#include "tls/cert_parts.h"
#include "tls/cert_parts.h"
#include "tls/certstore.h"
#include <errno.h>

enum { MAX_CERTS = 16 };

static struct pki pki;
static struct cert *certs[MAX_CERTS];
static size_t n_certs;
static struct certstore *store;

/* Everything a current client offers. */
static const uint8_t all_schemes[] = {0x04, 0x03, 0x05, 0x03, 0x06, 0x03, 0x08, 0x07, 0x08, 0x04,
	0x08, 0x05, 0x08, 0x06, 0x04, 0x01, 0x05, 0x01, 0x06, 0x01};
static const uint8_t rsa_schemes[] = {0x08, 0x04, 0x04, 0x01, 0x04, 0x03};
static const uint8_t all_ciphers[] = {0x13, 0x01, 0xc0, 0x2b, 0xc0, 0x2f};
static const uint8_t rsa_ciphers[] = {0xc0, 0x2f};
static const uint8_t p256_groups[] = {0x00, 0x17};

static struct cert_offer modern(void)
{
	return (struct cert_offer){.schemes = all_schemes,
		.n_schemes = sizeof(all_schemes) / 2,
		.ciphers = all_ciphers,
		.n_ciphers = sizeof(all_ciphers) / 2,
		.version = TLS_VERSION_1_3,
		.now_unix_s = time(NULL)};
}

static int setup(void **state)
{
	pki_init(&pki);
	return 0;
}

static int teardown(void **state)
{
	pki_fini(&pki);
	return 0;
}

/* A certificate named like its file is added behind the others. */
static void add(const struct pki_request *request)
{
	struct cert_spec spec = {.name = request->file};
	struct err err = {""};
	char file[64];

	pki_issue(&pki, request);
	snprintf(file, sizeof(file), "%s.crt", request->file);
	spec.cert_path = pki_path(&pki, file);
	snprintf(file, sizeof(file), "%s.key", request->file);
	spec.key_path = pki_path(&pki, file);
	assert_true(n_certs < MAX_CERTS);
	assert_int_equal(cert_load(&spec, &certs[n_certs++], &err), 0);
}

static void build(void)
{
	struct err err = {""};

	assert_int_equal(certstore_new(certs, n_certs, &store, &err), 0);
}

static int drop(void **state)
{
	certstore_put(store);
	store = NULL;
	while (n_certs)
		cert_put(certs[--n_certs]);
	return 0;
}

static const char *lookup_offer(const char *name, struct cert_offer offer)
{
	static char buf[CERT_NAME_BYTES];

	return cert_name(certstore_lookup(store, slice_of(name), &offer), buf);
}

static const char *lookup(const char *name)
{
	return lookup_offer(name, modern());
}

static void test_names(void **state)
{
	char longest[256];

	add(&(struct pki_request){.file = "default", .sans = "DNS:default.test"});
	add(&(struct pki_request){.file = "www", .sans = "DNS:www.example.com"});
	add(&(struct pki_request){.file = "wild", .sans = "DNS:*.example.com"});
	add(&(struct pki_request){.file = "bare", .sans = "DNS:example.com"});
	add(&(struct pki_request){.file = "idna", .sans = "DNS:xn--bcher-kva.example"});
	build();
	assert_string_equal(lookup("www.example.com"), "www");
	assert_string_equal(lookup("WWW.Example.COM"), "www");
	assert_string_equal(lookup("www.example.com."), "www");
	assert_string_equal(lookup("api.example.com"), "wild");
	assert_string_equal(lookup("a.api.example.com"), "default"); /* one level only */
	assert_string_equal(lookup("example.com"), "bare");
	assert_string_equal(lookup(".example.com"), "default"); /* an empty label is no label */
	assert_string_equal(lookup("*.example.com"), "wild");
	assert_string_equal(lookup("xn--bcher-kva.example"), "idna");
	assert_string_equal(lookup("unknown.test"), "default");
	assert_string_equal(lookup(""), "default");
	assert_string_equal(lookup("."), "default");
	assert_string_equal(lookup("www.example.com\x01"), "default");
	memset(longest, 'a', 255);
	longest[255] = '\0';
	assert_string_equal(lookup(longest), "default");
}

static void test_exact_before_wildcard(void **state)
{
	/* Though the wildcard's key is preferred and it lives longer. */
	add(&(struct pki_request){.file = "wild", .sans = "DNS:*.a.test", .to_s = 900 * PKI_DAY_S});
	add(&(struct pki_request){.file = "exact", .sans = "DNS:x.a.test", .key = "RSA-2048"});
	build();
	assert_string_equal(lookup("x.a.test"), "exact");
	assert_string_equal(lookup("y.a.test"), "wild");
}

static void test_what_the_client_verifies(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){.file = "ec", .sans = "DNS:a.test"});
	add(&(struct pki_request){.file = "rsa", .sans = "DNS:a.test", .key = "RSA-2048"});
	add(&(struct pki_request){.file = "ed", .sans = "DNS:a.test", .key = "ED25519"});
	build();
	assert_string_equal(lookup("a.test"), "ec");
	/* TLS 1.3: ECDSA P-256 is offered for the CA's signature only here. */
	offer.schemes = (const uint8_t[]){0x08, 0x04};
	offer.n_schemes = 1;
	assert_string_equal(lookup_offer("a.test", offer), "rsa");
	offer.schemes = (const uint8_t[]){0x08, 0x07};
	assert_string_equal(lookup_offer("a.test", offer), "ed");
	/* TLS 1.2: the suites decide, then the curves. */
	offer = modern();
	offer.version = TLS_VERSION_1_2;
	offer.ciphers = rsa_ciphers;
	offer.n_ciphers = 1;
	assert_string_equal(lookup_offer("a.test", offer), "rsa");
	offer = modern();
	offer.version = TLS_VERSION_1_2;
	assert_string_equal(lookup_offer("a.test", offer), "ec");
	offer.groups = (const uint8_t[]){0x00, 0x1d};
	offer.n_groups = 1;
	assert_string_equal(lookup_offer("a.test", offer), "ed");
	offer.groups = p256_groups;
	assert_string_equal(lookup_offer("a.test", offer), "ec");
}

static void test_wildcard_that_works_before_exact_that_fails(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){.file = "exact", .sans = "DNS:x.a.test", .key = "P-384"});
	add(&(struct pki_request){.file = "wild", .sans = "DNS:*.a.test", .key = "RSA-2048"});
	build();
	offer.schemes = rsa_schemes;
	offer.n_schemes = sizeof(rsa_schemes) / 2;
	assert_string_equal(lookup_offer("x.a.test", offer), "wild");
}

static void test_signature_of_the_ca(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){.file = "sha512", .sans = "DNS:a.test", .hash = "SHA512"});
	add(&(struct pki_request){.file = "sha256", .sans = "DNS:a.test", .hash = "SHA256"});
	build();
	assert_string_equal(lookup("a.test"), "sha512");
	offer.cert_schemes = (const uint8_t[]){0x04, 0x03};
	offer.n_cert_schemes = 1;
	assert_string_equal(lookup_offer("a.test", offer), "sha256");
}

static void test_not_expired_before_kind(void **state)
{
	add(&(struct pki_request){
		.file = "ec", .sans = "DNS:a.test", .from_s = -9 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	add(&(struct pki_request){.file = "rsa", .sans = "DNS:a.test", .key = "RSA-2048"});
	build();
	assert_string_equal(lookup("a.test"), "rsa");
}

static void test_expired_before_unverifiable(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){
		.file = "ec", .sans = "DNS:a.test", .from_s = -9 * PKI_DAY_S, .to_s = -PKI_DAY_S});
	add(&(struct pki_request){.file = "ed", .sans = "DNS:a.test", .key = "ED25519"});
	build();
	offer.schemes = (const uint8_t[]){0x04, 0x03};
	offer.n_schemes = 1;
	assert_string_equal(lookup_offer("a.test", offer), "ec");
}

static void test_kind_hash_size_validity(void **state)
{
	add(&(struct pki_request){.file = "rsa-short",
		.sans = "DNS:r.test",
		.key = "RSA-2048",
		.to_s = 10 * PKI_DAY_S});
	add(&(struct pki_request){.file = "rsa-long",
		.sans = "DNS:r.test",
		.key = "RSA-2048",
		.to_s = 20 * PKI_DAY_S});
	add(&(struct pki_request){.file = "ec-256", .sans = "DNS:e.test"});
	add(&(struct pki_request){.file = "ec-384", .sans = "DNS:e.test", .key = "P-384"});
	add(&(struct pki_request){.file = "big", .sans = "DNS:h.test", .key = "P-384"});
	add(&(struct pki_request){.file = "hash", .sans = "DNS:h.test", .hash = "SHA384"});
	add(&(struct pki_request){.file = "ed", .sans = "DNS:k.test", .key = "ED25519"});
	add(&(struct pki_request){.file = "ec", .sans = "DNS:k.test"});
	build();
	assert_string_equal(lookup("r.test"), "rsa-long"); /* longer validity */
	assert_string_equal(lookup("e.test"), "ec-384");   /* larger key */
	assert_string_equal(lookup("h.test"), "hash");     /* hash before size */
	assert_string_equal(lookup("k.test"), "ec");       /* ECDSA first */
}

static void test_default_is_dual(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){
		.file = "rsa", .sans = "DNS:a.test,DNS:b.test", .key = "RSA-2048"});
	add(&(struct pki_request){.file = "other", .sans = "DNS:a.test"});
	add(&(struct pki_request){.file = "ec", .sans = "DNS:b.test,DNS:a.test"});
	build();
	assert_string_equal(lookup("unknown.test"), "ec");
	offer.schemes = (const uint8_t[]){0x08, 0x04};
	offer.n_schemes = 1;
	assert_string_equal(lookup_offer("unknown.test", offer), "rsa");
}

/* Another version: what it shares and what not; the one before goes on as it was. */
static void test_change(void **state)
{
	struct certstore *before;

	add(&(struct pki_request){.file = "default", .sans = "DNS:default.test"});
	add(&(struct pki_request){.file = "a1", .sans = "DNS:a.test,DNS:*.a.test"});
	add(&(struct pki_request){.file = "b", .sans = "DNS:b.test"});
	build();
	add(&(struct pki_request){.file = "a2", .sans = "DNS:a.test,DNS:new.test"});
	add(&(struct pki_request){.file = "default2", .sans = "DNS:default.test"});
	before = store;
	store = certstore_change(
		before, &(struct certstore_change){&certs[1], 1, &certs[3], 1, NULL});
	assert_string_equal(lookup("a.test"), "a2");
	assert_string_equal(lookup("x.a.test"), "default");
	assert_string_equal(lookup("new.test"), "a2");
	assert_string_equal(lookup("b.test"), "b");
	assert_int_equal(certstore_names(store), 4);
	certstore_put(store);
	store = before;
	assert_string_equal(lookup("a.test"), "a1");
	assert_string_equal(lookup("x.a.test"), "a1");
	assert_string_equal(lookup("new.test"), "default");
	/* the default is replaced: the one before is gone altogether */
	store = certstore_change(
		before, &(struct certstore_change){&certs[0], 1, &certs[4], 1, certs[4]});
	certstore_put(before);
	assert_string_equal(lookup("unknown.test"), "default2");
	assert_string_equal(lookup("default.test"), "default2");
	assert_string_equal(lookup("b.test"), "b");
	assert_ptr_equal(certstore_default(store), certs[4]);
}

/* As long as there are better ones, nobody gets a bad one; then nobody gets anything. */
static void test_bad_ones_are_passed_over(void **state)
{
	struct cert_source *source = cert_source_new("dir", pki.dir, NULL);
	struct cert_offer offer = modern();
	struct err err;
	int i;

	add(&(struct pki_request){.file = "ec", .sans = "DNS:a.test", .key = "P-384"});
	add(&(struct pki_request){.file = "other", .sans = "DNS:other.test"});
	pki_issue(&pki, &(struct pki_request){.file = "wrong", .sans = "DNS:wrong.test"});
	pki_issue(&pki, &(struct pki_request){.file = "ec2", .sans = "DNS:a.test", .key = "P-521"});
	assert_int_equal(cert_read(source, "ec2.crt", "wrong.key", &certs[n_certs++], &err), 0);
	assert_int_equal(cert_read(source, "wrong.crt", "ec2.key", &certs[n_certs++], &err), 0);
	build();
	assert_string_equal(lookup("a.test"), "dir/ec2");
	assert_string_equal(lookup("wrong.test"), "dir/wrong");
	for (i = 2; i < 4; i++)
		assert_int_equal(cert_check(certs[i], &err), -EINVAL);
	assert_string_equal(lookup("a.test"), "ec");
	assert_string_equal(lookup("wrong.test"), "ec"); /* the default */
	certstore_put(store);
	assert_int_equal(certstore_new(&certs[2], 2, &store, &err), 0);
	assert_null(certstore_lookup(store, SLICE("a.test"), &offer));
	cert_source_put(source);
}

/* OpenSSL would not let a handshake have it. */
static void test_too_weak_ones_are_passed_over(void **state)
{
	struct cert_offer offer = modern();

	add(&(struct pki_request){.file = "weak", .sans = "DNS:a.test", .hash = "SHA1"});
	build();
	assert_string_equal(lookup_offer("a.test", offer), "weak");
	offer.security_bits = 112;
	assert_null(certstore_lookup(store, SLICE("a.test"), &offer));
	certstore_put(store);
	add(&(struct pki_request){.file = "fine", .sans = "DNS:a.test", .key = "RSA-2048"});
	build();
	assert_string_equal(lookup_offer("a.test", offer), "fine");
	assert_string_equal(lookup_offer("b.test", offer), "fine"); /* the default's names */
}

/* The last put may come from a thread that has no time. */
static void test_laid_aside(void **state)
{
	struct cert *cert;

	add(&(struct pki_request){.file = "a", .sans = "DNS:a.test"});
	build();
	cert = certs[0];
	certstore_lay_aside(true);
	certstore_put(certstore_get(store));
	assert_false(certstore_has_aside());
	certstore_put(store);
	assert_true(certstore_has_aside());
	assert_int_equal(atomic_load(&cert->refs), 3); /* ours, as its name and as the default */
	certstore_free_aside();
	assert_int_equal(atomic_load(&cert->refs), 1);
	assert_false(certstore_has_aside());
	certstore_lay_aside(false);
	build();
	certstore_put(store);
	store = NULL;
	assert_int_equal(atomic_load(&cert->refs), 1);
}

static struct cert *numbered(struct cert_source *source, uint32_t number)
{
	char text[64];
	uint8_t names[64];
	int len = snprintf(text, sizeof(text), "n%u.test", number);
	struct cert_content content = {
		.facts = {.n_names = 1, .key_bits = 256, .not_after_unix_s = INT32_MAX},
		.names = names,
		.names_len = (uint32_t)len + 1,
		.leaf = (const uint8_t *)"leaf",
		.leaf_len = 4,
		.key = (const uint8_t *)"key",
		.key_len = 3,
		.cert_file = text,
		.key_file = text,
	};

	names[0] = (uint8_t)len;
	memcpy(names + 1, text, (size_t)len);
	return cert_new(source, &content);
}

/* Many names, sized again on the way, each found, and all gone in the end. */
static void test_many(void **state)
{
	enum { MANY = 20000, STEP = 97 };
	struct cert_source *source = cert_source_new("many", "/", NULL);
	struct cert **many = calloc(MANY, sizeof(struct cert *));
	struct certstore *before;
	struct err err;
	char name[64], wanted[64];
	uint32_t i, n;

	for (i = 0; i < MANY; i++)
		many[i] = numbered(source, i);
	assert_int_equal(certstore_new(many, 1, &store, &err), 0);
	for (i = 1; i < MANY; i += n) {
		n = MANY - i < STEP * i ? MANY - i : STEP * i;
		before = store;
		store = certstore_change(
			before, &(struct certstore_change){NULL, 0, many + i, n, NULL});
		certstore_put(before);
	}
	assert_int_equal(certstore_names(store), MANY);
	for (i = 0; i < MANY; i++) {
		snprintf(name, sizeof(name), "N%u.test.", i);
		assert_int_equal(certstore_match(store, slice_of(name)), CERTSTORE_EXACT);
		snprintf(wanted, sizeof(wanted), "many/n%u", i);
		assert_string_equal(lookup(name), wanted);
	}
	before = store;
	store = certstore_change(
		before, &(struct certstore_change){many + 1, MANY - 1, NULL, 0, NULL});
	assert_int_equal(certstore_names(store), 1);
	assert_int_equal(certstore_match(store, SLICE("n7.test")), CERTSTORE_NO_MATCH);
	assert_int_equal(certstore_match(before, SLICE("n7.test")), CERTSTORE_EXACT);
	certstore_put(before);
	for (i = 0; i < MANY; i++)
		cert_put(many[i]);
	free(many);
	cert_source_put(source);
}

static void test_no_certificate(void **state)
{
	struct err err = {""};

	assert_int_equal(certstore_new(certs, 0, &store, &err), -EINVAL);
	assert_string_equal(err.text, "no certificate: a listener with TLS needs one");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_teardown(test_names, drop),
		cmocka_unit_test_teardown(test_exact_before_wildcard, drop),
		cmocka_unit_test_teardown(test_what_the_client_verifies, drop),
		cmocka_unit_test_teardown(test_wildcard_that_works_before_exact_that_fails, drop),
		cmocka_unit_test_teardown(test_signature_of_the_ca, drop),
		cmocka_unit_test_teardown(test_not_expired_before_kind, drop),
		cmocka_unit_test_teardown(test_expired_before_unverifiable, drop),
		cmocka_unit_test_teardown(test_kind_hash_size_validity, drop),
		cmocka_unit_test_teardown(test_default_is_dual, drop),
		cmocka_unit_test_teardown(test_change, drop),
		cmocka_unit_test_teardown(test_bad_ones_are_passed_over, drop),
		cmocka_unit_test_teardown(test_too_weak_ones_are_passed_over, drop),
		cmocka_unit_test_teardown(test_laid_aside, drop),
		cmocka_unit_test_teardown(test_many, drop),
		cmocka_unit_test_teardown(test_no_certificate, drop),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
