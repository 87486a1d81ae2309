/* RSA keys: see keys_rsa.h. */
#include "tls/keys_rsa.h"

#include "core/attr.h"
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>

enum part { N, E, D, P, Q, D_P, D_Q, Q_INVERSE, PARTS };

static const char *const names[PARTS] = {
	[N] = OSSL_PKEY_PARAM_RSA_N,
	[E] = OSSL_PKEY_PARAM_RSA_E,
	[D] = OSSL_PKEY_PARAM_RSA_D,
	[P] = OSSL_PKEY_PARAM_RSA_FACTOR1,
	[Q] = OSSL_PKEY_PARAM_RSA_FACTOR2,
	[D_P] = OSSL_PKEY_PARAM_RSA_EXPONENT1,
	[D_Q] = OSSL_PKEY_PARAM_RSA_EXPONENT2,
	[Q_INVERSE] = OSSL_PKEY_PARAM_RSA_COEFFICIENT1,
};

/* False: it has not all of them, or more than two factors. */
static bool get_parts(const EVP_PKEY *pkey, BIGNUM *parts[PARTS])
{
	BIGNUM *third = NULL;
	bool has_all = true;
	int i;

	for (i = 0; i < PARTS && has_all; i++)
		has_all = EVP_PKEY_get_bn_param(pkey, names[i], &parts[i]) == 1;
	if (has_all && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR3, &third) == 1)
		has_all = false;
	BN_clear_free(third);
	return has_all;
}

/* a * b = 1 (mod m) */
static bool is_inverse(BIGNUM *a, BIGNUM *b, BIGNUM *m, BIGNUM *work, BN_CTX *ctx)
{
	return BN_mod_mul(work, a, b, m, ctx) && BN_is_one(work);
}

/* Of one factor: its exponent is that of the key, and undoes the public one. */
static bool is_factor(
	BIGNUM *const parts[PARTS], enum part factor, enum part exponent, BIGNUM *work, BN_CTX *ctx)
{
	BIGNUM *less = BN_dup(parts[factor]);
	bool is_good = less && BN_sub_word(less, 1) && !BN_is_zero(less) &&
		       BN_mod(work, parts[D], less, ctx) && BN_cmp(work, parts[exponent]) == 0 &&
		       is_inverse(parts[E], parts[exponent], less, work, ctx);

	BN_clear_free(less);
	return is_good;
}

static bool fit_together(BIGNUM *const parts[PARTS], BIGNUM *work, BN_CTX *ctx)
{
	return BN_mul(work, parts[P], parts[Q], ctx) && BN_cmp(work, parts[N]) == 0 &&
	       is_factor(parts, P, D_P, work, ctx) && is_factor(parts, Q, D_Q, work, ctx) &&
	       is_inverse(parts[Q], parts[Q_INVERSE], parts[P], work, ctx);
}

bool keys_rsa_is_whole(const struct evp_pkey_st *pkey)
{
	BIGNUM *parts[PARTS] = {0}, *work = BN_new();
	BN_CTX *ctx = BN_CTX_new();
	bool is_whole = true;
	int i;

	if (work && ctx && get_parts(pkey, parts))
		is_whole = fit_together(parts, work, ctx);
	for (i = 0; i < PARTS; i++)
		BN_clear_free(parts[i]);
	BN_clear_free(work);
	BN_CTX_free(ctx);
	return is_whole;
}
