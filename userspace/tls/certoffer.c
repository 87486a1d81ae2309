/* What a client can use of a certificate: see certoffer.h. */
#include "tls/certoffer.h"

static bool list_has(const uint8_t *list, size_t n, uint16_t code)
{
	size_t i;

	for (i = 0; i < n; i++)
		if ((list[2 * i] << 8 | list[2 * i + 1]) == code)
			return true;
	return false;
}

/* The curve of an ECDSA key: its group and, in TLS 1.3, the one scheme it can sign with. */
static void curve_codes(uint32_t bits, uint16_t *ret_group, uint16_t *ret_scheme)
{
	*ret_group = bits == 256 ? 0x0017 : bits == 384 ? 0x0018 : 0x0019;
	*ret_scheme = bits == 256 ? 0x0403 : bits == 384 ? 0x0503 : 0x0603;
}

static const struct tls_policy *policy_of(const struct cert_offer *offer)
{
	return offer->policy ? offer->policy : tls_policy_default();
}

/* Whether a key can sign with a scheme, by code points: in TLS 1.2 the low byte of all but the newer
 * schemes is the kind of the key (RFC 5246 7.4.1.4.1). */
static bool can_sign(const struct cert_facts *facts, uint16_t code, bool is_tls13)
{
	bool is_pss = code >= 0x0804 && code <= 0x0806;
	uint16_t group, only;

	switch (facts->key_kind) {
	case KEY_RSA:
		return is_pss || (!is_tls13 && code < 0x0700 && (code & 0xff) == 1);
	case KEY_ED25519:
		return code == 0x0807;
	default:
		curve_codes(facts->key_bits, &group, &only);
		return is_tls13 ? code == only : code < 0x0700 && (code & 0xff) == 3;
	}
}

static bool can_use_scheme(const struct cert_facts *facts, const struct cert_offer *offer)
{
	const struct tls_policy *policy = policy_of(offer);
	bool is_tls13 = offer->version == TLS_VERSION_1_3;
	uint16_t code;
	size_t i;

	/* TLS 1.2 without the extension: SHA-1, which everybody extends. Before it there is nothing
	 * to choose. */
	if (!offer->schemes || (offer->version && offer->version < TLS_VERSION_1_2))
		return facts->key_kind != KEY_ED25519;
	for (i = 0; i < policy->count[TLS_POLICY_SCHEMES]; i++) {
		code = tls_policy_at(policy, TLS_POLICY_SCHEMES, i)->code;
		if (can_sign(facts, code, is_tls13) &&
			list_has(offer->schemes, offer->n_schemes, code))
			return true;
	}
	return false;
}

/* A token's answer to RSA key transport tells a stranger whether the padding was right: he could have
 * anything decrypted and signed by asking often enough (Bleichenbacher). It is never used with one. */
static bool is_for_key(const struct cert_facts *facts, const struct tls_policy_algorithm *cipher)
{
	if (cipher->signer == TLS_SIGNER_TRANSPORT && facts->is_in_token)
		return false;
	return (cipher->signer != TLS_SIGNER_ECDSA) == (facts->key_kind == KEY_RSA);
}

/* Whether there is a cipher, known here and there, for this kind of key and this version. */
static bool has_cipher(const struct cert_facts *facts, const struct cert_offer *offer)
{
	const struct tls_policy *policy = policy_of(offer);
	uint16_t version = offer->version ? offer->version : TLS_VERSION_1_2;
	size_t i;

	for (i = 0; i < policy->count[TLS_POLICY_CIPHERS]; i++) {
		const struct tls_policy_algorithm *cipher =
			tls_policy_at(policy, TLS_POLICY_CIPHERS, i);

		if (cipher->since <= version && is_for_key(facts, cipher) &&
			list_has(offer->ciphers, offer->n_ciphers, cipher->code))
			return true;
	}
	return false;
}

/* Before TLS 1.3: a cipher with this kind of signature, and for ECDSA the curve (RFC 8422 5.3). */
static bool can_use_suite(const struct cert_facts *facts, const struct cert_offer *offer)
{
	uint16_t group, scheme;

	if (offer->version == TLS_VERSION_1_3)
		return true;
	if (!has_cipher(facts, offer))
		return false;
	if (facts->key_kind != KEY_ECDSA || !offer->groups)
		return true;
	curve_codes(facts->key_bits, &group, &scheme);
	return list_has(offer->groups, offer->n_groups, group);
}

unsigned int certoffer_score(const struct cert_facts *facts, const struct cert_offer *offer)
{
	if (!can_use_scheme(facts, offer) || !can_use_suite(facts, offer))
		return 0;
	if (facts->is_self_signed || !facts->signature_scheme)
		return 2;
	if (offer->cert_schemes)
		return list_has(offer->cert_schemes, offer->n_cert_schemes, facts->signature_scheme)
			       ? 2
			       : 1;
	if (!offer->schemes)
		return 2;
	return list_has(offer->schemes, offer->n_schemes, facts->signature_scheme) ? 2 : 1;
}
