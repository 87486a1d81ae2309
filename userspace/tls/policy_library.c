/*
 * What this OpenSSL can of a security policy: see policy.h. It is asked once, algorithm by
 * algorithm, because it depends on how it was built (3DES is usually left out) and on its version
 * (ML-KEM).
 */
#include "tls/policy.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/ssl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool available[TLS_POLICY_LISTS][TLS_POLICY_LIST_MAX];
static bool has_fips;

static bool is_accepted(SSL_CTX *ctx, enum tls_policy_list list, const char *name)
{
	switch (list) {
	case TLS_POLICY_CIPHERS:
		return SSL_CTX_set_cipher_list(ctx, name) == 1;
	case TLS_POLICY_SUITES:
		return SSL_CTX_set_ciphersuites(ctx, name) == 1;
	case TLS_POLICY_GROUPS:
		return SSL_CTX_set1_groups_list(ctx, name) == 1;
	default:
		return SSL_CTX_set1_sigalgs_list(ctx, name) == 1;
	}
}

static void ask(void)
{
	SSL_CTX *ctx = SSL_CTX_new(TLS_server_method());
	enum tls_policy_list list;
	size_t i, n;

	if (!ctx)
		abort();
	SSL_CTX_set_security_level(ctx, 0);
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		const struct tls_policy_algorithm *rows = tls_policy_algorithms(list, &n);

		for (i = 0; i < n; i++)
			available[list][i] = is_accepted(ctx, list, rows[i].name);
	}
	SSL_CTX_free(ctx);
	ERR_clear_error();
	/* A module that is loaded does nothing until algorithms are asked of it. */
	has_fips = OSSL_PROVIDER_available(NULL, "fips") &&
		   EVP_default_properties_is_fips_enabled(NULL);
}

bool tls_policy_is_available(enum tls_policy_list list, size_t algorithm)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, ask);
	return available[list][algorithm];
}

static bool has_group_for(const struct tls_policy *policy, uint16_t version)
{
	size_t i;

	for (i = 0; i < policy->count[TLS_POLICY_GROUPS]; i++)
		if (tls_policy_at(policy, TLS_POLICY_GROUPS, i)->since <= version)
			return true;
	return false;
}

/* Groups that are for TLS 1.3 alone leave nothing to ECDHE before. */
static void drop_without_group(struct tls_policy *offered)
{
	size_t i, n = 0;

	if (!offered->count[TLS_POLICY_GROUPS] || has_group_for(offered, TLS_VERSION_1_2))
		return;
	for (i = 0; i < offered->count[TLS_POLICY_CIPHERS]; i++)
		if (strncmp(tls_policy_at(offered, TLS_POLICY_CIPHERS, i)->name, "ECDHE-", 6) != 0)
			offered->item[TLS_POLICY_CIPHERS][n++] =
				offered->item[TLS_POLICY_CIPHERS][i];
	offered->count[TLS_POLICY_CIPHERS] = (uint8_t)n;
}

/* Whether the policy has a cipher (1.3: suite) for this version. */
static bool has_any_for(const struct tls_policy *policy, uint16_t version)
{
	size_t i;

	if (version == TLS_VERSION_1_3)
		return policy->count[TLS_POLICY_SUITES] > 0;
	for (i = 0; i < policy->count[TLS_POLICY_CIPHERS]; i++)
		if (tls_policy_at(policy, TLS_POLICY_CIPHERS, i)->since <= version)
			return true;
	return false;
}

void tls_policy_offered(const struct tls_policy *policy, struct tls_policy *ret_offered)
{
	struct tls_policy offered = *policy;
	enum tls_policy_list list;
	size_t i;

	offered.group_breaks = 0;
	for (list = 0; list < TLS_POLICY_LISTS; list++) {
		offered.count[list] = 0;
		for (i = 0; i < policy->count[list]; i++) {
			if (list == TLS_POLICY_GROUPS && policy->group_breaks >> i & 1)
				offered.group_breaks |= UINT64_C(1) << offered.count[list];
			if (tls_policy_is_available(list, policy->item[list][i]))
				offered.item[list][offered.count[list]++] = policy->item[list][i];
		}
	}
	offered.group_breaks &= ~UINT64_C(1); /* nothing is before the first */
	drop_without_group(&offered);
	while (offered.version_min <= offered.version_max &&
		!has_any_for(&offered, offered.version_min))
		offered.version_min++;
	while (offered.version_max > offered.version_min &&
		!has_any_for(&offered, offered.version_max))
		offered.version_max--;
	*ret_offered = offered;
}

bool tls_policy_lacks_fips(const struct tls_policy *policy)
{
	(void)tls_policy_is_available(TLS_POLICY_SUITES, 0); /* has asked */
	return policy->wants_fips && !has_fips;
}

size_t tls_policy_missing(const struct tls_policy *policy, char *ret_text, size_t bytes)
{
	enum tls_policy_list list;
	size_t i, used = 0, n = 0;

	ret_text[0] = '\0';
	for (list = 0; list < TLS_POLICY_LISTS; list++)
		for (i = 0; i < policy->count[list]; i++) {
			if (tls_policy_is_available(list, policy->item[list][i]))
				continue;
			if (used < bytes)
				used += (size_t)snprintf(ret_text + used, bytes - used, "%s%s",
					n ? ", " : "", tls_policy_at(policy, list, i)->name);
			n++;
		}
	if (tls_policy_lacks_fips(policy) && ++n && used < bytes)
		snprintf(ret_text + used, bytes - used, "%sa validated FIPS module",
			n > 1 ? ", " : "");
	return n;
}

/* TLS 1.2 with RSA key transport needs no group, and no signature. */
static bool is_transport_only(const struct tls_policy *offered)
{
	size_t i;

	if (offered->version_max >= TLS_VERSION_1_3)
		return false;
	for (i = 0; i < offered->count[TLS_POLICY_CIPHERS]; i++)
		if (tls_policy_at(offered, TLS_POLICY_CIPHERS, i)->signer != TLS_SIGNER_TRANSPORT)
			return false;
	return true;
}

static int refuse_versions(const struct tls_policy *policy, struct err *err)
{
	char missing[256], versions[16];
	bool same = policy->version_min == policy->version_max;

	snprintf(versions, sizeof(versions), "%s%s%s", tls_policy_version_text(policy->version_min),
		same ? "" : " to ", same ? "" : tls_policy_version_text(policy->version_max));
	if (policy->count[TLS_POLICY_CIPHERS] && policy->count[TLS_POLICY_GROUPS] &&
		!has_group_for(policy, policy->version_max))
		return err_set(err, -EINVAL,
			"there is no group for TLS %s (its ciphers need one like x25519 or "
			"secp256r1)",
			versions);
	if (tls_policy_missing(policy, missing, sizeof(missing)))
		return err_set(err, -EINVAL,
			"this OpenSSL has no cipher for TLS %s (it cannot offer: %s)", versions,
			missing);
	return err_set(err, -EINVAL, "there is no cipher for TLS %s", versions);
}

int tls_policy_check(const struct tls_policy *policy, struct err *err)
{
	struct tls_policy offered;
	enum tls_policy_list list;

	if (policy->version_min > policy->version_max)
		return err_set(err, -EINVAL, "no version of TLS is left");
	tls_policy_offered(policy, &offered);
	if (offered.version_min > offered.version_max)
		return refuse_versions(policy, err);
	for (list = TLS_POLICY_GROUPS; list <= TLS_POLICY_SCHEMES; list++)
		if (!offered.count[list] && !is_transport_only(&offered))
			return err_set(err, -EINVAL, "there is no %s that can be used",
				tls_policy_list_noun(list));
	return 0;
}
