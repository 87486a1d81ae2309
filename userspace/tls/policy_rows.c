/* The rows of policies.def as data: see policy.h. */
#include "tls/policy.h"

#define CHACHA_FIRST TLS_POLICY_CHACHA_FIRST
#define FIPS         TLS_POLICY_FIPS
#define POLICY(name_, aliases_, min_, max_, ciphers_, suites_, groups_, schemes_, flags_, source_) \
	{.name = name_,                                                                            \
		.aliases = aliases_,                                                               \
		.version_min = min_,                                                               \
		.version_max = max_,                                                               \
		.lists = {[TLS_POLICY_CIPHERS] = ciphers_,                                         \
			[TLS_POLICY_SUITES] = suites_,                                             \
			[TLS_POLICY_GROUPS] = groups_,                                             \
			[TLS_POLICY_SCHEMES] = schemes_},                                          \
		.flags = flags_,                                                                   \
		.source = source_},

const struct tls_policy_row tls_policy_rows[] = {
#include "tls/policies.def"
};

const size_t tls_policy_n_rows = sizeof(tls_policy_rows) / sizeof(tls_policy_rows[0]);
