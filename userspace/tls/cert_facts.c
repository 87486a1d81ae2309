/* Facts about a certificate: see cert_facts.h. */
#include "tls/cert_facts.h"

#include "core/mem.h"
#include "tls/certstore.h"
#include <openssl/err.h>
#include <openssl/evp.h>
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

/* DNS characters, a wildcard only as the whole leftmost label of three or more. */
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

static void add_name(struct cert_facts *facts, const ASN1_STRING *string)
{
	const char *bytes = (const char *)ASN1_STRING_get0_data(string);
	size_t len = (size_t)ASN1_STRING_length(string), i;
	char **names = (char **)facts->names;
	char *name;

	if (len && bytes[len - 1] == '.')
		len--;
	if (!is_dns_name(bytes, len))
		return;
	name = mem_strndup(bytes, len);
	for (i = 0; i < len; i++)
		if (name[i] >= 'A' && name[i] <= 'Z')
			name[i] = (char)(name[i] + ('a' - 'A'));
	names = mem_realloc(names, (facts->n_names + 1) * sizeof(*names));
	names[facts->n_names++] = name;
	facts->names = (const char *const *)names;
}

static void add_common_name(struct cert_facts *facts, const X509_NAME *subject)
{
	int at = X509_NAME_get_index_by_NID(subject, NID_commonName, -1);

	if (at >= 0)
		add_name(facts, X509_NAME_ENTRY_get_data(X509_NAME_get_entry(subject, at)));
}

static void read_names(X509 *leaf, struct cert_facts *facts)
{
	GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);
	int i;

	for (i = 0; i < sk_GENERAL_NAME_num(names); i++) {
		const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);

		if (name->type == GEN_DNS)
			add_name(facts, name->d.dNSName);
	}
	if (!names)
		add_common_name(facts, X509_get_subject_name(leaf));
	GENERAL_NAMES_free(names);
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
	const char *text = OBJ_nid2ln(X509_get_signature_nid(leaf));

	X509_get_signature_info(leaf, &hash_nid, &key_nid, &security_bits, &flags);
	facts->signature = text ? text : "unknown";
	facts->signature_scheme = signature_scheme(key_nid, hash_nid);
	if (key_nid == NID_ED25519)
		facts->hash_bits = 512;
	else if (hash_nid != NID_undef)
		facts->hash_bits = (uint32_t)EVP_MD_get_size(EVP_get_digestbynid(hash_nid)) * 8;
}

void cert_facts_read(X509 *leaf, struct cert_facts *facts)
{
	read_names(leaf, facts);
	read_signature(leaf, facts);
	facts->subject = cert_facts_name_text(X509_get_subject_name(leaf));
	facts->issuer = cert_facts_name_text(X509_get_issuer_name(leaf));
	facts->serial_hex = serial_text(leaf);
	facts->fingerprint_sha256 = fingerprint_text(leaf);
	facts->not_before_unix_s = unix_s(X509_get0_notBefore(leaf));
	facts->not_after_unix_s = unix_s(X509_get0_notAfter(leaf));
	facts->is_self_signed = X509_self_signed(leaf, 0) == 1;
	ERR_clear_error();
}

void cert_facts_free(struct cert_facts *facts)
{
	uint32_t i;

	for (i = 0; i < facts->n_names; i++)
		free((char *)facts->names[i]);
	free((void *)facts->names);
	free((char *)facts->subject);
	free((char *)facts->issuer);
	free((char *)facts->serial_hex);
	free((char *)facts->fingerprint_sha256);
}
