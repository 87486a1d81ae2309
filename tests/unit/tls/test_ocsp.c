/* OCSP: what is asked, and which responses may be stapled; the exact words of each refusal. */
#include "pki.h"

#include "core/attr.h"
#include "tls/ocsp.h"
#include <errno.h>

static struct pki pki;
static struct cert *cert; /* of www.crt, with its CA behind it */

#include "ocsp_answer.h"

static void expect_bytes(const uint8_t *der, size_t len, int code, const char *text)
{
	struct staple *staple = NULL;
	struct err err = {""};
	int64_t said_unix_s = 0;
	int r = ocsp_check(cert, der, len, time(NULL), &staple, &said_unix_s, &err);

	assert_string_equal(err.text, text);
	assert_int_equal(r, code);
	assert_int_equal(staple != NULL, code == 0);
	assert_int_equal(said_unix_s != 0, code == 0 || code == -EKEYREVOKED);
	if (staple) {
		assert_int_equal(staple->len, len);
		assert_memory_equal(staple->der, der, len);
	}
	staple_put(staple);
}

static void expect(const struct answer *answer, int code, const char *text)
{
	uint8_t *der;
	size_t len = answer_der(answer, &der);

	expect_bytes(der, len, code, text);
	OPENSSL_free(der);
}

static struct cert *load(const char *crt, const char *key)
{
	struct cert_spec spec = {
		.name = "main", .cert_path = pki_path(&pki, crt), .key_path = pki_path(&pki, key)};
	struct cert *loaded = NULL;
	struct err err = {""};

	assert_int_equal(cert_load(&spec, &loaded, &err), 0);
	return loaded;
}

static int setup(void **state)
{
	pki_init(&pki);
	pki_issue(&pki,
		&(struct pki_request){.file = "www", .sans = "DNS:www.test", .append = "ca.crt"});
	pki_issue(&pki, &(struct pki_request){.file = "other", .sans = "DNS:other.test"});
	cert = load("www.crt", "www.key");
	return 0;
}

static int teardown(void **state)
{
	cert_put(cert);
	pki_fini(&pki);
	return 0;
}

static void good_ones(void **state)
{
	expect(&(struct answer){0}, 0, "");
	expect(&(struct answer){.hash = EVP_sha256()}, 0, "");
	expect(&(struct answer){.from_s = 60, .to_s = HOUR_S}, 0, ""); /* clocks differ */
}

static void bad_times(void **state)
{
	expect(&(struct answer){.from_s = -HOUR_S, .to_s = -1}, -ETIME,
		"the OCSP response is out of date");
	expect(&(struct answer){.from_s = HOUR_S, .to_s = 2 * HOUR_S}, -EAGAIN,
		"the OCSP response is of the future: is the clock right?");
	expect(&(struct answer){.is_endless = true}, -EINVAL,
		"the OCSP response does not say how long it is good: it cannot be stapled");
}

static void bad_states(void **state)
{
	X509 *other = read_cert("other.crt");

	expect(&(struct answer){.status = V_OCSP_CERTSTATUS_REVOKED}, -EKEYREVOKED,
		"its CA has revoked the certificate: replace it");
	expect(&(struct answer){.status = V_OCSP_CERTSTATUS_UNKNOWN}, -EINVAL,
		"the OCSP responder does not know the certificate");
	expect(&(struct answer){.about = other}, -EINVAL,
		"the OCSP response is about other certificates");
	X509_free(other);
}

/* A certificate of the same CA that was given no right to sign, and the CA's name with another key. */
static void bad_signers(void **state)
{
	struct pki_request request = {.file = "x", .cn = "Test CA"};
	struct pki another = {.ca = NULL};
	EVP_PKEY *key = pki_key("P-256");
	X509 *same_ca = pki_cert(&pki, key, &(struct pki_request){.cn = "nobody"});
	X509 *stranger = pki_cert(&another, key, &request);

	expect(&(struct answer){.by = same_ca, .by_key = key}, -EINVAL,
		"the OCSP response is not signed by the certificate's CA (missing ocspsigning usage)");
	expect(&(struct answer){.by = stranger, .by_key = key}, -EINVAL,
		"the OCSP response is not signed by the certificate's CA (signature failure)");
	X509_free(same_ca);
	X509_free(stranger);
	EVP_PKEY_free(key);
}

/* Where the bytes are that the signature is of, and how many. */
static size_t signed_part(const uint8_t *der, size_t len, size_t *ret_at)
{
	const uint8_t *from = der, *found;
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &from, (long)len);
	OCSP_BASICRESP *basic = OCSP_response_get1_basic(response);
	uint8_t *bytes = NULL;
	int n = i2d_OCSP_RESPDATA((OCSP_RESPDATA *)OCSP_resp_get0_respdata(basic), &bytes);

	assert_true(n > 0);
	found = memmem(der, len, bytes, (size_t)n);
	assert_non_null(found);
	*ret_at = (size_t)(found - der);
	OPENSSL_free(bytes);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	return (size_t)n;
}

static void bad_bytes(void **state)
{
	static const uint8_t try_later[] = {0x30, 0x03, 0x0a, 0x01, 0x03};
	static uint8_t large[STAPLE_BYTES_MAX + 1];
	uint8_t *der;
	size_t i, at, signed_len, len = answer_der(&(struct answer){0}, &der);
	struct staple *staple;
	int64_t said_unix_s;
	struct err err;

	expect_bytes(large, sizeof(large), -EINVAL, "the OCSP response has more than 16384 bytes");
	expect_bytes(
		(const uint8_t *)"-----BEGIN", 10, -EINVAL, "this is no OCSP response (in DER)");
	expect_bytes(der, 0, -EINVAL, "this is no OCSP response (in DER)");
	expect_bytes(try_later, sizeof(try_later), -EINVAL,
		"the OCSP responder has no answer: trylater");
	for (i = 0; i < len; i++) /* cut off, or a byte changed of what is signed */
		assert_true(ocsp_check(cert, der, i, time(NULL), &staple, &said_unix_s, &err) < 0);
	signed_len = signed_part(der, len, &at);
	for (i = at; i < at + signed_len; i++) {
		der[i] ^= 1;
		assert_true(
			ocsp_check(cert, der, len, time(NULL), &staple, &said_unix_s, &err) < 0);
		der[i] ^= 1;
	}
	OPENSSL_free(der);
}

/* --- asking */
static struct cert *with_responder(const char *file, const char *responder, bool must_staple)
{
	struct pki_request request = {.file = file, .sans = "DNS:r.test"};
	EVP_PKEY *key = pki_key(NULL);
	X509 *x509 = pki_cert(&pki, key, &request);
	char crt[64], private[64];
	FILE *out;

	if (responder)
		pki_extension(x509, pki.ca, NID_info_access, responder);
	if (must_staple)
		pki_extension(x509, pki.ca, NID_tlsfeature, "status_request");
	assert_true(X509_sign(x509, pki.ca_key, EVP_sha256()) > 0);
	snprintf(crt, sizeof(crt), "%s.crt", file);
	snprintf(private, sizeof(private), "%s.key", file);
	out = fopen(pki_path(&pki, crt), "we");
	assert_true(PEM_write_X509(out, x509) && PEM_write_X509(out, pki.ca));
	fclose(out);
	out = fopen(pki_path(&pki, private), "we");
	assert_true(PEM_write_PrivateKey(out, key, NULL, NULL, 0, NULL, NULL));
	fclose(out);
	X509_free(x509);
	EVP_PKEY_free(key);
	return load(crt, private);
}

static void expect_request(const char *responder, const char *url, const char *text)
{
	struct cert *asked = with_responder("asked", responder, false);
	char found[STAPLE_URL_BYTES] = "";
	uint8_t *der = NULL;
	const uint8_t *at;
	struct err err = {""};
	OCSP_REQUEST *request;
	size_t len = 0;
	int r = ocsp_request(asked, &der, &len, found, &err);

	assert_string_equal(err.text, text);
	assert_string_equal(found, url);
	assert_int_equal(r == 0, *url != '\0');
	if (r == 0) {
		at = der;
		request = d2i_OCSP_REQUEST(NULL, &at, (long)len);
		assert_non_null(request);
		assert_int_equal(OCSP_request_onereq_count(request), 1);
		OCSP_REQUEST_free(request);
	}
	free(der);
	cert_put(asked);
}

static void requests(void **state)
{
	static const char none[] = "it names no OCSP responder: its CA has none";

	expect_request("OCSP;URI:http://o.test/a", "http://o.test/a", "");
	expect_request(
		"caIssuers;URI:http://i.test/,OCSP;URI:ldap://o.test/,OCSP;URI:HTTPS://o.test",
		"HTTPS://o.test", "");
	expect_request("caIssuers;URI:http://i.test/", "", none);
	expect_request("OCSP;URI:file:///etc/passwd", "", none);
	expect_request(NULL, "", none);
}

static void an_issuer_is_needed(void **state)
{
	struct cert *alone = load("other.crt", "other.key");
	char url[STAPLE_URL_BYTES];
	struct err err;
	uint8_t *der;
	size_t len;

	assert_int_equal(ocsp_request(alone, &der, &len, url, &err), -EINVAL);
	assert_string_equal(err.text,
		"its issuer's certificate is missing: put it behind the certificate in its file");
	cert_put(alone);
}

static void must_staple_is_seen(void **state)
{
	struct cert *must = with_responder("must", NULL, true);

	assert_true(cert_facts(must)->must_staple);
	assert_false(cert_facts(cert)->must_staple);
	cert_put(must);
}

/* --- when */
static void next_tries(void **state)
{
	struct staple *staple = staple_new((const uint8_t *)"", 0, 1000000, 1000000 + 100000);
	uint32_t failures;

	assert_int_equal(ocsp_next_try_unix_s(NULL, 5, 0, 77), 5);
	assert_in_range(ocsp_next_try_unix_s(staple, 1000000, 0, 0), 1040000, 1040001);
	assert_in_range(ocsp_next_try_unix_s(staple, 1000000, 0, UINT32_MAX), 1059990, 1060000);
	assert_int_equal(ocsp_next_try_unix_s(staple, 1080000, 0, 0), 1080060);
	for (failures = 1; failures < 100; failures++) {
		assert_in_range(ocsp_next_try_unix_s(staple, 100, failures, 0), 102, 100 + 3600);
		assert_in_range(
			ocsp_next_try_unix_s(staple, 100, failures, UINT32_MAX), 107, 100 + 5401);
	}
	assert_in_range(ocsp_next_try_unix_s(NULL, 100, 3, 0x8000), 119, 122);
	staple_put(staple);
}

/* --- at a certificate */
static void staples_are_exchanged(void **state)
{
	struct staple *first = staple_new((const uint8_t *)"a", 1, 1, 2);

	assert_null(cert_staple(cert));
	assert_null(cert_staple_exchange(cert, staple_get(first)));
	assert_ptr_equal(cert_staple(cert), first);
	assert_ptr_equal(cert_staple_exchange(cert, NULL), first);
	staple_put(first);
	assert_null(cert_staple_exchange(cert, first)); /* goes with the certificate */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(good_ones),
		cmocka_unit_test(bad_times),
		cmocka_unit_test(bad_states),
		cmocka_unit_test(bad_signers),
		cmocka_unit_test(bad_bytes),
		cmocka_unit_test(requests),
		cmocka_unit_test(an_issuer_is_needed),
		cmocka_unit_test(must_staple_is_seen),
		cmocka_unit_test(next_tries),
		cmocka_unit_test(staples_are_exchanged),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
