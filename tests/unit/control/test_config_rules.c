/* Rules of listeners in a configuration: what is refused, with its place, and that what is shown can be
 * read again. */
#include "config_case.h"

#define HEAD                                                                                       \
	"target_groups: [{name: blue, protocol: http}, {name: green, protocol: http}, "            \
	"{name: raw, protocol: tcp}]\n"                                                            \
	"listeners:\n- {name: web, protocol: http, address: \"127.0.0.1:1\", target_group: blue, " \
	"rules: [\n"
#define PLACE "/etc/sluice/t.yaml:4:"

/* One rule in line 4; what stands behind "PLACE". */
static const struct {
	const char *rule, *expected;
} refused_rows[] = {
	{"{priority: 1}", "1: listeners[web].rules[0].target_group: is required (or actions)\n"},
	{"{priority: 0, target_group: blue}",
		"12: listeners[web].rules[0].priority: must be between 1 and 50000, not \"0\"\n"},
	{"{priority: 1, target_group: raw}",
		"29: listeners[web].rules[0].target_group: a listener of protocol http cannot use "
		"\"raw\", whose protocol is tcp (it needs http or https)\n"},
	{"{priority: 1, target_group: blue, actions: [{redirect: {path: /}}]}",
		"29: listeners[web].rules[0].target_group: has no effect beside actions\n"},
	{"{priority: 1, target_group: blue, name: default}",
		"41: listeners[web].rules[default].name: is what the default action is called: choose "
		"another one\n"},
	{"{priority: 1, target_group: blue, name: rule-2}",
		"41: listeners[web].rules[rule-2].name: is what a rule of that priority is called if "
		"it has no name: choose another one\n"},
	{"{priority: 1, target_group: blue, conditions: [{host: [a.test, \"a.test:80\"]}]}",
		"64: listeners[web].rules[0].conditions[0].host[1]: \"a.test:80\" fits no host: "
		"leave out the scheme, the port and a dot at the end\n"},
	{"{priority: 1, target_group: blue, conditions: [{host: \"http://a.test\"}]}",
		"55: listeners[web].rules[0].conditions[0].host[0]: \"http://a.test\" fits no host: "
		"leave out the scheme, the port and a dot at the end\n"},
	{"{priority: 1, target_group: blue, conditions: [{host: a.test.}]}",
		"55: listeners[web].rules[0].conditions[0].host[0]: \"a.test.\" fits no host: "
		"leave out the scheme, the port and a dot at the end\n"},
	{"{priority: 1, target_group: blue}, {priority: 1, target_group: blue}",
		"47: listeners[web].rules[1].priority: 1 is already that of the rule in line 4\n"},
	{"{priority: 1, target_group: blue, conditions: [{not: true}]}",
		"48: listeners[web].rules[0].conditions[0]: says nothing: one of host, path, method, "
		"header, query, source_ip and cookie is required\n"},
	{"{priority: 1, target_group: blue, conditions: [{path: [/a, b]}]}",
		"60: listeners[web].rules[0].conditions[0].path[1]: \"b\" fits no path: begin it with "
		"/ or *\n"},
	{"{priority: 1, target_group: blue, conditions: [{path: \"regex:/(a\"}]}",
		"55: listeners[web].rules[0].conditions[0].path[0]: is no regular expression: missing "
		"closing parenthesis (at character 4 of it)\n"},
	{"{priority: 1, target_group: blue, conditions: [{header: {name: Host}}]}",
		"64: listeners[web].rules[0].conditions[0].header.name: is what the condition host is "
		"for\n"},
	{"{priority: 1, target_group: blue, conditions: [{query: [{}]}]}",
		"57: listeners[web].rules[0].conditions[0].query[0].key: or value is required\n"},
	{"{priority: 1, target_group: blue, rate_limit: {dry_run: true}}",
		"47: listeners[web].rules[0].rate_limit.requests_per_second: (or "
		"client.requests_per_second) is required: without one nothing is limited\n"},
	{"{priority: 1, target_group: blue, rate_limit: {client: {requests_per_second: 1000001}}}",
		"78: listeners[web].rules[0].rate_limit.client.requests_per_second: must be between 0 "
		"and 1000000 requests per second, not \"1000001\"\n"},
	{"{priority: 1, actions: [{}]}",
		"25: listeners[web].rules[0].actions[0]: must be one of forward, redirect and "
		"fixed_response\n"},
	{"{priority: 1, actions: [{redirect: {status: 307}}]}",
		"36: listeners[web].rules[0].actions[0].redirect: leads back to the same URL: change "
		"protocol, host, port, path or query\n"},
	{"{priority: 1, actions: [{redirect: {protocol: HTTP}}]}",
		"36: listeners[web].rules[0].actions[0].redirect: leads back to the same URL: change "
		"protocol, host, port, path or query\n"},
	{"{priority: 1, actions: [{redirect: {port: 1}}]}",
		"36: listeners[web].rules[0].actions[0].redirect: leads back to the same URL: change "
		"protocol, host, port, path or query\n"},
	{"{priority: 1, actions: [{redirect: {path: \"/#{path.1}\"}}], conditions: [{path: [/*, /a]}]}",
		"43: listeners[web].rules[0].actions[0].redirect.path: #{path.1}: not every path "
		"value of the rule has so many wildcards * or groups\n"},
	{"{priority: 1, actions: [{redirect: {port: \"1#{port}\"}}]}",
		"43: listeners[web].rules[0].actions[0].redirect.port: is neither a port (1 to 65535) "
		"nor #{port}\n"},
	{"{priority: 1, actions: [{fixed_response: {status: 204, body: x}}]}",
		"62: listeners[web].rules[0].actions[0].fixed_response.body: a response of status 204 "
		"has none\n"},
	{"{priority: 1, actions: [{forward: {target_groups: [{target_group: blue, weight: 0}]}}]}",
		"35: listeners[web].rules[0].actions[0].forward.target_groups: one of them needs a "
		"weight above 0\n"},
	{"{priority: 1, actions: [{fixed_response: {status: 200}}], rewrite: {path: /x}}",
		"68: listeners[web].rules[0]: rewrite has no effect: nothing is forwarded\n"},
	{"{priority: 1, target_group: blue, rewrite: {path: x}}",
		"51: listeners[web].rules[0].rewrite.path: must begin with /\n"},
	{"{priority: 1, target_group: blue, rewrite: {path: \"/#{paths}\"}}",
		"51: listeners[web].rules[0].rewrite.path: #{paths} is not known: there is "
		"#{protocol}, #{host}, #{port}, #{path}, #{query}, and #{host.1} to #{host.9}, "
		"#{path.1} to #{path.9}\n"},
	{"{priority: 1, target_group: blue, request_headers: {remove: [Transfer-Encoding]}}",
		"62: listeners[web].rules[0].request_headers.remove: \"Transfer-Encoding\" cannot be "
		"changed by rules\n"},
	{"{priority: 1, target_group: blue, response_headers: {set: [{name: content-length, value: 1}]}}",
		"67: listeners[web].rules[0].response_headers.set[content-length].name: "
		"\"content-length\" cannot be changed by rules\n"},
};

static void bad_rules_are_refused(void **state)
{
	char yaml[2048], expected[1024];
	size_t i;

	for (i = 0; i < sizeof(refused_rows) / sizeof(refused_rows[0]); i++) {
		snprintf(yaml, sizeof(yaml), HEAD "%s\n]}\n", refused_rows[i].rule);
		snprintf(expected, sizeof(expected), PLACE "%s", refused_rows[i].expected);
		case_refused(yaml, expected);
	}
}

/* With them no answer of a target would have room. */
static void headers_of_answers_are_few(void **state)
{
	char yaml[16384], value[2801];

	memset(value, 'v', sizeof(value) - 1);
	value[sizeof(value) - 1] = '\0';
	snprintf(yaml, sizeof(yaml),
		HEAD
		"{priority: 1, target_group: blue, response_headers: {set: [{name: A1, value: %s}, "
		"{name: A2, value: %s}], add: [{name: A3, value: %s}]}}]}\n",
		value, value, value);
	case_refused(yaml,
		PLACE "53: listeners[web].rules[0].response_headers: sets and adds headers "
		      "of 8418 bytes: at most 8192 are allowed\n");
}

/* What is right beside it. */
static void names_and_hosts(void **state)
{
	config_free(
		case_accepted(HEAD "{priority: 20, target_group: blue, name: rule-20, conditions: "
				   "[{host: [\"[::1]\", \"*\", \"regex:a:b/\", \"*.x.test\"]}]}, "
				   "{priority: 21, target_group: blue, name: rule-x}]}\n"));
}

static void a_listener_leads_somewhere(void **state)
{
	case_refused("listeners: [{name: web, protocol: http, address: \"127.0.0.1:1\"}]\n",
		"/etc/sluice/t.yaml:1:13: listeners[web].target_group: is required (or "
		"default_actions)\n");
	case_refused("listeners: [{name: web, protocol: tcp, address: \"127.0.0.1:1\"}]\n",
		"/etc/sluice/t.yaml:1:13: listeners[web].target_group: is required\n");
}

static void alt_svc_is_one(void **state)
{
	config_free(case_accepted("target_groups: [{name: web, protocol: http}]\n"
				  "listeners: [{name: web, protocol: http, target_group: web, "
				  "address: \"127.0.0.1:1\", http: {alt_svc: clear}}]\n"));
	case_refused("target_groups: [{name: web, protocol: http}]\n"
		     "listeners: [{name: web, protocol: http, target_group: web, "
		     "address: \"127.0.0.1:1\", http: {alt_svc: h3}}]\n",
		"/etc/sluice/t.yaml:2:100: listeners[web].http.alt_svc: is not a value of Alt-Svc, "
		"like: h3=\":443\"; ma=86400\n");
}

static void what_targets_are_told_is_not_set_by_rules(void **state)
{
	case_refused(CASE_CERTIFICATE CASE_GROUPS
		"trust_stores: [{name: people, ca: /ca.pem}]\n"
		"listeners: [{name: web, protocol: https, address: \"127.0.0.1:1\", certificates: www, "
		"target_group: web,\n"
		"client_auth: {mode: verify, trust_store: people, headers: {subject: X-Who}},\n"
		"request_headers: {set: [{name: x_who, value: me}, {name: X-Else, value: me}]}}]\n",
		"/etc/sluice/t.yaml:6:32: listeners[web].request_headers: \"x_who\" is what tells "
		"targets about the client's TLS\n");
}

/* Every kind of setting; optional sections that are not there are not shown, texts with line ends are
 * as they were. */
static void what_is_shown_can_be_read(void **state)
{
	struct config *config = case_accepted(HEAD
		"{name: a, priority: 7, conditions: [{host: \"*.x.test\", path: [/a/*, "
		"\"regex:/b(.*)\"]}, {not: true, method: [GET, HEAD], header: {name: X, values: "
		"[\"1\"]}, cookie: {name: c}, query: [{key: k}, {value: \"\"}], source_ip: "
		"10.0.0.0/8}], actions: [{forward: {target_groups: [{target_group: blue, weight: "
		"90}, {target_group: green}], stickiness: 1h}}], rewrite: {host: \"#{host.1}\", "
		"path: \"/#{path.1}\", query: \"\"}, request_headers: {set: [{name: A, value: "
		"\"#{host}\"}], add: [{name: B, value: b}], remove: [C]}},\n"
		"{priority: 8, actions: [{redirect: {protocol: https}}], rate_limit: "
		"{requests_burst: 7, client: {requests_per_second: 5}}},\n"
		"{priority: 9, actions: [{fixed_response: {status: 200, body: \"a\\nb\\t\\\"\"}}]}]}");
	char *first = case_shown(config), *second;

	assert_string_equal(
		config->listeners[0].rules[2].actions[0].fixed_response.body, "a\nb\t\"");
	assert_null(strstr(first, "response_headers"));
	assert_non_null(strstr(first, "requests_per_second: 5"));
	assert_non_null(strstr(first, "max_clients: 16384"));
	config_free(config);
	config = case_accepted(first);
	second = case_shown(config);
	assert_string_equal(first, second);
	assert_string_equal(
		config->listeners[0].rules[2].actions[0].fixed_response.body, "a\nb\t\"");
	config_free(config);
	free(first);
	free(second);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bad_rules_are_refused),
		cmocka_unit_test(headers_of_answers_are_few),
		cmocka_unit_test(names_and_hosts),
		cmocka_unit_test(a_listener_leads_somewhere),
		cmocka_unit_test(alt_svc_is_one),
		cmocka_unit_test(what_targets_are_told_is_not_set_by_rules),
		cmocka_unit_test(what_is_shown_can_be_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
