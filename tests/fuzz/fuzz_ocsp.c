/*
 * Any bytes as an OCSP response: refused with a reason, or stapled because it is signed, about the
 * certificate and in time. What has the form of a response is signed once more by the CA itself, so
 * that what lies behind the signature is reached too.
 */
#include "fuzz_cert.h"
#include "tls/ocsp.h"

#include <openssl/err.h>
#include <openssl/ocsp.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct cert *cert;
static X509 *ca;
static EVP_PKEY *ca_key;

/* It is its own issuer: the file has it twice. */
static void make_chain(void)
{
	char path[] = "/tmp/sluice-fuzz-ocsp-XXXXXX";
	struct cert_spec spec = {.name = "fuzz", .cert_path = path};
	struct err err;
	FILE *file;

	make_cert(path);
	file = fopen(path, "r+e");
	must(file != NULL);
	ca = PEM_read_X509(file, NULL, NULL, NULL);
	ca_key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
	must(ca && ca_key && fseek(file, 0, SEEK_SET) == 0);
	must(PEM_write_X509(file, ca) && PEM_write_X509(file, ca) &&
		PEM_write_PrivateKey(file, ca_key, NULL, NULL, 0, NULL, NULL));
	fclose(file);
	must(cert_load(&spec, &cert, &err) == 0);
	unlink(path);
}

static void check(const uint8_t *der, size_t size)
{
	struct staple *staple = NULL;
	struct err err = {""};
	int64_t now_unix_s = time(NULL), said_unix_s;

	if (ocsp_check(cert, der, size, now_unix_s, &staple, &said_unix_s, &err) < 0) {
		must(*err.text && !staple);
		return;
	}
	must(staple->len == size && staple->next_update_unix_s > now_unix_s);
	staple_put(staple);
}

/* OpenSSL can only sign that again which had its responder's name, not its key, in it. */
static bool has_name(const OCSP_BASICRESP *basic)
{
	const ASN1_OCTET_STRING *key = NULL;
	const X509_NAME *name = NULL;

	return OCSP_resp_get0_id(basic, &key, &name) == 1 && name;
}

static void check_signed(const uint8_t *data, size_t size)
{
	OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &data, (long)size), *again = NULL;
	OCSP_BASICRESP *basic = response ? OCSP_response_get1_basic(response) : NULL;
	uint8_t *der = NULL;
	int len;

	if (basic && has_name(basic) &&
		OCSP_basic_sign(basic, ca, ca_key, EVP_sha256(), NULL, OCSP_NOCERTS) == 1)
		again = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
	len = again ? i2d_OCSP_RESPONSE(again, &der) : -1;
	if (len > 0)
		check(der, (size_t)len);
	OPENSSL_free(der);
	OCSP_RESPONSE_free(again);
	OCSP_BASICRESP_free(basic);
	OCSP_RESPONSE_free(response);
	ERR_clear_error();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	if (!cert)
		make_chain();
	check(data, size);
	check_signed(data, size);
	return 0;
}
