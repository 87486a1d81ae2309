/*
 * What a certificate is worth as a replacement: its strength, as OpenSSL counts it before it lets a
 * handshake use leaf and chain (SSL_CTX_set_security_level(3)), and its dates. See cert.h.
 */
#include "tls/cert_parts.h"

#include "core/mem.h"
#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <stdlib.h>

static uint16_t clamp(int bits)
{
	return bits < 0 ? 0 : bits > UINT16_MAX ? UINT16_MAX : (uint16_t)bits;
}

static uint16_t key_strength(X509 *x509)
{
	EVP_PKEY *key = X509_get0_pubkey(x509);

	return key ? clamp(EVP_PKEY_get_security_bits(key)) : 0;
}

/* Nobody relies on the signature of a self-signed one. */
static uint16_t signature_strength(X509 *x509)
{
	int bits = 0;

	if (X509_get_extension_flags(x509) & EXFLAG_SS)
		return UINT16_MAX;
	return X509_get_signature_info(x509, NULL, NULL, &bits, NULL) ? clamp(bits) : 0;
}

uint16_t cert_strength(X509 *x509)
{
	uint16_t key = key_strength(x509), signature = signature_strength(x509);

	ERR_clear_error();
	return key < signature ? key : signature;
}

/* The first one that is too weak, counted from 1 as in the file. */
static int weak_one(
	const struct cert *cert, X509 *leaf, uint16_t bits, const char *path, struct err *err)
{
	const STACK_OF(X509) *chain = cert->chain ? certchain_sent(cert->chain) : NULL;
	X509 *x509 = leaf;
	const char *signature;
	int i = 0, r;
	char *name;

	while (x509 && cert_strength(x509) >= bits)
		x509 = i < sk_X509_num(chain) ? sk_X509_value(chain, i++) : NULL;
	if (!x509)
		return err_set(err, -EKEYREJECTED, "%s is too weak (%u bits, %u are needed)", path,
			cert->record.facts.security_bits, bits);
	name = cert_facts_name_text(X509_get_subject_name(x509));
	signature = OBJ_nid2ln(X509_get_signature_nid(x509));
	if (key_strength(x509) < bits)
		r = err_set(err, -EKEYREJECTED,
			"the key of certificate %d in %s (%s) is too weak (%d bits)", i + 1, path,
			name, EVP_PKEY_get_bits(X509_get0_pubkey(x509)));
	else
		r = err_set(err, -EKEYREJECTED,
			"the signature on certificate %d in %s (%s) is too weak (%s)", i + 1, path,
			name, signature ? signature : "unknown");
	free(name);
	return r;
}

int cert_check_strength(const struct cert *cert, uint16_t bits, struct err *err)
{
	const uint8_t *der = cert_record_leaf(&cert->record);
	char *path;
	X509 *leaf;
	int r;

	if (cert->record.facts.security_bits >= bits)
		return 0;
	path = cert_source_path(cert->source, cert_file(cert));
	leaf = d2i_X509(NULL, &der, cert->record.leaf_len);
	r = weak_one(cert, leaf, bits, path, err);
	X509_free(leaf);
	free(path);
	ERR_clear_error();
	return r;
}

static bool is_valid(const struct cert *cert, int64_t now_unix_s)
{
	return !cert_is_expired(cert, now_unix_s) && !cert_is_not_yet_valid(cert, now_unix_s);
}

int cert_check_dates(
	const struct cert *cert, const struct cert *old, int64_t now_unix_s, struct err *err)
{
	const struct cert_facts *facts = cert_facts(cert);
	char date[CERT_DATE_BYTES];
	char *path;
	int r;

	if (!old || !is_valid(old, now_unix_s) || is_valid(cert, now_unix_s))
		return 0;
	path = cert_source_path(cert->source, cert_file(cert));
	if (cert_is_expired(cert, now_unix_s))
		r = err_set(err, -EKEYEXPIRED, "the certificate in %s expired on %s", path,
			cert_date_text(facts->not_after_unix_s, date));
	else
		r = err_set(err, -ETIME, "the certificate in %s is not valid before %s", path,
			cert_date_text(facts->not_before_unix_s, date));
	free(path);
	return r;
}
