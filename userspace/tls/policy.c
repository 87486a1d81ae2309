/* Security policies as values: see policy.h. What this OpenSSL can is in policy_library.c. */
#include "tls/policy.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CIPHER(name_, code_, since_, signer_) {name_, code_, since_, TLS_SIGNER_##signer_},
#define SUITE(...)
#define GROUP(...)
#define SCHEME(...)
static const struct tls_policy_algorithm ciphers[] = {
#include "tls/policy_algorithms.def"
};
#define CIPHER(...)
#define SUITE(name_, code_) {name_, code_, TLS_VERSION_1_3, TLS_SIGNER_NONE},
#define GROUP(...)
#define SCHEME(...)
static const struct tls_policy_algorithm suites[] = {
#include "tls/policy_algorithms.def"
};
#define CIPHER(...)
#define SUITE(...)
#define GROUP(name_, code_, since_) {name_, code_, since_, TLS_SIGNER_NONE},
#define SCHEME(...)
static const struct tls_policy_algorithm groups[] = {
#include "tls/policy_algorithms.def"
};
#define CIPHER(...)
#define SUITE(...)
#define GROUP(...)
#define SCHEME(name_, code_) {name_, code_, TLS_VERSION_1_2, TLS_SIGNER_NONE},
static const struct tls_policy_algorithm schemes[] = {
#include "tls/policy_algorithms.def"
};

_Static_assert(array_len(ciphers) <= TLS_POLICY_LIST_MAX && array_len(groups) <= 64 &&
		       array_len(schemes) <= TLS_POLICY_LIST_MAX,
	"a policy can hold every algorithm once");

const struct tls_policy_algorithm *tls_policy_algorithms(enum tls_policy_list list, size_t *ret_n)
{
	static const struct {
		const struct tls_policy_algorithm *rows;
		size_t n;
	} tables[TLS_POLICY_LISTS] = {
		[TLS_POLICY_CIPHERS] = {ciphers, array_len(ciphers)},
		[TLS_POLICY_SUITES] = {suites, array_len(suites)},
		[TLS_POLICY_GROUPS] = {groups, array_len(groups)},
		[TLS_POLICY_SCHEMES] = {schemes, array_len(schemes)},
	};

	*ret_n = tables[list].n;
	return tables[list].rows;
}

const char *tls_policy_list_noun(enum tls_policy_list list)
{
	static const char *const nouns[TLS_POLICY_LISTS] = {
		"cipher", "suite", "group", "signature algorithm"};

	return nouns[list];
}

const char *tls_policy_version_text(uint16_t version)
{
	static const char *const texts[] = {"1.0", "1.1", "1.2", "1.3"};

	return version < TLS_VERSION_1_0 || version > TLS_VERSION_1_3
		       ? "?"
		       : texts[version - TLS_VERSION_1_0];
}

int tls_policy_add(struct tls_policy *policy, enum tls_policy_list list, struct slice name)
{
	const struct tls_policy_algorithm *rows;
	size_t i, at, n;

	rows = tls_policy_algorithms(list, &n);
	for (i = 0; i < n && !slice_eq_nocase(slice_of(rows[i].name), name); i++)
		;
	if (i == n)
		return -ENOENT;
	for (at = 0; at < policy->count[list]; at++)
		if (policy->item[list][at] == i)
			return -EEXIST;
	policy->item[list][policy->count[list]++] = (uint8_t)i;
	return 0;
}

/* --- rows */
static void add_all(struct tls_policy *policy, enum tls_policy_list list, const char *names)
{
	size_t len;

	while (*names) {
		len = strcspn(names, ":/");
		if (tls_policy_add(policy, list, (struct slice){names, len}) < 0)
			abort(); /* a row of policies.def names what is not in the other table */
		names += len;
		if (*names == '/')
			policy->group_breaks |= UINT64_C(1) << policy->count[list];
		names += *names != '\0';
	}
}

static void from_row(const struct tls_policy_row *row, struct tls_policy *ret_policy)
{
	enum tls_policy_list list;

	*ret_policy = (struct tls_policy){
		.version_min = row->version_min,
		.version_max = row->version_max,
		.server_preference = true,
		.chacha_first = row->flags & TLS_POLICY_CHACHA_FIRST,
		.wants_fips = row->flags & TLS_POLICY_FIPS,
	};
	snprintf(ret_policy->name, sizeof(ret_policy->name), "%s", row->name);
	for (list = 0; list < TLS_POLICY_LISTS; list++)
		add_all(ret_policy, list, row->lists[list]);
}

static bool is_named(const char *name, struct slice wanted)
{
	static const struct slice prefix = SLICE("ELBSecurityPolicy-");
	struct slice whole = slice_of(name);

	if (slice_eq(whole, wanted))
		return true;
	return whole.len > prefix.len && !memcmp(name, prefix.ptr, prefix.len) &&
	       slice_eq((struct slice){name + prefix.len, whole.len - prefix.len}, wanted);
}

static bool has_name(const struct tls_policy_row *row, struct slice wanted)
{
	const char *alias = row->aliases;
	char word[TLS_POLICY_NAME_BYTES];
	size_t len;

	if (is_named(row->name, wanted))
		return true;
	for (; *alias; alias += len + (alias[len] == ' ')) {
		len = strcspn(alias, " ");
		snprintf(word, sizeof(word), "%.*s", (int)len, alias);
		if (is_named(word, wanted))
			return true;
	}
	return false;
}

bool tls_policy_find(struct slice name, struct tls_policy *ret_policy)
{
	size_t i;

	for (i = 0; i < tls_policy_n_rows; i++) {
		if (!has_name(&tls_policy_rows[i], name))
			continue;
		from_row(&tls_policy_rows[i], ret_policy);
		return true;
	}
	return false;
}

static struct tls_policy default_policy;

static void find_default(void)
{
	struct tls_policy policy;

	if (!tls_policy_find(SLICE("default"), &policy))
		abort();
	tls_policy_offered(&policy, &default_policy);
}

const struct tls_policy *tls_policy_default(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, find_default);
	return &default_policy;
}

bool tls_policy_eq(const struct tls_policy *a, const struct tls_policy *b)
{
	enum tls_policy_list list;

	for (list = 0; list < TLS_POLICY_LISTS; list++)
		if (a->count[list] != b->count[list] ||
			memcmp(a->item[list], b->item[list], a->count[list]) != 0)
			return false;
	return a->version_min == b->version_min && a->version_max == b->version_max &&
	       a->server_preference == b->server_preference && a->chacha_first == b->chacha_first &&
	       a->wants_fips == b->wants_fips && a->group_breaks == b->group_breaks;
}

bool tls_policy_is_tighter(const struct tls_policy *before, const struct tls_policy *now)
{
	enum tls_policy_list list;
	uint8_t i;

	if (now->version_min > before->version_min || now->version_max < before->version_max)
		return true;
	for (list = 0; list < TLS_POLICY_LISTS; list++)
		for (i = 0; i < before->count[list]; i++)
			if (!memchr(now->item[list], before->item[list][i], now->count[list]))
				return true;
	return false;
}

/* --- versions */
bool tls_policy_narrow(struct tls_policy *policy, uint16_t version_min, uint16_t version_max)
{
	if (version_min > policy->version_min)
		policy->version_min = version_min;
	if (version_max && version_max < policy->version_max)
		policy->version_max = version_max;
	return policy->version_min <= policy->version_max;
}

bool tls_policy_drop_transport(struct tls_policy *policy)
{
	uint8_t *items = policy->item[TLS_POLICY_CIPHERS];
	uint8_t n = policy->count[TLS_POLICY_CIPHERS], kept = 0, i;

	for (i = 0; i < n; i++)
		if (tls_policy_at(policy, TLS_POLICY_CIPHERS, i)->signer != TLS_SIGNER_TRANSPORT)
			items[kept++] = items[i];
	policy->count[TLS_POLICY_CIPHERS] = kept;
	return kept < n;
}

void tls_policy_list_text(
	const struct tls_policy *policy, enum tls_policy_list list, char *ret_text)
{
	size_t i, used = 0;

	ret_text[0] = '\0';
	for (i = 0; i < policy->count[list] && used < TLS_POLICY_TEXT_BYTES; i++) {
		bool is_break = list == TLS_POLICY_GROUPS && policy->group_breaks >> i & 1;

		used += (size_t)snprintf(ret_text + used, TLS_POLICY_TEXT_BYTES - used, "%s%s",
			!i         ? ""
			: is_break ? "/"
				   : ":",
			tls_policy_at(policy, list, i)->name);
	}
}

/* What TLS before 1.2 needs (SHA-1 in signatures), and tags of 8 bytes, is below every security level
 * that OpenSSL has but the lowest. */
static bool is_weak(const struct tls_policy *offered)
{
	enum tls_policy_list list;
	size_t i;

	if (offered->version_min < TLS_VERSION_1_2)
		return true;
	for (list = 0; list < TLS_POLICY_LISTS; list++)
		for (i = 0; i < offered->count[list]; i++) {
			const char *name = tls_policy_at(offered, list, i)->name;

			if (strstr(name, "_sha1") || strstr(name, "CCM8") || strstr(name, "CCM_8"))
				return true;
		}
	return false;
}

uint16_t tls_policy_security_bits(const struct tls_policy *offered)
{
	return is_weak(offered) ? 0 : 112; /* level 2 */
}
