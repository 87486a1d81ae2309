/* Reads and checks the files of a trust store: see trust.h. Loader thread. */
#include "tls/trust_parts.h"

#include "core/mem.h"
#include "tls/files.h"
#include "tls/peer.h"
#include "tls/pem_blocks.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum {
	CA_FILE_BYTES_MAX = 16 * 1024 * 1024,
	CRL_FILE_BYTES_MAX = 64 * 1024 * 1024,
	DER_SEQUENCE = 0x30,
	SKEW_S = 300, /* by which the clock of who signs CRLs may be ahead */
};

/* --- files */
static int read_file(const char *path, size_t max, struct slice *ret_text, struct err *err)
{
	uint8_t *bytes;
	size_t len;
	int r = tls_file_read_max(path, max, &bytes, &len, err);

	if (r == -EFBIG)
		return err_set(err, r, "cannot read %s: larger than %zu MiB", path, max >> 20);
	if (r < 0)
		return r;
	*ret_text = (struct slice){(char *)bytes, len};
	return 0;
}

/* --- texts */
static char *bio_text(BIO *bio)
{
	char *bytes;
	long len = BIO_get_mem_data(bio, &bytes);
	char *text = mem_strndup(bytes, (size_t)len);

	BIO_free(bio);
	return text;
}

static char *name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) < 0)
		abort(); /* out of memory, at the control side */
	return bio_text(bio);
}

static char *integer_text(const ASN1_INTEGER *integer)
{
	BIO *bio = BIO_new(BIO_s_mem());

	if (!bio || !tls_peer_put_hex(bio, integer))
		abort();
	return bio_text(bio);
}

static char *fingerprint_text(const uint8_t *digest)
{
	char *text = mem_zalloc(2 * TLS_TRUST_DIGEST_BYTES + 1);
	int i;

	for (i = 0; i < TLS_TRUST_DIGEST_BYTES; i++)
		snprintf(text + 2 * (size_t)i, 3, "%02x", digest[i]);
	return text;
}

/* 0 where there is none, or it cannot be read. */
static int64_t unix_s(const ASN1_TIME *time)
{
	struct tm tm;

	return time && ASN1_TIME_to_tm(time, &tm) ? (int64_t)timegm(&tm) : 0;
}

/* --- CAs */
static int check_ca(X509 *ca, const char *subject, struct err *err)
{
	uint32_t flags = X509_get_extension_flags(ca);

	if (flags & EXFLAG_INVALID)
		return err_set(err, -EINVAL, "%s has a malformed extension", subject);
	if (!(flags & EXFLAG_BCONS) || !(flags & EXFLAG_CA))
		return err_set(err, -EINVAL,
			"%s is not the certificate of a CA (basicConstraints CA:TRUE is missing)",
			subject);
	if (flags & EXFLAG_KUSAGE && !(X509_get_key_usage(ca) & KU_KEY_CERT_SIGN))
		return err_set(err, -EINVAL,
			"%s must not sign certificates (keyUsage without keyCertSign)", subject);
	return 0;
}

static int check_time(X509 *ca, const uint8_t *digest, const struct tls_trust *known,
	const char *subject, struct err *err)
{
	bool is_over = X509_cmp_current_time(X509_get0_notAfter(ca)) < 0;

	if (!is_over && X509_cmp_current_time(X509_get0_notBefore(ca)) <= 0)
		return 0;
	if (known && trust_has_digest(known, digest))
		return 0;
	return is_over ? err_set(err, -EINVAL, "%s is expired: take it out", subject)
		       : err_set(err, -ETIME, "%s is not valid yet", subject);
}

static void note_repeat(struct tls_trust *trust, uint32_t line)
{
	trust->repeats =
		mem_realloc(trust->repeats, (trust->n_repeats + 1) * sizeof(*trust->repeats));
	trust->repeats[trust->n_repeats++] = line;
}

/* Takes over `ca`. */
static void add_ca(struct tls_trust *trust, X509 *ca, const uint8_t *digest, uint32_t line)
{
	size_t n = trust->n_cas;

	if (!X509_STORE_add_cert(trust->store, ca) ||
		!EVP_DigestUpdate(trust->digest, digest, TLS_TRUST_DIGEST_BYTES))
		abort();
	trust->cas = mem_realloc(trust->cas, (n + 1) * sizeof(*trust->cas));
	trust->ca_facts = mem_realloc(trust->ca_facts, (n + 1) * sizeof(*trust->ca_facts));
	trust->cas[n] = ca;
	trust->ca_facts[n] = (struct tls_trust_ca){
		.subject = name_text(X509_get_subject_name(ca)),
		.issuer = name_text(X509_get_issuer_name(ca)),
		.serial_hex = integer_text(X509_get0_serialNumber(ca)),
		.fingerprint_sha256 = fingerprint_text(digest),
		.not_before_unix_s = unix_s(X509_get0_notBefore(ca)),
		.not_after_unix_s = unix_s(X509_get0_notAfter(ca)),
		.line = line,
	};
	trust->n_cas++;
	trust_note_digest(trust, digest);
}

/* A bundle says nothing about what a certificate is for: the settings of a trusted certificate of
 * OpenSSL's own kind would be lost. */
static bool is_certificate(struct slice label)
{
	return slice_eq(label, SLICE("CERTIFICATE")) || slice_eq(label, SLICE("X509 CERTIFICATE"));
}

static int read_ca(struct tls_trust *trust, const struct pem_block *block,
	const struct tls_trust_spec *spec, struct err *err)
{
	uint8_t digest[TLS_TRUST_DIGEST_BYTES];
	BIO *bio;
	X509 *ca;
	char *subject;
	int r;

	if (!is_certificate(block->label))
		return err_set(err, -EINVAL, "a bundle of CAs holds certificates only, not a %.*s",
			block->label.len < 64 ? (int)block->label.len : 64, block->label.ptr);
	if (trust->n_cas == TLS_TRUST_CAS_MAX)
		return err_set(err, -EFBIG, "more than %d CAs", TLS_TRUST_CAS_MAX);
	bio = BIO_new_mem_buf(block->text.ptr, (int)block->text.len);
	ca = bio ? PEM_read_bio_X509(bio, NULL, NULL, NULL) : NULL;
	BIO_free(bio);
	if (!ca) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "this is not a certificate");
	}
	trust_digest(ca, digest);
	subject = name_text(X509_get_subject_name(ca));
	r = check_ca(ca, subject, err);
	if (r == 0 && spec->is_strict)
		r = check_time(ca, digest, spec->known, subject, err);
	free(subject);
	if (r == 0 && !trust_has_digest(trust, digest)) {
		add_ca(trust, ca, digest, block->line);
		return 0;
	}
	if (r == 0)
		note_repeat(trust, block->line);
	X509_free(ca);
	return r;
}

int trust_read_cas(struct tls_trust *trust, const struct tls_trust_spec *spec, struct err *err)
{
	const char *path = spec->ca_path;
	struct slice file = {0};
	struct pem_text text;
	struct pem_block block;
	int r = read_file(path, CA_FILE_BYTES_MAX, &file, err);

	if (r < 0)
		return r;
	text = (struct pem_text){file, 1};
	while ((r = pem_block_next(&text, &block, err)) > 0) {
		r = read_ca(trust, &block, spec, err);
		if (r < 0) {
			err_context(err, r, "line %u", block.line);
			break;
		}
	}
	free((char *)file.ptr);
	if (r < 0)
		return err_context(err, r, "%s", path);
	if (!trust->n_cas)
		return err_set(err, -EINVAL, "%s has no certificate in PEM form", path);
	return 0;
}

/* --- CRLs */
/* The CA of the store that signed it. */
static int check_issuer(const struct tls_trust *trust, X509_CRL *crl, const char *issuer,
	const char *ca_path, struct err *err)
{
	bool has_name = false;
	size_t i;

	for (i = 0; i < trust->n_cas; i++) {
		X509 *ca = trust->cas[i];

		if (X509_NAME_cmp(X509_get_subject_name(ca), X509_CRL_get_issuer(crl)) != 0)
			continue;
		has_name = true;
		if (X509_CRL_verify(crl, X509_get0_pubkey(ca)) != 1)
			continue;
		if (X509_get_extension_flags(ca) & EXFLAG_KUSAGE &&
			!(X509_get_key_usage(ca) & KU_CRL_SIGN))
			return err_set(err, -EINVAL,
				"%s must not sign CRLs (keyUsage without cRLSign)", issuer);
		return 0;
	}
	ERR_clear_error();
	return err_set(err, -EINVAL,
		has_name ? "the signature of the CRL of %s is not good"
			 : "the CRL is of %s, which is none of the CAs in %s",
		issuer, ca_path);
}

static int check_crl(struct tls_trust *trust, X509_CRL *crl, const char *issuer,
	const char *ca_path, struct err *err)
{
	const ASN1_TIME *next = X509_CRL_get0_nextUpdate(crl);
	time_t latest = time(NULL) + SKEW_S;

	if (!unix_s(X509_CRL_get0_lastUpdate(crl)) || (next && !unix_s(next)))
		return err_set(err, -EINVAL, "the CRL of %s has a malformed time", issuer);
	if (X509_cmp_time(X509_CRL_get0_lastUpdate(crl), &latest) > 0)
		return err_set(err, -ETIME,
			"the CRL of %s is not valid yet (is this host's clock right?)", issuer);
	return check_issuer(trust, crl, issuer, ca_path, err);
}

static char *crl_number(X509_CRL *crl)
{
	ASN1_INTEGER *number = X509_CRL_get_ext_d2i(crl, NID_crl_number, NULL, NULL);
	char *text = number ? integer_text(number) : NULL;

	ASN1_INTEGER_free(number);
	return text;
}

/* Issuer and serial numbers. Sessions outlive a list that is only signed again. */
static void digest_crl(const struct tls_trust *trust, struct trust_crl *crl)
{
	EVP_MD_CTX *digest = EVP_MD_CTX_new();
	const uint8_t *issuer, *entry;
	size_t issuer_len;
	uint32_t i;

	if (!digest || !EVP_DigestInit_ex(digest, EVP_sha256(), NULL) ||
		!X509_NAME_get0_der(crl->issuer, &issuer, &issuer_len) ||
		!EVP_DigestUpdate(digest, issuer, issuer_len))
		abort(); /* out of memory, at the control side */
	for (i = 0; i < crl->table.n; i++) {
		entry = crl_table_entry(&crl->table, i);
		if (!EVP_DigestUpdate(digest, entry, crl_entry_bytes(entry)))
			abort();
	}
	if (!EVP_DigestFinal_ex(digest, crl->digest, NULL) ||
		!EVP_DigestUpdate(trust->digest, crl->digest, sizeof(crl->digest)))
		abort();
	EVP_MD_CTX_free(digest);
}

static void add_crl(
	struct tls_trust *trust, X509_CRL *crl, const struct crl_table *table, const char *path)
{
	size_t n = trust->n_crls;
	struct trust_crl *mine;

	trust->crls = mem_realloc(trust->crls, (n + 1) * sizeof(*trust->crls));
	trust->crl_facts = mem_realloc(trust->crl_facts, (n + 1) * sizeof(*trust->crl_facts));
	mine = &trust->crls[n];
	*mine = (struct trust_crl){X509_NAME_dup(X509_CRL_get_issuer(crl)), *table, {0}};
	if (!mine->issuer)
		abort();
	digest_crl(trust, mine);
	trust->crl_facts[n] = (struct tls_trust_crl){
		.path = mem_strdup(path),
		.issuer = name_text(X509_CRL_get_issuer(crl)),
		.number_hex = crl_number(crl),
		.this_update_unix_s = unix_s(X509_CRL_get0_lastUpdate(crl)),
		.next_update_unix_s = unix_s(X509_CRL_get0_nextUpdate(crl)),
		.n_revoked = table->n,
		.bytes = table->len + table->n * sizeof(*table->at),
	};
	trust->facts.n_revoked += table->n;
	trust->n_crls++;
}

static int take_crl(struct tls_trust *trust, X509_CRL *crl, const char *path, const char *ca_path,
	struct err *err)
{
	char *issuer = name_text(X509_CRL_get_issuer(crl));
	struct crl_table table;
	int r = check_crl(trust, crl, issuer, ca_path, err);

	if (r == 0) {
		r = crl_table_init(&table, crl, err);
		if (r < 0)
			err_context(err, r, "the CRL of %s", issuer);
	}
	free(issuer);
	if (r == 0 && trust->n_crls == TLS_TRUST_CRLS_MAX) {
		crl_table_fini(&table);
		r = err_set(err, -EFBIG, "more than %d CRLs", TLS_TRUST_CRLS_MAX);
	}
	if (r == 0)
		add_crl(trust, crl, &table, path);
	return r;
}

/* Takes over `crl`; NULL: it could not be parsed. */
static int take_parsed(struct tls_trust *trust, X509_CRL *crl, const char *path,
	const char *ca_path, struct err *err)
{
	int r;

	if (!crl) {
		ERR_clear_error();
		return err_set(err, -EINVAL, "this is not a CRL");
	}
	r = take_crl(trust, crl, path, ca_path, err);
	X509_CRL_free(crl);
	return r;
}

static int read_pem_crl(struct tls_trust *trust, const struct pem_block *block, const char *path,
	const char *ca_path, struct err *err)
{
	X509_CRL *crl;
	BIO *bio;
	int r;

	if (!slice_eq(block->label, SLICE("X509 CRL")))
		r = err_set(err, -EINVAL, "a file of CRLs holds X509 CRL blocks only, not a %.*s",
			block->label.len < 64 ? (int)block->label.len : 64, block->label.ptr);
	else {
		bio = BIO_new_mem_buf(block->text.ptr, (int)block->text.len);
		crl = bio ? PEM_read_bio_X509_CRL(bio, NULL, NULL, NULL) : NULL;
		BIO_free(bio);
		r = take_parsed(trust, crl, path, ca_path, err);
	}
	return r < 0 ? err_context(err, r, "line %u", block->line) : 0;
}

static int read_der_crl(struct tls_trust *trust, struct slice file, const char *path,
	const char *ca_path, struct err *err)
{
	const uint8_t *at = (const uint8_t *)file.ptr;
	X509_CRL *crl = d2i_X509_CRL(NULL, &at, (long)file.len);

	return take_parsed(trust, crl, path, ca_path, err);
}

static int read_pem_crls(struct tls_trust *trust, struct slice file, const char *path,
	const char *ca_path, struct err *err)
{
	struct pem_text text = {file, 1};
	struct pem_block block;
	size_t before = trust->n_crls;
	int r;

	while ((r = pem_block_next(&text, &block, err)) > 0) {
		r = read_pem_crl(trust, &block, path, ca_path, err);
		if (r < 0)
			return r;
	}
	if (r == 0 && trust->n_crls == before)
		return err_set(err, -EINVAL, "there is no CRL in it, neither PEM nor DER");
	return r;
}

int trust_read_crls(struct tls_trust *trust, const char *path, const char *ca_path, struct err *err)
{
	struct slice file = {0};
	int r = read_file(path, CRL_FILE_BYTES_MAX, &file, err);

	if (r < 0)
		return r;
	if (file.len && (uint8_t)file.ptr[0] == DER_SEQUENCE)
		r = read_der_crl(trust, file, path, ca_path, err);
	else
		r = read_pem_crls(trust, file, path, ca_path, err);
	free((char *)file.ptr);
	return r < 0 ? err_context(err, r, "%s", path) : 0;
}
