/* What is wrong with single settings: exact place and text of each kind of error. */
#include "config_case.h"

#define AT(place, text) "/etc/sluice/t.yaml:" place ": " text "\n"
#define LISTENER        "listeners: [{name: w, protocol: http, address: 0.0.0.0:80, target_group: web, "

static void all_errors_come_in_one_run(void **state)
{
	case_refused("workers: many\n"
		     "wrkers: 1\n"
		     "log:\n"
		     "  level: inf\n"
		     "limits:\n"
		     "  source: {packets_burst: -1}\n"
		     "listeners:\n"
		     "  - name: a\n",
		AT("1:10", "workers: \"many\" is not auto or a whole number") AT(
			"2:1", "unknown setting \"wrkers\" (did you mean \"workers\"?)") AT("4:10",
			"log.level: \"inf\" is not one of error, warn, info, debug (did you mean "
			"\"info\"?)")
			AT("6:27", "limits.source.packets_burst: \"-1\" is not a whole number")
				AT("8:5", "listeners[a].protocol: is required")
					AT("8:5", "listeners[a].address: is required") AT(
						"8:5", "listeners[a].target_group: is required"));
}

static void keys_are_checked(void **state)
{
	case_refused("log: {levle: info}\n",
		AT("1:7", "log: unknown setting \"levle\" (did you mean \"level\"?)"));
	case_refused("jitter: 5%\n", AT("1:1", "unknown setting \"jitter\" (a setting of "
					       "\"target_groups[].health_check\")"));
	case_refused("xdp: {deny: []}\n",
		AT("1:7", "xdp: unknown setting \"deny\" (a setting of the top level)"));
	case_refused("log: {zzzzz: info}\n", AT("1:7", "log: unknown setting \"zzzzz\""));
	case_refused("log:\n  level: info\n  level: warn\n",
		AT("3:3", "log.level: is set twice (first in line 2)"));
	case_refused("log: {[a]: info}\n", AT("1:7", "log: the name of a setting must be a word"));
}

static void shapes_are_checked(void **state)
{
	case_refused(
		"log: info\n", AT("1:6", "log: must be settings (\"level: ...\"), not one value"));
	case_refused("- a\n", AT("1:1", "must be settings (\"workers: ...\"), not a list"));
	case_refused("workers: [1]\n", AT("1:10", "workers: must be one value, not a list"));
	case_refused("workers: {a: 1}\n", AT("1:10", "workers: must be one value, not a mapping"));
	case_refused("workers:\n", AT("1:9", "workers: has no value"));
	case_refused("listeners: {name: a}\n",
		AT("1:12",
			"listeners: must be a list, not a mapping (begin each item with \"- \")"));
	case_refused("deny: {a: b}\n",
		AT("1:7", "deny: must be a list, not a mapping (begin each item with \"- \")"));
	case_refused("deny: [[10.0.0.0/8]]\n", AT("1:8", "deny[0]: must be one value, not a list"));
	case_refused("certificates: [www]\n",
		AT("1:16", "certificates[0]: must be settings (\"name: ...\"), not one value"));
	case_refused(CASE_GROUPS "listeners: [{name: w, protocol: http, target_group: web, "
				 "address: []}]\n",
		AT("2:67", "listeners[w].address: must not be empty"));
}

static void ranges_name_limits_and_unit(void **state)
{
	case_refused("workers: 65\n",
		AT("1:10", "workers: must be auto or between 1 and 64 threads, not \"65\""));
	case_refused("workers: 0\n",
		AT("1:10", "workers: must be auto or between 1 and 64 threads, not \"0\""));
	case_refused("limits: {connections: 99999999999999999999999}\n",
		AT("1:23", "limits.connections: must be between 0 and 100000000 connections, not "
			   "\"99999999999999999999999\""));
	case_refused(CASE_GROUPS LISTENER "timeouts: {idle: 8d}}]\n",
		AT("2:96", "listeners[w].timeouts.idle: must be between 100ms and 7d, not \"8d\""));
	case_refused(CASE_GROUPS LISTENER "limits: {header_bytes: 2m}}]\n",
		AT("2:102",
			"listeners[w].limits.header_bytes: must be between 1k and 64k, not \"2m\""));
	case_refused("target_groups: [{name: g, protocol: tcp, health_check: {jitter: 51%}}]\n",
		AT("1:65", "target_groups[g].health_check.jitter: must be between 0% and 50%, not "
			   "\"51%\""));
	case_refused("target_groups: [{name: g, protocol: tcp, targets: [{address: 10.0.0.1:1, "
		     "weight: 1001}]}]\n",
		AT("1:82", "target_groups[g].targets[0].weight: must be between 0 and 1000, not "
			   "\"1001\""));
}

static void units_are_required(void **state)
{
	case_refused(CASE_GROUPS LISTENER "timeouts: {idle: 60}}]\n",
		AT("2:96",
			"listeners[w].timeouts.idle: \"60\" is not a duration (write 500ms, 10s, "
			"5m, 2h or 1d)"));
	case_refused(CASE_GROUPS LISTENER "timeouts: {idle: 1.5s}}]\n",
		AT("2:96",
			"listeners[w].timeouts.idle: \"1.5s\" is not a duration (write 500ms, 10s, "
			"5m, 2h or 1d)"));
	case_refused(CASE_GROUPS LISTENER "limits: {header_bytes: 64q}}]\n",
		AT("2:102",
			"listeners[w].limits.header_bytes: \"64q\" is not a size in bytes (write "
			"512, 64k, 10m or 1g)"));
	case_refused("target_groups: [{name: g, protocol: tcp, health_check: {jitter: 5}}]\n",
		AT("1:65", "target_groups[g].health_check.jitter: \"5\" is not a percentage (write "
			   "10%)"));
}

static void words_are_checked(void **state)
{
	case_refused("target_groups: [{name: g, protocol: htps}]\n",
		AT("1:37",
			"target_groups[g].protocol: \"htps\" is not one of http, https, tls, tcp "
			"(did you mean \"https\"?)"));
	case_refused("target_groups: [{name: g, protocol: tcp, fail_open: maybe}]\n",
		AT("1:53", "target_groups[g].fail_open: \"maybe\" is not true or false"));
	case_refused("target_groups: [{name: \"a b\", protocol: tcp}]\n",
		AT("1:24",
			"target_groups[0].name: \"a b\" is not a name: 1 to 63 letters, digits, - "
			"_ or ., the first a letter or digit"));
	case_refused("log: {level: \"a\\e[31m\"}\n",
		AT("1:14", "log.level: \"a?[31m\" is not one of error, warn, info, debug"));
}

static void case_target(const char *address, const char *expected)
{
	char yaml[512];

	snprintf(yaml, sizeof(yaml),
		"target_groups: [{name: g, protocol: tcp, targets: [{address: \"%s\"}]}]\n",
		address);
	case_refused(yaml, expected);
}

#define TARGET_AT(text) AT("1:62", "target_groups[g].targets[0].address: " text)

static void addresses_are_checked(void **state)
{
	case_target(
		"10.0.0.1", TARGET_AT("\"10.0.0.1\" is not an address or a name with a port (write "
				      "192.0.2.1:80, \"[2001:db8::1]:80\" or app.example.com:80)"));
	case_target("fd00::1:80",
		TARGET_AT("\"fd00::1:80\" is not an address or a name with a port (write "
			  "192.0.2.1:80, \"[2001:db8::1]:80\" or app.example.com:80)"));
	case_target(
		"10.0.0.1:0", TARGET_AT("\"10.0.0.1:0\": the port must be between 1 and 65535"));
	case_target("10.0.0.1:65536",
		TARGET_AT("\"10.0.0.1:65536\": the port must be between 1 and 65535"));
	case_target("10.0.0.256:80",
		TARGET_AT("\"10.0.0.256:80\": \"10.0.0.256\" is not an IPv4 address"));
	case_target(
		"[fd00::g]:80", TARGET_AT("\"[fd00::g]:80\": \"fd00::g\" is not an IPv6 address"));
	case_target("[::ffff:10.0.0.1]:80",
		TARGET_AT(
			"\"[::ffff:10.0.0.1]:80\" is an IPv4 address in IPv6 form (write 10.0.0.1)"));
}

static void prefixes_are_checked(void **state)
{
	case_refused("deny:\n  - 192.0.2.77/24\n  - 2001:db8::1/32\n  - 10.0.0.0/33\n  - x/8\n",
		AT("2:5", "deny[0]: \"192.0.2.77/24\" has bits set behind the prefix (write "
			  "192.0.2.0/24)") AT("3:5",
			"deny[1]: \"2001:db8::1/32\" has bits set behind the prefix (write "
			"2001:db8::/32)") AT("4:5",
			"deny[2]: \"10.0.0.0/33\": the prefix length must be between 0 and 32")
			AT("5:5", "deny[3]: \"x/8\": \"x\" is not an IPv4 address"));
}

static void deny_list_is_bounded(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("deny:\n", out);
	for (int i = 0; i < 1001; i++)
		fprintf(out, "- 10.%d.%d.0/24\n", i / 256, i % 256);
	fclose(out);
	case_refused_bytes(
		text, len, AT("1002:3", "deny: has 1001 entries: at most 1000 are allowed"));
	free(text);
}

#define CHECK_AT(column, text) AT("1:" column, "target_groups[g].health_check." text)

static void case_check(const char *setting, const char *expected)
{
	char yaml[512];

	snprintf(yaml, sizeof(yaml),
		"target_groups: [{name: g, protocol: http, health_check: {protocol: http, %s}}]\n",
		setting);
	case_refused(yaml, expected);
}

static void health_check_texts_are_checked(void **state)
{
	case_check("matcher: 2xx",
		CHECK_AT("83",
			"matcher: \"2xx\" is not a list of status codes (write 200, 200-299 or "
			"200,302; at most 16, codes 100 to 599)"));
	case_check("matcher: 299-200",
		CHECK_AT("83",
			"matcher: \"299-200\" is not a list of status codes (write 200, 200-299 "
			"or 200,302; at most 16, codes 100 to 599)"));
	case_check("path: healthz", CHECK_AT("80", "path: \"healthz\" must begin with /"));
	case_check("path: \"/a b\"",
		CHECK_AT("80", "path: \"/a b\" contains a character that must be written as %XX"));
	case_check("host: \"a b\"", CHECK_AT("80", "host: \"a b\" is not a host name"));
	case_check("port: 65536",
		CHECK_AT("80", "port: must be target or between 1 and 65535, not \"65536\""));
}

static void interfaces_are_checked(void **state)
{
	case_refused("xdp: {interfaces: [eth/0, averyveryverylongname]}\n",
		AT("1:20",
			"xdp.interfaces[0]: \"eth/0\" is not the name of an interface (at most 15 "
			"characters)") AT("1:27",
			"xdp.interfaces[1]: \"averyveryverylongname\" is not the name of an "
			"interface (at most 15 characters)"));
}

static void errors_are_bounded(void **state)
{
	char *text = NULL, *expected = NULL;
	size_t len, expected_len;
	FILE *out = open_memstream(&text, &len), *want = open_memstream(&expected, &expected_len);

	assert_non_null(out);
	assert_non_null(want);
	fputs("deny:\n", out);
	for (int i = 0; i < 130; i++) {
		fputs("- x\n", out);
		if (i < 100)
			fprintf(want,
				"/etc/sluice/t.yaml:%d:3: deny[%d]: \"x\": \"x\" is not an IPv4 "
				"address\n",
				i + 2, i);
	}
	fputs("/etc/sluice/t.yaml: and 30 more\n", want);
	fclose(out);
	fclose(want);
	case_refused_bytes(text, len, expected);
	free(text);
	free(expected);
}

static void relative_paths_begin_at_the_file(void **state)
{
	struct config *config = case_accepted(
		"certificates: [{name: a, cert: tls/a.pem, key: /k.pem, key_password_file: pw}]\n");

	assert_string_equal(config->certificates[0].cert_path, "/etc/sluice/tls/a.pem");
	assert_string_equal(config->certificates[0].key_path, "/k.pem");
	assert_string_equal(config->certificates[0].key_password_path, "/etc/sluice/pw");
	config_free(config);
}

static void matcher_forms_are_read(void **state)
{
	struct config *config = case_accepted(
		"target_groups: [{name: g, protocol: http, health_check: {protocol: http, "
		"matcher: \"200,301-302,404\"}}]\n");
	const struct config_matcher *m = &config->target_groups[0].health_check.matcher;

	assert_int_equal(m->count, 3);
	assert_int_equal(m->range[0].first, 200);
	assert_int_equal(m->range[0].last, 200);
	assert_int_equal(m->range[1].first, 301);
	assert_int_equal(m->range[1].last, 302);
	assert_int_equal(m->range[2].first, 404);
	config_free(config);
}

static void apply_can_name_the_place(void **state)
{
	struct config *config = case_accepted("certificates:\n"
					      "  - name: www\n"
					      "    cert: /c.pem\n"
					      "    key: /k.pem\n");
	const struct config_certificate *c = &config->certificates[0];
	struct config_errors errors;
	char *text;

	config_errors_init(&errors);
	errors.file = strdup("s.yaml");
	config_errors_add(&errors, config_mark(config, &c->key_path, c->mark),
		"certificates[www].key", "cannot read %s", c->key_path);
	config_errors_add(&errors, config_mark(config, &c->key_password_path, c->mark),
		"certificates[www].key_password_file", "is needed");
	text = case_errors_text(&errors);
	assert_string_equal(text, "s.yaml:2:5: certificates[www].key_password_file: is needed\n"
				  "s.yaml:4:10: certificates[www].key: cannot read /k.pem\n");
	assert_true(config_is_given(config, &c->key_path));
	assert_false(config_is_given(config, &c->key_password_path));
	free(text);
	config_errors_fini(&errors);
	config_free(config);
}

static void missing_file_is_reported(void **state)
{
	struct config *config = NULL;
	struct config_errors errors;
	char *text;

	config_errors_init(&errors);
	assert_int_equal(config_load_file("/nonexistent/s.yaml", &config, &errors), -2);
	text = case_errors_text(&errors);
	assert_string_equal(
		text, "/nonexistent/s.yaml: cannot read the file: No such file or directory\n");
	free(text);
	config_errors_fini(&errors);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(all_errors_come_in_one_run),
		cmocka_unit_test(keys_are_checked),
		cmocka_unit_test(shapes_are_checked),
		cmocka_unit_test(ranges_name_limits_and_unit),
		cmocka_unit_test(units_are_required),
		cmocka_unit_test(words_are_checked),
		cmocka_unit_test(addresses_are_checked),
		cmocka_unit_test(prefixes_are_checked),
		cmocka_unit_test(deny_list_is_bounded),
		cmocka_unit_test(health_check_texts_are_checked),
		cmocka_unit_test(interfaces_are_checked),
		cmocka_unit_test(errors_are_bounded),
		cmocka_unit_test(relative_paths_begin_at_the_file),
		cmocka_unit_test(matcher_forms_are_read),
		cmocka_unit_test(apply_can_name_the_place),
		cmocka_unit_test(missing_file_is_reported),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
