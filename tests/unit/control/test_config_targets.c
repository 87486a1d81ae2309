/* How target groups choose their targets: what is read, what is refused and how it is said. */
#include "config_case.h"

#define AT(place, text) "/etc/sluice/t.yaml:" place ": " text "\n"
#define GROUP(settings) "target_groups:\n- {name: g, protocol: http, " settings "}\n"
#define BYTES(settings) "target_groups:\n- {name: g, protocol: tcp, " settings "}\n"

static void settings_are_read(void **state)
{
	struct config *config =
		case_accepted(GROUP("algorithm: consistent_hash, hash: {key: cookie, name: sid}, "
				    "fail_open_below: 3, fail_open_below_percent: 40%, "
				    "limits: {connections: 7, requests: 8, pending: 9}"));
	const struct config_target_group *group = &config->target_groups[0];

	assert_int_equal(group->algorithm, CONFIG_CONSISTENT_HASH);
	assert_int_equal(group->hash.key, CONFIG_HASH_COOKIE);
	assert_string_equal(group->hash.name, "sid");
	assert_int_equal(group->fail_open_below, 3);
	assert_int_equal(group->fail_open_below_percent, 40);
	assert_int_equal(group->limits.connections, 7);
	assert_int_equal(group->limits.requests, 8);
	assert_int_equal(group->limits.pending, 9);
	assert_int_equal(group->slow_start_ms, 0);
	config_free(config);
	config = case_accepted(GROUP("algorithm: weighted_random, slow_start: 30s"));
	assert_int_equal(config->target_groups[0].slow_start_ms, 30000);
	assert_int_equal(config->target_groups[0].fail_open_below, 1);
	config_free(config);
}

static void outlier_detection_is_read(void **state)
{
	struct config *config = case_accepted(
		GROUP("outlier_detection: {enabled: yes, consecutive_5xx: off, interval: 1s}"));
	const struct config_outliers *outliers = &config->target_groups[0].outliers;

	assert_true(outliers->enabled);
	assert_int_equal(outliers->errors, 0);
	assert_int_equal(outliers->gateway_errors, 5);
	assert_int_equal(outliers->interval_ms, 1000);
	config_free(config);
	case_refused(GROUP("outlier_detection: {ejection_time: 10m}"),
		AT("2:64", "target_groups[g].outlier_detection.max_ejection_time: is shorter than "
			   "ejection_time (300000 ms, ejection_time 600000 ms)"));
}

static void retries_are_read(void **state)
{
	struct config *config =
		case_accepted(GROUP("retries: {attempts: 1, status: \"502,504\", budget: 5%}"));
	const struct config_retries *retries = &config->target_groups[0].retries;

	assert_int_equal(retries->attempts, 1);
	assert_int_equal(retries->status.count, 2);
	assert_int_equal(retries->status.range[1].first, 504);
	assert_int_equal(retries->budget_percent, 5);
	assert_int_equal(retries->budget_per_second, 3);
	config_free(config);
}

static void stickiness_is_checked(void **state)
{
	struct config *config = case_accepted(
		GROUP("stickiness: {type: app_cookie, app_cookie: SID, duration: 1s}"));

	assert_int_equal(config->target_groups[0].stickiness.type, CONFIG_STICKY_APP);
	assert_int_equal(config->target_groups[0].stickiness.duration_ms, 1000);
	assert_string_equal(config->target_groups[0].stickiness.app_cookie, "SID");
	assert_null(config->target_groups[0].stickiness.cookie);
	config_free(config);
	case_refused(GROUP("stickiness: {type: app_cookie}"),
		AT("2:48", "target_groups[g].stickiness.app_cookie: is required with type "
			   "app_cookie"));
	case_refused(GROUP("stickiness: {type: lb_cookie, app_cookie: SID}"),
		AT("2:71", "target_groups[g].stickiness.app_cookie: has no effect without type "
			   "app_cookie"));
	case_refused(GROUP("stickiness: {type: lb_cookie, cookie: a b}"),
		AT("2:67", "target_groups[g].stickiness.cookie: is not the name of a cookie"));
	case_refused(GROUP("stickiness: {type: app_cookie, cookie: SID, app_cookie: SID}"),
		AT("2:68", "target_groups[g].stickiness.cookie: is the name of the application's "
			   "cookie: they must be two"));
}

static void what_has_no_effect_is_refused(void **state)
{
	case_refused(GROUP("hash: {key: cookie, name: sid}"),
		AT("2:41", "target_groups[g].hash: has no effect with algorithm round_robin (only "
			   "with consistent_hash)"));
	case_refused(GROUP("algorithm: consistent_hash, slow_start: 30s"),
		AT("2:69", "target_groups[g].slow_start: has no effect with algorithm "
			   "consistent_hash"));
	case_refused(GROUP("fail_open: no, fail_open_below: 2, fail_open_below_percent: 10%"),
		AT("2:61", "target_groups[g].fail_open_below: has no effect with fail_open: false")
			AT("2:89", "target_groups[g].fail_open_below_percent: has no effect with "
				   "fail_open: false"));
}

static void hashes_need_what_they_go_by(void **state)
{
	case_refused(GROUP("algorithm: consistent_hash, hash: {key: header}"),
		AT("2:69", "target_groups[g].hash.name: is required with key header, cookie and "
			   "query"));
	case_refused(GROUP("algorithm: consistent_hash, hash: {name: x}"),
		AT("2:70", "target_groups[g].hash.name: has no effect with key source_ip"));
	case_refused(GROUP("algorithm: consistent_hash, hash: {key: header, name: a b}"),
		AT("2:83", "target_groups[g].hash.name: is not the name of a header or cookie"));
	case_refused(BYTES("algorithm: consistent_hash, hash: {key: query, name: q}"),
		AT("2:68",
			"target_groups[g].hash.key: must be source_ip in a group of protocol tcp, "
			"which sees no requests"));
}

static void numbers_are_in_range(void **state)
{
	case_refused(GROUP("slow_start: 16m"),
		AT("2:41", "target_groups[g].slow_start: must be off or between 1s and 15m, not "
			   "\"16m\""));
}

#define TARGETS(list) "target_groups:\n- {name: g, protocol: http, targets: [" list "]}\n"

static void names_are_read(void **state)
{
	struct config *config = case_accepted(
		"dns: {servers: [192.0.2.53:53, \"[2001:db8::53]:5353\"], timeout: 1s}\n"
		"target_groups:\n- {name: g, protocol: http, dns: {interval: 5s, family: v4}, targets: ["
		"{address: App.Example.com:8080}, {address: 10.0.0.1:80}, {address: a_b:1},"
		" {address: x9.local.:65535}]}\n");
	const struct config_target_group *group = &config->target_groups[0];
	char *shown = case_shown(config);

	assert_string_equal(group->targets[0].address.host, "app.example.com");
	assert_int_equal(group->targets[0].address.address.port, 8080);
	assert_int_equal(group->targets[0].address.address.family, 0);
	assert_null(group->targets[1].address.host);
	assert_string_equal(group->targets[2].address.host, "a_b");
	assert_string_equal(group->targets[3].address.host, "x9.local.");
	assert_int_equal(group->dns.interval_ms, 5000);
	assert_int_equal(group->dns.family, CONFIG_FAMILY_V4);
	assert_int_equal(group->dns.max_addresses, 64);
	assert_int_equal(config->dns.servers_count, 2);
	assert_int_equal(config->dns.timeout_ms, 1000);
	assert_non_null(strstr(shown, "address: \"app.example.com:8080\"\n"));
	assert_non_null(strstr(shown, "address: \"x9.local.:65535\"\n"));
	config_free(config);
	config_free(case_accepted(shown));
	free(shown);
}

static void bad_names_are_refused(void **state)
{
	static const char *const bad[] = {"app", "app:", "app:0", "app:65536", "-a:1", "a-:1",
		"a..b:1", ".a:1", "a b:1", "a/b:1", "10.0.0.300:80", "10.1:80", "1:80", "[app]:80",
		"a:b:80", ":80", "*.a:1"};
	struct config_errors errors;
	struct config *config;
	char yaml[256], *text;
	size_t i;

	for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		snprintf(yaml, sizeof(yaml), TARGETS("{address: \"%s\"}"), bad[i]);
		config_errors_init(&errors);
		assert_true(config_parse(yaml, strlen(yaml), "/t.yaml", &config, &errors) < 0);
		text = case_errors_text(&errors);
		assert_non_null(strstr(text, "/t.yaml:2:"));
		assert_non_null(strstr(text, "target_groups[g].targets[0].address"));
		free(text);
		config_errors_fini(&errors);
	}
	case_refused(TARGETS("{address: app}"),
		AT("2:49",
			"target_groups[g].targets[0].address: \"app\" is not an address or a name "
			"with a port (write 192.0.2.1:80, \"[2001:db8::1]:80\" or "
			"app.example.com:80)"));
	case_refused(TARGETS("{address: \"a b:80\"}"),
		AT("2:49",
			"target_groups[g].targets[0].address: \"a b:80\" is neither an IP address "
			"nor a host name, with a port"));
	case_refused(TARGETS("{address: 10.0.0.300:80}"),
		AT("2:49", "target_groups[g].targets[0].address: \"10.0.0.300:80\": \"10.0.0.300\" "
			   "is not an IPv4 address"));
	case_refused(TARGETS("{address: app:80}, {address: app:81}, {address: APP:80}"),
		AT("2:87",
			"target_groups[g].targets[2].address: app:80 is already a target of this "
			"group (line 2)"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(settings_are_read),
		cmocka_unit_test(outlier_detection_is_read),
		cmocka_unit_test(retries_are_read),
		cmocka_unit_test(names_are_read),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(stickiness_is_checked),
		cmocka_unit_test(what_has_no_effect_is_refused),
		cmocka_unit_test(hashes_need_what_they_go_by),
		cmocka_unit_test(numbers_are_in_range),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
