/* Which names clients must not send, by listener: those by which any way to the same targets tells
 * them something. */
#include "config_case.h"
#include "control/build_parts.h"
#include "proxy/tls_headers.h"

#define SUBJECT "X-Amzn-Mtls-Clientcert-Subject"

/* Two groups with a server in common, by way of a third; one that stands alone. */
#define GROUPS                                                                                     \
	"target_groups:\n"                                                                         \
	"- {name: a, protocol: http, targets: [{address: 10.0.0.1:80}, {address: 10.0.0.2:80}]}\n" \
	"- {name: b, protocol: http, targets: [{address: 10.0.0.3:80}, {address: 10.0.0.2:80}]}\n" \
	"- {name: c, protocol: http, targets: [{address: 10.0.0.3:80}]}\n"                         \
	"- {name: alone, protocol: http, targets: [{address: 10.0.0.1:81}]}\n"                     \
	"- {name: raw, protocol: tcp, targets: [{address: 10.0.0.1:80}]}\n"                        \
	"- {name: rest, protocol: tcp, targets: [{address: 10.0.0.9:80}]}\n"                       \
	"- {name: web, protocol: http, targets: [{address: 10.0.0.8:80}]}\n"
#define STORES "trust_stores: [{name: people, ca: /ca.pem}]\n"
#define SECURE(name, port, group, rest)                                                            \
	"- {name: " name ", protocol: https, address: 0.0.0.0:" port                               \
	", certificates: www, target_group: " group rest "}\n"
#define PLAIN(name, port, group)                                                                   \
	"- {name: " name ", protocol: http, address: 0.0.0.0:" port ", target_group: " group "}\n"
#define RAW(name, protocol, port, group)                                                           \
	"- {name: " name ", protocol: " protocol ", address: 0.0.0.0:" port                        \
	", target_group: " group "}\n"
#define VERIFY ", client_auth: {mode: verify, trust_store: people}"

static struct config *config;
static struct build_doors *doors;

static void read_listeners(const char *listeners)
{
	char yaml[8192];

	snprintf(yaml, sizeof(yaml), "%s%s%slisteners:\n%s", CASE_CERTIFICATE, STORES, GROUPS,
		listeners);
	config = case_accepted(yaml);
	doors = build_doors_new(config);
}

static int teardown(void **state)
{
	build_doors_free(doors);
	config_free(config);
	return 0;
}

static bool is_removed(int listener, const char *name)
{
	struct tls_headers headers;
	bool is;

	build_tls_headers(config, doors, &config->listeners[listener], &headers);
	is = tls_headers_is_removed(&headers, slice_of(name));
	free(headers.removed);
	return is;
}

static bool is_sent(int listener, enum tls_header header)
{
	struct tls_headers headers;

	build_tls_headers(config, doors, &config->listeners[listener], &headers);
	free(headers.removed);
	assert_int_equal(headers.any || !headers.names[header].len, true);
	return headers.names[header].len > 0;
}

static void every_door_to_the_targets(void **state)
{
	read_listeners(SECURE("verify", "443", "a", VERIFY) PLAIN("same", "80", "a")
			PLAIN("near", "81", "b") PLAIN("far", "82", "c")
				PLAIN("alone", "83", "alone") SECURE("off", "444", "c", ""));
	assert_true(is_sent(0, TLS_HEADER_SUBJECT));
	assert_true(is_removed(0, SUBJECT));
	assert_true(is_removed(1, SUBJECT) && !is_sent(1, TLS_HEADER_SUBJECT));
	assert_true(is_removed(2, SUBJECT) && is_removed(3, SUBJECT));
	assert_false(is_removed(4, SUBJECT)); /* somebody else's */
	assert_true(is_removed(5, SUBJECT) && !is_sent(5, TLS_HEADER_SUBJECT));
	assert_false(is_removed(1, "X-Amzn-Tls-Version"));
}

static void names_of_each(void **state)
{
	read_listeners(SECURE("one", "443", "a",
		", client_auth: {mode: passthrough, headers: {chain: X-Chain, leaf: "
		"off}}") SECURE("two", "444", "a", ", tls_headers: {version: X-V}")
			PLAIN("plain", "80", "a"));
	for (int i = 0; i < 3; i++) {
		assert_true(is_removed(i, "X-Chain") && is_removed(i, "x_chain"));
		assert_true(is_removed(i, "X-V") && is_removed(i, SUBJECT));
		assert_false(is_removed(i, "X-Amzn-Mtls-Clientcert-Leaf"));
		assert_false(is_removed(i, "off") || is_removed(i, "X-Other"));
	}
	assert_true(is_sent(0, TLS_HEADER_CHAIN) && !is_sent(0, TLS_HEADER_VERSION));
	assert_true(is_sent(1, TLS_HEADER_VERSION) && !is_sent(1, TLS_HEADER_CHAIN));
}

/* Targets believe these names also while it is off. */
static void switched_off(void **state)
{
	read_listeners(SECURE("off", "443", "a", ", client_auth: {mode: off}") SECURE(
		"named", "444", "alone", ", client_auth: {headers: {subject: X-Subject}}")
			PLAIN("plain", "80", "a"));
	assert_true(is_removed(0, SUBJECT) && is_removed(2, SUBJECT));
	assert_true(is_removed(1, "X-Subject"));
	assert_false(is_sent(0, TLS_HEADER_SUBJECT) || is_sent(1, TLS_HEADER_SUBJECT));
}

static void nobody_asks_for_certificates(void **state)
{
	read_listeners(SECURE("off", "443", "a", "") PLAIN("plain", "80", "a"));
	assert_false(is_removed(0, SUBJECT) || is_removed(1, SUBJECT));
}

static bool is_warned(int listener, struct err *ret_text)
{
	return build_doors_warning(doors, config, &config->listeners[listener], ret_text);
}

/* What is not HTTP to us can hold any header. */
static void untouched_ways_are_told(void **state)
{
	struct err text;

	read_listeners(SECURE("verify", "443", "a", VERIFY) PLAIN("same", "80", "a") RAW(
		"raw", "tcp", "81", "raw") RAW("routed", "tcp", "82",
		"rest, routes: "
		"[{server_names: [x.test], target_group: raw}]") RAW("rest", "tcp", "83", "rest")
			RAW("secure", "tls", "84", "raw, certificates: www"));
	assert_false(is_warned(0, &text) || is_warned(1, &text));
	assert_true(is_warned(2, &text));
	assert_non_null(strstr(text.text, "listener raw: "));
	assert_non_null(strstr(text.text, "targets of group raw "));
	assert_non_null(strstr(text.text, "headers of listener verify ("));
	assert_true(is_warned(3, &text));
	assert_non_null(strstr(text.text, "targets of group raw "));
	assert_false(is_warned(4, &text));
	assert_true(is_warned(5, &text));
}

/* A rule leads to targets, too; and what one group of a listener is told, all of them are. */
static void doors_of_rules(void **state)
{
	read_listeners(SECURE("verify", "443", "web",
		VERIFY
		", rules: [{priority: 1, conditions: [{path: /a}], target_group: a}]") PLAIN("same",
		"80", "a") PLAIN("default", "81", "web") PLAIN("alone", "83",
		"alone") "- {name: ruled, protocol: http, address: 0.0.0.0:84, target_group: alone, rules: "
			 "[{priority: 1, actions: [{forward: {target_groups: [{target_group: c}]}}]}]}\n"
			 "- {name: nowhere, protocol: http, address: 0.0.0.0:85, default_actions: "
			 "[{fixed_response: {status: 404}}]}\n");
	assert_true(is_removed(0, SUBJECT) && is_removed(1, SUBJECT) && is_removed(2, SUBJECT));
	assert_true(is_removed(4, SUBJECT)); /* c has a server in common with b, b with a */
	assert_true(is_removed(3, SUBJECT)); /* "ruled" leads to c and to it */
	assert_false(is_removed(5, SUBJECT));
}

#define CASE(test) cmocka_unit_test_teardown(test, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(every_door_to_the_targets),
		CASE(doors_of_rules),
		CASE(names_of_each),
		CASE(switched_off),
		CASE(nobody_asks_for_certificates),
		CASE(untouched_ways_are_told),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
