/* Security policies in the configuration: what is refused and how it is said; what comes of lists,
 * bases and versions. */
#include "config_case.h"

#include "control/config_policy.h"
#include "control/config_settings.h"

#define AT(place, text) "/etc/sluice/t.yaml:" place ": " text "\n"
#define POLICIES(items) "security_policies:\n" items
#define LISTENER(tls)                                                                              \
	CASE_CERTIFICATE CASE_GROUPS "listeners:\n- {name: l, protocol: https, address: "          \
				     "\"[::1]:443\",\n   certificates: www, target_group: web, "   \
				     "tls: " tls "}\n"

static void unknown_algorithms_are_named(void **state)
{
	case_refused(POLICIES("- name: p\n"
			      "  ciphers: [ECDHE-RSA-AES128-GCM-SHA255, RC4-SHA]\n"
			      "  suites: TLS_AES_128_GCM_SHA265\n"
			      "  groups: [X25519, P-256]\n"
			      "  signature_algorithms: [ecdsa_secp256r1_sha265]\n"),
		AT("3:13", "security_policies[p].ciphers[0]: unknown cipher "
			   "\"ECDHE-RSA-AES128-GCM-SHA255\" (did you mean "
			   "\"ECDHE-RSA-AES128-GCM-SHA256\"?)") AT("3:42",
			"security_policies[p].ciphers[1]: unknown cipher \"RC4-SHA\"") AT("4:11",
			"security_policies[p].suites[0]: unknown suite \"TLS_AES_128_GCM_SHA265\" (did "
			"you mean \"TLS_AES_128_GCM_SHA256\"?)") AT("5:20",
			"security_policies[p].groups[1]: unknown group \"P-256\"") AT("6:26",
			"security_policies[p].signature_algorithms[0]: unknown signature algorithm "
			"\"ecdsa_secp256r1_sha265\" (did you mean \"ecdsa_secp256r1_sha256\"?)"));
	case_refused(POLICIES("- {name: p, groups: []}\n"),
		AT("2:21", "security_policies[p].groups: must not be empty (versions without a "
			   "cipher: see min_version and max_version)"));
}

static void bases_must_exist(void **state)
{
	case_refused(POLICIES("- {name: a, based_on: b}\n"
			      "- {name: b, based_on: a}\n"
			      "- {name: default}\n"
			      "- {name: 2016-08}\n"
			      "- {name: c, based_on: TLS13-1-2-Res-2021-07}\n"),
		AT("2:23",
			"security_policies[a].based_on: leads back to this policy: one of them must "
			"be based on another one") AT("3:23",
			"security_policies[b].based_on: leads back to this policy: one of them must "
			"be based on another one") AT("4:10",
			"security_policies[default].name: is the name of a built-in policy: choose "
			"another one") AT("5:10",
			"security_policies[2016-08].name: is the name of a built-in policy: choose "
			"another one") AT("6:23",
			"security_policies[c].based_on: there is no security policy "
			"\"TLS13-1-2-Res-2021-07\" (did you mean \"TLS13-1-2-Res-2021-06\"?)"));
}

static void versions_need_ciphers(void **state)
{
	case_refused(POLICIES("- {name: a, min_version: 1.0}\n"
			      "- {name: b, min_version: 1.3, max_version: 1.2}\n"
			      "- {name: c, based_on: 2016-08, max_version: 1.3}\n"
			      "- {name: d, based_on: TLS13-1-3-2021-06, min_version: 1.2, "
			      "max_version: 1.2}\n"
			      "- {name: e, groups: X25519MLKEM768, max_version: 1.2}\n"),
		AT("2:26",
			"security_policies[a].min_version: no cipher of this policy is for TLS 1.0")
			AT("3:26", "security_policies[b].min_version: is newer than max_version") AT(
				"4:45",
				"security_policies[c].max_version: no cipher or suite of this "
				"policy is for TLS 1.3") AT("5:10",
				"security_policies[d].name: there is no cipher for TLS "
				"1.2")
				AT("6:10", "security_policies[e].name: there is no group for "
					   "TLS 1.2 (its ciphers need one like x25519 "
					   "or secp256r1)"));
}

static void users_name_what_exists(void **state)
{
	case_refused(LISTENER("{policy: defualt}"),
		AT("5:56",
			"listeners[l].tls.policy: there is no security policy \"defualt\" (did you "
			"mean \"default\"?)"));
	case_refused(LISTENER("{policy: TLS13-1-3-2021-06, max_version: 1.2}"),
		AT("5:56",
			"listeners[l].tls.policy: allows no version of TLS between min_version and "
			"max_version"));
	case_refused(LISTENER("{policy: tls_cipher_policy_1_0_to_1_3, max_version: 1.1}"),
		AT("5:56", "listeners[l].tls.policy: there is no cipher for TLS 1.0 to 1.1"));
	case_refused("target_groups: [{name: g, protocol: https, tls: {policy: mien}}]\n"
		     "security_policies: [{name: mine}]\n",
		AT("1:58",
			"target_groups[g].tls.policy: there is no security policy \"mien\" (did you "
			"mean \"mine\"?)"));
}

static struct tls_policy find(const struct config *config, const char *name)
{
	struct tls_policy policy;

	if (!config_policy_find(config, name, &policy))
		fail_msg("no policy %s", name);
	return policy;
}

static void expect_list(
	const struct tls_policy *policy, enum tls_policy_list list, const char *expected)
{
	char text[TLS_POLICY_TEXT_BYTES];

	tls_policy_list_text(policy, list, text);
	assert_string_equal(text, expected);
}

static void lists_replace_those_of_the_base(void **state)
{
	struct config *config = case_accepted(POLICIES(
		"- {name: outer, based_on: inner, groups: [SECP384R1, x25519], min_version: 1.1}\n"
		"- {name: inner, based_on: 2016-08, ciphers: ecdhe-rsa-aes128-sha, max_version: 1.1}\n"
		"- {name: own, min_version: 1.3, server_preference: off}\n"
		"- {name: heir, based_on: own}\n"
		"- {name: module, based_on: TLS13-1-2-FIPS-2023-04, max_version: 1.2}\n"
		"- {name: no-module, based_on: TLS13-1-2-FIPS-2023-04, groups: x25519}\n"));
	struct tls_policy policy = find(config, "outer");

	assert_string_equal(policy.name, "outer");
	assert_int_equal(policy.version_min, TLS_VERSION_1_1);
	assert_int_equal(policy.version_max, TLS_VERSION_1_1);
	expect_list(&policy, TLS_POLICY_CIPHERS, "ECDHE-RSA-AES128-SHA");
	expect_list(&policy, TLS_POLICY_GROUPS, "secp384r1:x25519");
	assert_true(policy.server_preference);
	policy = find(config, "inner");
	assert_int_equal(policy.version_min, TLS_VERSION_1_0);
	expect_list(&policy, TLS_POLICY_GROUPS, "secp256r1:secp384r1");
	policy = find(config, "own");
	assert_int_equal(policy.version_min, TLS_VERSION_1_3);
	assert_false(policy.server_preference);
	policy = find(config, "heir");
	assert_false(policy.server_preference);
	policy = find(config, "module");
	assert_true(policy.wants_fips);
	policy = find(config, "no-module");
	assert_false(policy.wants_fips);
	policy = find(config, "own");
	expect_list(&policy, TLS_POLICY_GROUPS, "X25519MLKEM768:x25519:secp256r1:secp384r1");
	assert_false(config_policy_find(config, "other", &policy));
	config_free(config);
}

/* A list of a configuration can name every algorithm once. */
static void lists_are_long_enough(void **state)
{
	static const char *const names[TLS_POLICY_LISTS] = {
		"ciphers", "suites", "groups", "signature_algorithms"};
	size_t n;

	for (int list = 0; list < TLS_POLICY_LISTS; list++) {
		tls_policy_algorithms((enum tls_policy_list)list, &n);
		assert_int_equal(
			config_setting_find(SECTION_config_security_policy, slice_of(names[list]))
				->max_items,
			n);
	}
}

static void listeners_narrow(void **state)
{
	struct config *config = case_accepted(LISTENER(
		"{policy: sluice-compatible-2026-11, min_version: 1.1, max_version: 1.2}"));
	struct tls_policy policy;

	assert_true(config_policy_of_listener(config, &config->listeners[0], &policy));
	assert_int_equal(policy.version_min, TLS_VERSION_1_1);
	assert_int_equal(policy.version_max, TLS_VERSION_1_2);
	config_free(config);
	config = case_accepted(LISTENER("{min_version: 1.0}")); /* never wider than the policy */
	assert_true(config_policy_of_listener(config, &config->listeners[0], &policy));
	assert_int_equal(policy.version_min, TLS_VERSION_1_2);
	assert_int_equal(policy.version_max, TLS_VERSION_1_3);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(unknown_algorithms_are_named),
		cmocka_unit_test(bases_must_exist),
		cmocka_unit_test(versions_need_ciphers),
		cmocka_unit_test(users_name_what_exists),
		cmocka_unit_test(lists_replace_those_of_the_base),
		cmocka_unit_test(lists_are_long_enough),
		cmocka_unit_test(listeners_narrow),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
