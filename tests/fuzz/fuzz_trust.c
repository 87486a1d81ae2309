/*
 * Feeds bytes to the loader of trust stores: as a bundle of CAs, as CRLs of a good CA, and (because
 * no guess is ever signed) straight to the table of revoked serial numbers. Each serial number of a
 * list that was taken must be found in its table.
 */
#include "fuzz_cert.h"

#include "tls/crl.h"
#include "tls/pem_blocks.h"
#include "tls/trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

static int input_fd;
static char input_path[32], ca_path[] = "/tmp/sluice-fuzz-trust-XXXXXX";

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void remove_ca(void)
{
	unlink(ca_path);
}

static void make_ca(void)
{
	EVP_PKEY *key = EVP_EC_gen("P-256");
	X509 *ca = X509_new();
	X509_EXTENSION *is_ca =
		X509V3_EXT_conf_nid(NULL, NULL, NID_basic_constraints, "critical,CA:TRUE");
	FILE *out = fdopen(mkstemp(ca_path), "w");

	must(key && ca && is_ca && out);
	X509_set_version(ca, X509_VERSION_3);
	X509_gmtime_adj(X509_getm_notBefore(ca), -60);
	X509_gmtime_adj(X509_getm_notAfter(ca), 86400);
	X509_NAME_add_entry_by_txt(
		X509_get_subject_name(ca), "CN", MBSTRING_UTF8, (const uint8_t *)"Root", -1, -1, 0);
	X509_set_issuer_name(ca, X509_get_subject_name(ca));
	X509_set_pubkey(ca, key);
	must(X509_add_ext(ca, is_ca, -1) && X509_sign(ca, key, EVP_sha256()) > 0);
	must(PEM_write_X509(out, ca));
	fclose(out);
	X509_EXTENSION_free(is_ca);
	X509_free(ca);
	EVP_PKEY_free(key);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	make_ca();
	atexit(remove_ca);
	input_fd = memfd_create("input", MFD_CLOEXEC);
	must(input_fd >= 0);
	snprintf(input_path, sizeof(input_path), "/proc/self/fd/%d", input_fd);
	return 0;
}

static void check_table(X509_CRL *crl)
{
	STACK_OF(X509_REVOKED) *list = X509_CRL_get_REVOKED(crl);
	struct crl_table table;
	struct err err;
	int i;

	if (crl_table_init(&table, crl, &err) < 0)
		return;
	for (i = 0; i < sk_X509_REVOKED_num(list); i++)
		must(crl_table_has(
			&table, X509_REVOKED_get0_serialNumber(sk_X509_REVOKED_value(list, i))));
	crl_table_fini(&table);
}

static void parse_der(const uint8_t *data, size_t size)
{
	const uint8_t *at = data;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)size);

	if (crl)
		check_table(crl);
	X509_CRL_free(crl);
	ERR_clear_error();
}

static void parse_pem(const uint8_t *data, size_t size)
{
	struct pem_text text = {{(const char *)data, size}, 1};
	struct pem_block block;
	struct err err;
	uint32_t line = 0;
	X509_CRL *crl;
	BIO *bio;

	while (pem_block_next(&text, &block, &err) > 0) {
		must(block.line >= line && block.text.len <= size);
		must(block.text.ptr >= (const char *)data &&
			block.text.ptr + block.text.len <= (const char *)data + size);
		line = block.line;
		bio = BIO_new_mem_buf(block.text.ptr, (int)block.text.len);
		crl = PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL);
		if (crl)
			check_table(crl);
		X509_CRL_free(crl);
		BIO_free(bio);
		ERR_clear_error();
	}
}

static void load(const char *ca, const char *crl)
{
	struct tls_trust_spec spec = {.ca_path = ca, .crl_paths = &crl, .n_crls = crl != NULL};
	struct tls_trust *trust;
	struct err err = {""};

	if (tls_trust_load(&spec, &trust, &err) == 0)
		tls_trust_put(trust);
	else
		must(*err.text != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	must(ftruncate(input_fd, 0) == 0 && pwrite(input_fd, data, size, 0) == (ssize_t)size);
	parse_der(data, size);
	parse_pem(data, size);
	load(input_path, NULL);
	load(ca_path, input_path);
	return 0;
}
