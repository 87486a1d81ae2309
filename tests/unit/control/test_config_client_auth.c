/* Trust stores, client_auth and tls_headers of a configuration: what is refused, and where. */
#include "config_case.h"

#define AT(place, text) "/etc/sluice/t.yaml:" place ": " text "\n"
#define STORE           "trust_stores: [{name: people, ca: /ca.pem, crls: [a.crl, /b.crl]}]\n"
#define LISTENER(rest)                                                                               \
	CASE_CERTIFICATE STORE CASE_GROUPS                                                           \
		"listeners:\n- {name: w, protocol: https, address: 0.0.0.0:443, certificates: www, " \
		"target_group: web,\n" rest "}\n"

static void everything_is_read(void **state)
{
	struct config *config = case_accepted(LISTENER(
		"client_auth: {mode: optional, trust_store: people, max_depth: 2, ignore_expiry: "
		"yes, advertise_ca_names: yes, headers: {leaf: off, subject: X-Who}},\n"
		"tls_headers: {version: X-Version}"));
	const struct config_listener *l = &config->listeners[0];

	assert_int_equal(config->trust_stores_count, 1);
	assert_string_equal(config->trust_stores[0].ca_path, "/ca.pem");
	assert_int_equal(config->trust_stores[0].crl_paths_count, 2);
	assert_string_equal(config->trust_stores[0].crl_paths[0], "/etc/sluice/a.crl");
	assert_int_equal(l->client_auth.mode, CONFIG_CLIENT_AUTH_OPTIONAL);
	assert_ptr_equal(l->client_auth.trust_store, &config->trust_stores[0]);
	assert_int_equal(l->client_auth.max_depth, 2);
	assert_true(l->client_auth.ignore_expiry && l->client_auth.advertise_ca_names);
	assert_string_equal(l->client_auth.headers.subject, "X-Who");
	assert_string_equal(l->client_auth.headers.leaf, "off");
	assert_string_equal(l->client_auth.headers.chain, "X-Amzn-Mtls-Clientcert");
	assert_string_equal(l->tls_headers.version, "X-Version");
	assert_string_equal(l->tls_headers.cipher_suite, "off");
	config_free(config);
}

static void mode_and_trust_store_belong_together(void **state)
{
	case_refused(LISTENER("client_auth: {mode: verify}"),
		AT("6:21", "listeners[w].client_auth.trust_store: is required with mode verify and "
			   "optional"));
	case_refused(LISTENER("client_auth: {trust_store: people}"),
		AT("6:28", "listeners[w].client_auth.trust_store: has no effect with mode off and "
			   "passthrough"));
	case_refused(LISTENER("client_auth: {mode: passthrough, trust_store: people}"),
		AT("6:47", "listeners[w].client_auth.trust_store: has no effect with mode off and "
			   "passthrough"));
	case_refused(LISTENER("client_auth: {mode: verify, trust_store: peple}"),
		AT("6:42", "listeners[w].client_auth.trust_store: there is no \"peple\" in "
			   "trust_stores (did you mean \"people\"?)"));
	case_refused(LISTENER("client_auth: {mode: verify, trust_store: people, max_depth: 0}"),
		AT("6:61", "listeners[w].client_auth.max_depth: must be between 1 and 10 CAs, not "
			   "\"0\""));
}

static void names_of_headers_are_checked(void **state)
{
	case_refused(LISTENER("client_auth: {headers: {subject: \"X Who\", issuer: Host, chain: A, "
			      "leaf: a}}"),
		AT("6:34", "listeners[w].client_auth.headers.subject: is not the name of a header")
			AT("6:51",
				"listeners[w].client_auth.headers.issuer: is the name of a header "
				"that has a meaning of its own")
				AT("6:64", "listeners[w].client_auth.headers.chain: is the name of "
					   "another header of this listener"));
	case_refused(LISTENER("tls_headers: {version: X-V, cipher_suite: X_V}"),
		AT("6:43",
			"listeners[w].tls_headers.cipher_suite: is the name of another header of "
			"this listener"));
	case_refused(LISTENER("tls_headers: {version: X-V, cipher_suite: x-v}"),
		AT("6:43",
			"listeners[w].tls_headers.cipher_suite: is the name of another header of "
			"this listener"));
	config_free(case_accepted(
		LISTENER("client_auth: {headers: {subject: off, issuer: off, leaf: off}}")));
}

static void only_tls_asks_for_certificates(void **state)
{
	case_refused(CASE_GROUPS
		"listeners:\n- {name: h, protocol: http, address: 0.0.0.0:80, target_group: web,\n"
		"client_auth: {mode: passthrough}}\n",
		AT("4:14", "listeners[h].client_auth: has no effect with protocol http (only with "
			   "https, tls)"));
	case_refused(CASE_CERTIFICATE CASE_GROUPS
		"listeners:\n- {name: t, protocol: tls, address: 0.0.0.0:80, target_group: raw,\n"
		"certificates: www, client_auth: {mode: passthrough, headers: {leaf: off}}}\n",
		AT("5:62",
			"listeners[t].client_auth.headers: has no effect with protocol tls (only "
			"with https)"));
}

static void a_trust_store_has_a_file(void **state)
{
	case_refused("trust_stores:\n- {name: a}\n- {name: a, ca: b}\n",
		AT("2:3", "trust_stores[a].ca: is required")
			AT("3:3", "trust_stores[a].name: the name is already used in line 2"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(everything_is_read),
		cmocka_unit_test(mode_and_trust_store_belong_together),
		cmocka_unit_test(names_of_headers_are_checked),
		cmocka_unit_test(only_tls_asks_for_certificates),
		cmocka_unit_test(a_trust_store_has_a_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
