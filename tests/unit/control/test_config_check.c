/* What is wrong with several settings together: names, references, protocols, addresses. */
#include "config_case.h"

#define AT(place, text)       "/etc/sluice/t.yaml:" place ": " text "\n"
#define LISTENERS(items)      CASE_CERTIFICATE CASE_GROUPS "listeners:\n" items
#define GROUP(protocol, rest) "target_groups:\n- {name: g, protocol: " protocol ", " rest "}\n"

static void names_are_unique(void **state)
{
	case_refused("certificates:\n"
		     "- {name: a, cert: a, key: a}\n"
		     "- {name: b, cert: a, key: a}\n"
		     "- {name: a, cert: a, key: a}\n",
		AT("4:3", "certificates[a].name: the name is already used in line 2"));
	case_refused(GROUP("tcp", "targets: [{name: t, address: 10.0.0.1:1}, {name: t, address: "
				  "10.0.0.2:1}]"),
		AT("2:70", "target_groups[g].targets[t].name: the name is already used in line 2"));
}

static void alerts_go_to_a_url(void **state)
{
	case_refused("alerts: {webhook: \"ftp://a.example\", expiry: [1d, 24h]}\n",
		AT("1:19", "alerts.webhook: is no URL that begins with https:// or http://")
			AT("1:51", "alerts.expiry[1]: is in the list twice"));
	case_refused(
		"alerts: {ca: /a.pem}\n", AT("1:14", "alerts.ca: has no effect without webhook"));
}

static void references_must_exist(void **state)
{
	case_refused(LISTENERS("- name: w\n"
			       "  protocol: https\n"
			       "  address: 0.0.0.0:443\n"
			       "  certificates: [www, wwww]\n"
			       "  target_group: wb\n"),
		AT("7:23",
			"listeners[w].certificates[1]: there is no \"wwww\" in certificates (did "
			"you mean \"www\"?)") AT("8:17",
			"listeners[w].target_group: there is no \"wb\" in target_groups (did you "
			"mean \"web\"?)"));
}

static void references_point_to_objects(void **state)
{
	struct config *config = case_accepted(
		LISTENERS("- {name: w, protocol: https, address: 0.0.0.0:443, certificates: www, "
			  "target_group: web}\n"));

	assert_int_equal(config->listeners[0].certificates_count, 1);
	assert_ptr_equal(config->listeners[0].certificates[0], &config->certificates[0]);
	assert_ptr_equal(config->listeners[0].target_group, &config->target_groups[0]);
	config_free(config);
}

/* One place for the pair, one for the password. */
static void certificates_have_one_source(void **state)
{
	case_refused("certificates:\n"
		     "- {name: a, pkcs12: a, cert: a}\n"
		     "- {name: b, pkcs12: a, key: a}\n"
		     "- {name: c, directory: d, pkcs12: a}\n"
		     "- {name: d}\n"
		     "- {name: e, pkcs12: a, key_password_file: p, key_password_env: P}\n"
		     "- {name: f, pkcs12: a, key_password_command: [pass, show]}\n"
		     "- {name: g, directory: d, key_password_command: /bin/pass}\n",
		AT("2:30", "certificates[a].cert: has no effect beside pkcs12")
			AT("3:29", "certificates[b].key: has no effect beside pkcs12") AT("4:35",
				"certificates[c].pkcs12: has no effect beside directory") AT("5:3",
				"certificates[d].cert: is required (or pkcs12, or directory, for "
				"many pairs)") AT("6:10",
				"certificates[e].key_password_file: and key_password_env and "
				"key_password_command: only one of them can be given") AT("7:46",
				"certificates[f].key_password_command: must begin with "
				"the whole path of a program (it is run without a "
				"shell)") AT("8:49", "certificates[g].key_password_command: has "
						     "no effect beside directory: it would run "
						     "once for each key"));
	config_free(
		case_accepted("certificates:\n"
			      "- {name: a, pkcs12: a, key_password_command: [/bin/pass, show]}\n"
			      "- {name: b, directory: d, key_password_env: P}\n"));
}

static void certificates_fit_the_protocol(void **state)
{
	case_refused(
		LISTENERS("- {name: a, protocol: https, address: 0.0.0.0:1, target_group: web}\n"
			  "- {name: b, protocol: tls, address: 0.0.0.0:2, target_group: raw, "
			  "certificates: []}\n"
			  "- {name: c, protocol: http, address: 0.0.0.0:3, target_group: web, "
			  "certificates: www}\n"
			  "- {name: d, protocol: tcp, address: 0.0.0.0:4, target_group: raw, "
			  "certificates: [www]}\n"),
		AT("4:3",
			"listeners[a].certificates: a listener of protocol https needs at least one "
			"certificate") AT("5:81",
			"listeners[b].certificates: a listener of protocol tls needs at least one "
			"certificate") AT("6:82",
			"listeners[c].certificates: has no effect with protocol http (only with "
			"https, tls)") AT("7:81",
			"listeners[d].certificates: has no effect with protocol tcp (only with "
			"https, tls)"));
}

static void groups_fit_the_protocol(void **state)
{
	case_refused(
		LISTENERS("- {name: a, protocol: http, address: 0.0.0.0:1, target_group: raw}\n"
			  "- {name: b, protocol: tcp, address: 0.0.0.0:2, target_group: web}\n"),
		AT("4:63", "listeners[a].target_group: a listener of protocol http cannot use "
			   "\"raw\", whose protocol is tcp (it needs http or https)") AT("5:62",
			"listeners[b].target_group: a listener of protocol tcp cannot use "
			"\"web\", whose protocol is http (it needs tls or tcp)"));
}

static void useless_settings_are_refused(void **state)
{
	case_refused(
		LISTENERS("- name: a\n"
			  "  protocol: tcp\n"
			  "  address: 0.0.0.0:1\n"
			  "  target_group: raw\n"
			  "  x_forwarded_for: append\n"
			  "  timeouts: {idle: 1s, header: 1s}\n"
			  "  tls: {min_version: 1.3}\n"
			  "- {name: b, protocol: https, address: 0.0.0.0:2, target_group: web,\n"
			  "   certificates: www, tls: {alpn: [h2]}}\n"),
		AT("8:20",
			"listeners[a].x_forwarded_for: has no effect with protocol tcp (only with "
			"http, https)") AT("9:32",
			"listeners[a].timeouts.header: has no effect with protocol tcp (only with "
			"http, https)") AT("10:8",
			"listeners[a].tls: has no effect with protocol tcp (only with https, tls)")
			AT("12:35",
				"listeners[b].tls.alpn: has no effect with protocol https, which offers "
				"http/1.1 (only tls uses it)"));
	case_refused(GROUP("tcp", "pool: {idle_per_worker: 1}, tls: {verify: false, ca: x}, "
				  "health_check: {path: /x}"),
		AT("2:34",
			"target_groups[g].pool: has no effect with protocol tcp (only with http, "
			"https)") AT("2:61",
			"target_groups[g].tls: has no effect with protocol tcp (only with https, "
			"tls)") AT("2:81",
			"target_groups[g].tls.ca: has no effect with verify: false") AT("2:106",
			"target_groups[g].health_check.path: has no effect with protocol tcp "
			"(only with http, https)"));
	case_refused(GROUP("http", "health_check: {protocol: off, interval: 1s}"),
		AT("2:69",
			"target_groups[g].health_check.interval: has no effect with protocol off "
			"(only with tcp, tls, http, https, grpc, grpcs)"));
}

static void versions_are_in_order(void **state)
{
	case_refused(
		LISTENERS("- {name: a, protocol: tls, address: 0.0.0.0:1, target_group: raw,\n"
			  "   certificates: www, tls: {min_version: 1.3, max_version: 1.2}}\n"),
		AT("5:42", "listeners[a].tls.min_version: is newer than max_version"));
}

static void listeners_have_their_own_address(void **state)
{
	case_refused(
		LISTENERS("- {name: a, protocol: http, address: [10.0.0.1:80, 10.0.0.2:80], "
			  "target_group: web}\n"
			  "- {name: b, protocol: http, address: 10.0.0.2:80, target_group: web}\n"
			  "- {name: c, protocol: http, address: 0.0.0.0:81, target_group: web}\n"
			  "- {name: d, protocol: http, address: 10.0.0.1:81, target_group: web}\n"
			  "- {name: e, protocol: http, address: [\"[::]:81\", \"[fd00::1]:81\"], "
			  "target_group: web}\n"),
		AT("5:38",
			"listeners[b].address: 10.0.0.2:80 is the same as 10.0.0.2:80 of listener "
			"\"a\" (line 4)") AT("7:38",
			"listeners[d].address: 10.0.0.1:81 is already covered by 0.0.0.0:81 of "
			"listener \"c\" (line 6)") AT("8:50",
			"listeners[e].address: [fd00::1]:81 is already covered by [::]:81 of "
			"listener \"e\" (line 8)"));
}

static void every_address_of_both_families_is_fine(void **state)
{
	struct config *config = case_accepted(LISTENERS(
		"- {name: a, protocol: http, address: [\"0.0.0.0:80\", \"[::]:80\"], "
		"target_group: web}\n"
		"- {name: b, protocol: http, address: 10.0.0.1:81, target_group: web}\n"
		"- {name: c, protocol: http, address: \"[fd00::1]:82\", target_group: web}\n"));

	assert_int_equal(config->listeners_count, 3);
	config_free(config);
}

/* Each address has a row in a map of the packet plane. */
static void addresses_are_bounded(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs(CASE_GROUPS "listeners:\n", out);
	for (int i = 1; i <= 41; i++) {
		fprintf(out, "- {name: l%d, protocol: http, target_group: web, address: [", i);
		for (int j = 1; j <= 25; j++)
			fprintf(out, "10.0.0.%d:%d, ", j, i);
		fputs("]}\n", out);
	}
	fclose(out);
	case_refused_bytes(text, len,
		AT("3:1", "listeners: have 1025 addresses in all: at most 1024 are allowed"));
	free(text);
}

static void targets_are_different(void **state)
{
	case_refused(
		GROUP("tcp", "targets:\n  [{address: \"[fd00::1]:1\"}, {address: 10.0.0.1:1},\n"
			     "   {address: \"[fd00:0::1]:1\", weight: 0}]"),
		AT("4:14",
			"target_groups[g].targets[2].address: [fd00::1]:1 is already a target of "
			"this group (line 3)"));
}

static void lists_have_no_repeats(void **state)
{
	case_refused("deny: [10.0.0.0/8, 192.0.2.1, 10.0.0.0/8, 192.0.2.1/32]\n"
		     "xdp: {interfaces: [eth0, eth1, eth0]}\n",
		AT("1:31", "deny[2]: is in the list twice")
			AT("1:43", "deny[3]: is in the list twice")
				AT("2:32", "xdp.interfaces[2]: is in the list twice"));
	case_refused(LISTENERS("- {name: a, protocol: tls, address: 0.0.0.0:1, target_group: raw,\n"
			       "   certificates: [www, www]}\n"),
		AT("5:24", "listeners[a].certificates[1]: is in the list twice"));
}

static void health_check_fits_the_group(void **state)
{
	case_refused(GROUP("https", "health_check: {protocol: http}"),
		AT("2:55",
			"target_groups[g].health_check.protocol: targets of a group of protocol "
			"https do not speak plain http: use https, tls or tcp, or give the port of "
			"the check"));
	case_refused(GROUP("http", "health_check: {protocol: tls}"),
		AT("2:54",
			"target_groups[g].health_check.protocol: targets of a group of protocol "
			"http do not speak TLS: use http or tcp, or give the port of the check"));
	config_free(case_accepted(GROUP("https", "health_check: {protocol: http, port: 8080}")));
	config_free(case_accepted(GROUP("tcp", "health_check: {protocol: https}")));
}

static void timeout_is_within_the_interval(void **state)
{
	case_refused(GROUP("tcp", "health_check: {interval: 3s, timeout: 4s}"),
		AT("2:66",
			"target_groups[g].health_check.timeout: is longer than interval (4000 ms, "
			"interval 3000 ms)"));
	case_refused(GROUP("tcp", "health_check: {interval: 1s}"),
		AT("2:53",
			"target_groups[g].health_check.timeout: is longer than interval (2000 ms, "
			"interval 1000 ms)"));
	config_free(case_accepted(GROUP("tcp", "health_check: {interval: 4s, timeout: 4s}")));
}

static void a_broken_value_has_one_error(void **state)
{
	case_refused(
		GROUP("htp", "pool: {idle_per_worker: 1}, health_check: {interval: x, timeout: "
			     "10s}"),
		AT("2:23", "target_groups[g].protocol: \"htp\" is not one of http, https, tls, tcp "
			   "(did you mean \"http\"?)") AT("2:81",
			"target_groups[g].health_check.interval: \"x\" is not a duration (write "
			"500ms, 10s, 5m, 2h or 1d)"));
}

static void xdp_needs_an_interface(void **state)
{
	case_refused("xdp: {mode: native}\n",
		AT("1:13", "xdp.mode: needs at least one of xdp.interfaces to attach to"));
	config_free(case_accepted("xdp: {mode: off}\n"));
}

static void routes_fit_their_listener(void **state)
{
	struct config *config = case_accepted(LISTENERS(
		"- {name: a, protocol: tcp, address: 0.0.0.0:1, target_group: raw,\n"
		"   routes: [{server_names: [a.example, \"*.b.example\"], target_group: raw}]}\n"));

	assert_int_equal(config->listeners[0].routes_count, 1);
	assert_string_equal(config->listeners[0].routes[0].server_names[1], "*.b.example");
	config_free(config);
	case_refused(LISTENERS("- name: a\n"
			       "  protocol: tcp\n"
			       "  address: 0.0.0.0:1\n"
			       "  target_group: raw\n"
			       "  routes:\n"
			       "  - {server_names: [a.*.example], target_group: web}\n"
			       "- name: b\n"
			       "  protocol: http\n"
			       "  address: 0.0.0.0:2\n"
			       "  target_group: web\n"
			       "  gate: {mode: on}\n"),
		AT("9:21",
			"listeners[a].routes[0].server_names[0]: \"a.*.example\" is not a server "
			"name (www.example.com, *.example.com)") AT("9:49",
			"listeners[a].routes[0].target_group: a listener of protocol tcp cannot use "
			"\"web\", whose protocol is http (it needs tls or tcp)") AT("14:9",
			"listeners[b].gate: has no effect with protocol http (only with https, tls, "
			"tcp)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_unique),
		cmocka_unit_test(alerts_go_to_a_url),
		cmocka_unit_test(references_must_exist),
		cmocka_unit_test(references_point_to_objects),
		cmocka_unit_test(certificates_have_one_source),
		cmocka_unit_test(certificates_fit_the_protocol),
		cmocka_unit_test(groups_fit_the_protocol),
		cmocka_unit_test(useless_settings_are_refused),
		cmocka_unit_test(versions_are_in_order),
		cmocka_unit_test(listeners_have_their_own_address),
		cmocka_unit_test(every_address_of_both_families_is_fine),
		cmocka_unit_test(addresses_are_bounded),
		cmocka_unit_test(targets_are_different),
		cmocka_unit_test(lists_have_no_repeats),
		cmocka_unit_test(health_check_fits_the_group),
		cmocka_unit_test(timeout_is_within_the_interval),
		cmocka_unit_test(a_broken_value_has_one_error),
		cmocka_unit_test(xdp_needs_an_interface),
		cmocka_unit_test(routes_fit_their_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
