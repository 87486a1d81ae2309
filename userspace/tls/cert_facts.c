/* Facts about a certificate, read out of it: see cert.h and cert_parts.h. */
#include "tls/cert_parts.h"

#include "core/mem.h"
#include "tls/certstore.h"
#include <errno.h>
#include <openssl/ct.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/tls1.h>
#include <openssl/x509v3.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

char *cert_facts_name_text(const X509_NAME *name)
{
	BIO *bio = BIO_new(BIO_s_mem());
	char *text, *bytes;
	long len;

	if (!bio || X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB) < 0) {
		BIO_free(bio);
		return mem_strdup("(unreadable)");
	}
	len = BIO_get_mem_data(bio, &bytes);
	text = mem_strndup(bytes, (size_t)len);
	BIO_free(bio);
	return text;
}

static char *hex_text(const uint8_t *bytes, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text = mem_alloc(2 * len + 1);
	size_t i;

	for (i = 0; i < len; i++) {
		text[2 * i] = digits[bytes[i] >> 4];
		text[2 * i + 1] = digits[bytes[i] & 15];
	}
	text[2 * len] = '\0';
	return text;
}

static char *serial_text(X509 *leaf)
{
	const ASN1_INTEGER *serial = X509_get0_serialNumber(leaf);

	return hex_text(ASN1_STRING_get0_data(serial), (size_t)ASN1_STRING_length(serial));
}

static char *fingerprint_text(X509 *leaf)
{
	uint8_t digest[EVP_MAX_MD_SIZE];
	unsigned int len = 0;

	X509_digest(leaf, EVP_sha256(), digest, &len);
	return hex_text(digest, len);
}

static int64_t unix_s(const ASN1_TIME *time)
{
	struct tm tm = {0};

	return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

/* DNS characters, a wildcard only as the whole leftmost label. */
static bool is_dns_name(const char *name, size_t len)
{
	size_t i, from = 0;

	if (len > 2 && name[0] == '*' && name[1] == '.')
		from = 2;
	if (len <= from || len - from > CERTSTORE_NAME_MAX)
		return false;
	for (i = from; i < len; i++) {
		char c = name[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
			    c == '-' || c == '_' || c == '.'))
			return false;
	}
	return true;
}

/* Names one behind the other, a length byte before each: a name is shorter than 256 bytes. */
struct names {
	uint8_t *bytes;
	uint32_t len, n;
};

static bool has_name(const struct names *names, const uint8_t *name, size_t len)
{
	uint32_t at;

	for (at = 0; at < names->len; at += 1u + names->bytes[at])
		if (names->bytes[at] == len && !memcmp(names->bytes + at + 1, name, len))
			return true;
	return false;
}

static void add_name(struct names *names, const ASN1_STRING *string)
{
	const char *bytes = (const char *)ASN1_STRING_get0_data(string);
	size_t len = (size_t)ASN1_STRING_length(string), i;
	uint8_t name[CERTSTORE_NAME_MAX + 3];

	if (len && bytes[len - 1] == '.')
		len--;
	if (!is_dns_name(bytes, len) || names->len + len > CERT_NAMES_BYTES_MAX)
		return;
	for (i = 0; i < len; i++)
		name[i] = (uint8_t)(bytes[i] >= 'A' && bytes[i] <= 'Z' ? bytes[i] + ('a' - 'A')
								       : bytes[i]);
	if (has_name(names, name, len))
		return;
	names->bytes = mem_realloc(names->bytes, names->len + 1 + len);
	names->bytes[names->len] = (uint8_t)len;
	memcpy(names->bytes + names->len + 1, name, len);
	names->len += 1 + (uint32_t)len;
	names->n++;
}

static void add_common_name(struct names *names, const X509_NAME *subject)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at >= 0)
		add_name(names, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

/* A client looks at all names but the CN's if there are others (RFC 9525 6.2): what is damaged must not
 * be taken for absent. */
static int read_names(X509 *leaf, struct names *ret_names, struct err *err)
{
	int why = 0, i;
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, &why, NULL);

	if (!names && why != -1)
		return err_set(err, -EINVAL,
			"the alternative names (SAN) in the certificate are damaged, or there twice");
	for (i = 0; i < sk_GENERAL_NAME_num(names) && ret_names->n <= CERT_NAMES_MAX; i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(ret_names, name->d.dNSName);
	}
	if (!names)
		add_common_name(ret_names, X509_get_subject_name(leaf));
	GENERAL_NAMES_free(names);
	if (ret_names->n <= CERT_NAMES_MAX)
		return 0;
	return err_set(err, -E2BIG, "the certificate has more than %d names", CERT_NAMES_MAX);
}

/* Code point of the signature on the leaf (RFC 8446 4.2.3). */
static uint16_t signature_scheme(int key_nid, int hash_nid)
{
	static const struct {
		int key_nid, hash_nid;
		uint16_t scheme;
	} schemes[] = {
		{NID_X9_62_id_ecPublicKey, NID_sha256, 0x0403},
		{NID_X9_62_id_ecPublicKey, NID_sha384, 0x0503},
		{NID_X9_62_id_ecPublicKey, NID_sha512, 0x0603},
		{NID_X9_62_id_ecPublicKey, NID_sha1, 0x0203},
		{NID_rsaEncryption, NID_sha256, 0x0401},
		{NID_rsaEncryption, NID_sha384, 0x0501},
		{NID_rsaEncryption, NID_sha512, 0x0601},
		{NID_rsaEncryption, NID_sha1, 0x0201},
		{NID_rsassaPss, NID_sha256, 0x0804},
		{NID_rsassaPss, NID_sha384, 0x0805},
		{NID_rsassaPss, NID_sha512, 0x0806},
		{NID_ED25519, NID_undef, 0x0807},
	};
	size_t i;

	for (i = 0; i < array_len(schemes); i++)
		if (schemes[i].key_nid == key_nid && schemes[i].hash_nid == hash_nid)
			return schemes[i].scheme;
	return 0;
}

static void read_signature(X509 *leaf, struct cert_facts *facts)
{
	int hash_nid = NID_undef, key_nid = NID_undef, security_bits = 0;
	uint32_t flags = 0;

	X509_get_signature_info(leaf, &hash_nid, &key_nid, &security_bits, &flags);
	facts->signature_scheme = signature_scheme(key_nid, hash_nid);
	if (key_nid == NID_ED25519)
		facts->hash_bits = 512;
	else if (hash_nid != NID_undef)
		facts->hash_bits = (uint16_t)(8 * EVP_MD_get_size(EVP_get_digestbynid(hash_nid)));
}

/* RFC 7633: the certificate asks for the extension status_request. */
static bool has_must_staple(X509 *leaf)
{
	TLS_FEATURE *features = X509_get_ext_d2i(leaf, NID_tlsfeature, NULL, NULL);
	bool is_found = false;
	int i;

	for (i = 0; i < sk_ASN1_INTEGER_num(features); i++)
		if (ASN1_INTEGER_get(sk_ASN1_INTEGER_value(features, i)) ==
			TLSEXT_TYPE_status_request)
			is_found = true;
	TLS_FEATURE_free(features);
	return is_found;
}

int cert_facts_read(X509 *leaf, struct cert_facts *facts, uint8_t **ret_names,
	uint32_t *ret_names_len, struct err *err)
{
	struct names names = {0};
	int r = read_names(leaf, &names, err);

	read_signature(leaf, facts);
	facts->n_names = names.n;
	facts->not_before_unix_s = unix_s(X509_get0_notBefore(leaf));
	facts->not_after_unix_s = unix_s(X509_get0_notAfter(leaf));
	facts->must_staple = has_must_staple(leaf);
	facts->is_self_signed = X509_self_signed(leaf, 0) == 1;
	*ret_names = names.bytes;
	*ret_names_len = names.len;
	ERR_clear_error();
	return r;
}

/* RFC 6962 3.3. */
static uint32_t count_scts(X509 *leaf)
{
	STACK_OF(SCT) *scts = X509_get_ext_d2i(leaf, NID_ct_precert_scts, NULL, NULL);
	uint32_t n = scts ? (uint32_t)sk_SCT_num(scts) : 0;

	SCT_LIST_free(scts);
	return n;
}

static void describe_leaf(X509 *leaf, struct cert_description *description)
{
	const char *signature = OBJ_nid2ln(X509_get_signature_nid(leaf));
	char key_type[KEY_TYPE_TEXT_BYTES] = "unknown";
	enum key_kind kind;
	struct err err;
	uint32_t bits;

	if (key_of_cert(leaf, "", &kind, &bits, key_type, &err) < 0)
		snprintf(key_type, sizeof(key_type), "unknown");
	description->key_type = mem_strdup(key_type);
	description->subject = cert_facts_name_text(X509_get_subject_name(leaf));
	description->issuer = cert_facts_name_text(X509_get_issuer_name(leaf));
	description->serial_hex = serial_text(leaf);
	description->fingerprint_sha256 = fingerprint_text(leaf);
	description->signature = mem_strdup(signature ? signature : "unknown");
	description->n_scts = count_scts(leaf);
}

static void describe_nothing(struct cert_description *description)
{
	static const char text[] = "(unreadable)";

	description->key_type = mem_strdup(text);
	description->subject = mem_strdup(text);
	description->issuer = mem_strdup(text);
	description->serial_hex = mem_strdup(text);
	description->fingerprint_sha256 = mem_strdup(text);
	description->signature = mem_strdup(text);
}

void cert_describe(const struct cert *cert, struct cert_description *ret_description)
{
	const uint8_t *der = cert_record_leaf(&cert->record);
	X509 *leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	char name[CERT_NAME_BYTES];

	*ret_description = (struct cert_description){
		.name = mem_strdup(cert_name(cert, name)),
		.cert_path = cert_source_path(cert->source, cert_file(cert)),
		.key_path = cert_source_path(cert->source, cert_key_file(cert)),
		.n_chain = cert->chain ? (uint32_t)sk_X509_num(certchain_sent(cert->chain)) : 0,
	};
	if (leaf)
		describe_leaf(leaf, ret_description);
	else /* no memory; or it comes from an index, and this OpenSSL does not take it */
		describe_nothing(ret_description);
	X509_free(leaf);
	ERR_clear_error();
}

void cert_description_fini(struct cert_description *description)
{
	free(description->name);
	free(description->cert_path);
	free(description->key_path);
	free(description->subject);
	free(description->issuer);
	free(description->serial_hex);
	free(description->key_type);
	free(description->signature);
	free(description->fingerprint_sha256);
}
