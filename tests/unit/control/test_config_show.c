/* The effective configuration: every default, the way there and back, what needs a restart; and
 * that a large configuration is read in a moment. */
#include "config_case.h"

#include "control/config_settings.h"

#include <time.h>

/* One object of each kind with nothing optional: what is shown beyond that are the defaults. */
static const char minimal[] =
	"certificates: [{name: www, cert: /c.pem, key: /k.pem}]\n"
	"target_groups:\n"
	"- {name: web, protocol: https, targets: [{address: 10.0.0.1:80}],\n"
	"   health_check: {protocol: https}}\n"
	"listeners:\n"
	"- {name: web, protocol: https, address: 0.0.0.0:443, certificates: www, target_group: web}\n";

static const char minimal_shown[] = "workers: auto\n"
				    "watchdog: 30s\n"
				    "admin:\n"
				    "  socket: /run/sluice/admin.sock\n"
				    "log:\n"
				    "  level: info\n"
				    "shutdown:\n"
				    "  grace: 0ms\n"
				    "  timeout: 30s\n"
				    "upgrade:\n"
				    "  timeout: 1h\n"
				    "xdp:\n"
				    "  mode: auto\n"
				    "  handover: auto\n"
				    "  dispatcher: auto\n"
				    "  pin_dir: /sys/fs/bpf/sluice\n"
				    "confinement:\n"
				    "  system_calls: enforce\n"
				    "session_tickets:\n"
				    "  rotation: 1h\n"
				    "  lifetime: 2h\n"
				    "  session_age: 1d\n"
				    "dns:\n"
				    "  timeout: 2s\n"
				    "deny: []\n"
				    "allow: []\n"
				    "limits:\n"
				    "  connections: 0\n"
				    "  memory: 0\n"
				    "  flights_per_prefix: 512\n"
				    "  dry_run: false\n"
				    "  source:\n"
				    "    packets_per_second: 0\n"
				    "    packets_burst: 0\n"
				    "    connections_per_second: 0\n"
				    "    connections_burst: 0\n"
				    "    handshakes_per_second: 0\n"
				    "    handshakes_burst: 0\n"
				    "  prefix:\n"
				    "    packets_per_second: 0\n"
				    "    packets_burst: 0\n"
				    "    connections_per_second: 0\n"
				    "    connections_burst: 0\n"
				    "    handshakes_per_second: 0\n"
				    "    handshakes_burst: 0\n"
				    "  name:\n"
				    "    handshakes_per_second: 0\n"
				    "    handshakes_burst: 0\n"
				    "  ja4:\n"
				    "    handshakes_per_second: 0\n"
				    "    handshakes_burst: 0\n"
				    "certificates:\n"
				    "  - name: www\n"
				    "    cert: /c.pem\n"
				    "    key: /k.pem\n"
				    "    ocsp: auto\n"
				    "certificates_cache: 4096\n"
				    "certificates_index: /var/lib/sluice/certificates.idx\n"
				    "state_dir: /var/lib/sluice\n"
				    "history: 100\n"
				    "alerts:\n"
				    "  expiry:\n"
				    "    - 30d\n"
				    "    - 7d\n"
				    "    - 1d\n"
				    "  retry: 10s\n"
				    "security_policies: []\n"
				    "trust_stores: []\n"
				    "target_groups:\n"
				    "  - name: web\n"
				    "    protocol: https\n"
				    "    protocol_version: http1\n"
				    "    algorithm: round_robin\n"
				    "    hash:\n"
				    "      key: source_ip\n"
				    "    fail_open: true\n"
				    "    fail_open_below: 1\n"
				    "    fail_open_below_percent: 0%\n"
				    "    slow_start: off\n"
				    "    limits:\n"
				    "      connections: 0\n"
				    "      requests: 0\n"
				    "      pending: 0\n"
				    "    outlier_detection:\n"
				    "      enabled: false\n"
				    "      consecutive_5xx: 5\n"
				    "      consecutive_gateway_errors: 5\n"
				    "      success_rate: 80%\n"
				    "      latency_ratio: off\n"
				    "      min_requests: 50\n"
				    "      interval: 10s\n"
				    "      ejection_time: 30s\n"
				    "      max_ejection_time: 5m\n"
				    "      max_ejected: 50%\n"
				    "    stickiness:\n"
				    "      type: off\n"
				    "      duration: 1d\n"
				    "    retries:\n"
				    "      attempts: 2\n"
				    "      budget: 20%\n"
				    "      budget_per_second: 3\n"
				    "    deregistration_delay: 5m\n"
				    "    dns:\n"
				    "      interval: ttl\n"
				    "      family: any\n"
				    "      max_addresses: 64\n"
				    "      hold: 30s\n"
				    "    proxy_protocol: off\n"
				    "    tls:\n"
				    "      verify: true\n"
				    "      policy: default\n"
				    "      ktls: auto\n"
				    "    timeouts:\n"
				    "      connect: 3s\n"
				    "      response: 1m\n"
				    "    pool:\n"
				    "      idle_per_worker: 256\n"
				    "      idle_timeout: 30s\n"
				    "    targets:\n"
				    "      - address: \"10.0.0.1:80\"\n"
				    "        weight: 1\n"
				    "    health_check:\n"
				    "      protocol: https\n"
				    "      port: target\n"
				    "      path: /\n"
				    "      matcher: 200-399\n"
				    "      interval: 5s\n"
				    "      timeout: 2s\n"
				    "      rise: 2\n"
				    "      fall: 3\n"
				    "      jitter: 10%\n"
				    "      tls:\n"
				    "        verify: false\n"
				    "listeners:\n"
				    "  - name: web\n"
				    "    protocol: https\n"
				    "    address:\n"
				    "      - \"0.0.0.0:443\"\n"
				    "    certificates:\n"
				    "      - www\n"
				    "    target_group: web\n"
				    "    proxy_protocol: off\n"
				    "    x_forwarded_for: append\n"
				    "    http2: true\n"
				    "    http:\n"
				    "      desync_mode: defensive\n"
				    "      header_names: forward\n"
				    "      forwarded: preserve\n"
				    "      x_forwarded_proto: set\n"
				    "      client_port: false\n"
				    "      request_id: off\n"
				    "      trace_id: false\n"
				    "      upgrades: true\n"
				    "      server: true\n"
				    "      date: true\n"
				    "    tls:\n"
				    "      policy: default\n"
				    "      min_version: policy\n"
				    "      max_version: policy\n"
				    "      session_tickets: true\n"
				    "      ktls: auto\n"
				    "      existing: drain\n"
				    "    client_auth:\n"
				    "      mode: off\n"
				    "      max_depth: 4\n"
				    "      ignore_expiry: false\n"
				    "      advertise_ca_names: false\n"
				    "      headers:\n"
				    "        serial_number: X-Amzn-Mtls-Clientcert-Serial-Number\n"
				    "        issuer: X-Amzn-Mtls-Clientcert-Issuer\n"
				    "        subject: X-Amzn-Mtls-Clientcert-Subject\n"
				    "        validity: X-Amzn-Mtls-Clientcert-Validity\n"
				    "        leaf: X-Amzn-Mtls-Clientcert-Leaf\n"
				    "        chain: X-Amzn-Mtls-Clientcert\n"
				    "    tls_headers:\n"
				    "      version: off\n"
				    "      cipher_suite: off\n"
				    "    access_log:\n"
				    "      format: json\n"
				    "    syn_cookies: always\n"
				    "    gate:\n"
				    "      mode: auto\n"
				    "      unknown_name: serve\n"
				    "      missing_name: serve\n"
				    "      refusal: alert\n"
				    "    timeouts:\n"
				    "      handshake: 10s\n"
				    "      header: 10s\n"
				    "      request_body: 1m\n"
				    "      idle: 1m\n"
				    "      keep_alive: 75s\n"
				    "      lifetime: 1h\n"
				    "    limits:\n"
				    "      connections: 100000\n"
				    "      packets_per_second: 0\n"
				    "      packets_burst: 0\n"
				    "      connections_per_second: 0\n"
				    "      connections_burst: 0\n"
				    "      handshakes_per_second: 0\n"
				    "      handshakes_burst: 0\n"
				    "      syns_per_second: 1000\n"
				    "      syns_burst: 0\n"
				    "      header_bytes: 64k\n"
				    "      request_line_bytes: 16k\n"
				    "      header_line_bytes: 16k\n"
				    "      headers: 128\n"
				    "      body_bytes: 0\n"
				    "      requests_per_connection: 0\n";

static void defaults_are_shown(void **state)
{
	struct config *config = case_accepted(minimal);
	char *text = case_shown(config);

	assert_string_equal(text, minimal_shown);
	free(text);
	config_free(config);
}

static void defaults_are_in_the_struct(void **state)
{
	struct config *config = case_accepted(minimal);
	const struct config_listener *l = &config->listeners[0];
	const struct config_health_check *check = &config->target_groups[0].health_check;

	assert_int_equal(config->workers, 0);
	assert_int_equal(config->log.level, CONFIG_LOG_INFO);
	assert_int_equal(config->xdp.mode, CONFIG_XDP_AUTO);
	assert_int_equal(l->protocol, CONFIG_HTTPS);
	assert_int_equal(l->timeouts.keep_alive_ms, 75000);
	assert_int_equal(l->limits.header_bytes, 65536);
	assert_string_equal(l->tls.policy, "default");
	assert_int_equal(l->tls.max_version, CONFIG_TLS_ANY);
	assert_true(l->tls.session_tickets);
	assert_int_equal(check->protocol, CONFIG_CHECK_HTTPS);
	assert_int_equal(check->port, 0);
	assert_int_equal(check->jitter_percent, 10);
	assert_null(check->host);
	assert_int_equal(config->target_groups[0].deregistration_delay_ms, 300000);
	assert_int_equal(config->target_groups[0].targets[0].weight, 1);
	config_free(config);
}

static void shown_again(const struct config *config)
{
	char *first = case_shown(config), *second;
	struct config *again = case_accepted(first);

	second = case_shown(again);
	assert_string_equal(second, first);
	free(first);
	free(second);
	config_free(again);
}

static const char *const kept[] = {"workers: 7", "- \"127.0.0.1:9443\"", "- \"127.0.0.1:9464\"",
	"certificate: c", "subject: \"CN=ops\"", "san: \"dns:ops\"", "file: /ci.token",
	"role: operate", "socket: \"/run/my \\\"admin\\\" \xc3\xa4\\U00000085\"", "level: debug",
	"mode: off", "- \"wlan0@x\"", "pin_dir: /p", "- 10.0.0.0/8", "\"2001:db8::/32\"",
	"packets_per_second: 9", "key_password_file: /pw", "protocol_version: http2",
	"algorithm: consistent_hash", "key: cookie", "name: sid", "fail_open_below: 2",
	"fail_open_below_percent: 10%", "requests: 3", "pending: 2", "consecutive_5xx: 7",
	"consecutive_gateway_errors: off", "success_rate: 0%", "latency_ratio: 3",
	"ejection_time: 1s", "max_ejected: 100%", "type: app_cookie", "duration: 2m", "cookie: LB",
	"app_cookie: SID", "attempts: 4", "status: 502-504", "budget: 30%", "budget_per_second: 9",
	"deregistration_delay: 0ms", "interval: 45s", "family: v6", "max_addresses: 7", "hold: off",
	"- \"[::1]:5353\"", "timeout: 700ms", "proxy_protocol: v1", "ca: /ca.pem",
	"server_name: srv", "connect: 10ms", "idle_per_worker: 0", "name: t1", "weight: 0",
	"port: 8080", "path: \"/x?a=b\"", "host: h", "matcher: 200,204-206", "jitter: 0%",
	"server_name: chk", "proxy_protocol: require", "x_forwarded_for: remove", "http2: false",
	"min_version: 1.3", "session_tickets: false", "desync_mode: strictest",
	"header_names: drop", "forwarded: append", "x_forwarded_proto: preserve",
	"client_port: true", "request_id: keep", "alt_svc: \"h3=\\\":1\\\"\"", "trace_id: true",
	"upgrades: false", "server: false", "date: false", "request_line_bytes: 300",
	"header_line_bytes: 2k", "headers: 9", "header_bytes: 1025", "body_bytes: 5g",
	"pkcs11_module: /lib/token.so", "- imap", "name: \"null\"", "handover: kernel_cookies",
	"dispatcher: never", "cookie_secret_file: /s", "deny_file: /d", "- 10.1.0.0/16",
	"allow_file: /a", "flights_per_prefix: 7", "dry_run: true", "connections_per_second: 7",
	"handshakes_burst: 8", "syn_cookies: under_attack", "syns_per_second: 11",
	"unknown_name: refuse", "refusal: reset", "- \"t13*\"", "- t12d", "mode: on",
	"- \"*.r.example\"", "ktls: tx", "ktls: require", "existing: keep", "based_on: 2016-08",
	"- ECDHE-RSA-AES128-SHA", "max_version: 1.1", "server_preference: false", "policy: mine",
	"policy: tls_cipher_policy_1_2", "ca: /people.pem", "- /people.crl", "mode: verify",
	"trust_store: people", "max_depth: 3", "ignore_expiry: true", "issuer: X-I",
	"advertise_ca_names: true", "leaf: off", "version: X-V", "connections: /c.log",
	"expiry: []", "webhook: \"https://hooks.example/x\"", "ca: /hooks.pem", "retry: 20s",
	"keys_file: /t.keys", "rotation: 2m", "lifetime: 90s", "session_age: 3h", "ocsp: off",
	"ocsp_file: /r", "path: /a.log", "format: alb", "grace: 21s", "timeout: 22s",
	"system_calls: log"};

/* Nothing of a complete configuration is lost on the way out and back in. */
static const char everything[] =
	"workers: 7\n"
	"watchdog: off\n"
	"admin: {socket: \"/run/my \\\"admin\\\" \xc3\xa4\\x85\", listen: [127.0.0.1:9443], certificate: c,\n"
	"        clients: [{role: operate, subject: CN=ops, san: dns:ops}], trust_store: people,\n"
	"        tokens: [{name: ci, role: admin, file: /ci.token}]}\n"
	"metrics: {listen: [127.0.0.1:9464]}\n"
	"log: {level: debug, connections: /c.log}\n"
	"xdp: {mode: off, interfaces: [wlan0@x], pin_dir: /p, handover: kernel_cookies,\n"
	"      cookie_secret_file: /s, dispatcher: never}\n"
	"shutdown: {grace: 21s, timeout: 22s}\n"
	"upgrade: {socket: /u.sock, timeout: 23s}\n"
	"confinement: {system_calls: log}\n"
	"session_tickets: {keys_file: /t.keys, rotation: 2m, lifetime: 90s, session_age: 3h}\n"
	"dns: {servers: [\"[::1]:5353\"], timeout: 700ms}\n"
	"deny: [10.0.0.0/8, \"2001:db8::/32\"]\n"
	"deny_file: /d\n"
	"allow: [10.1.0.0/16]\n"
	"allow_file: /a\n"
	"limits: {connections: 5, memory: 64m, flights_per_prefix: 7, dry_run: yes,\n"
	"   source: {packets_per_second: 9, packets_burst: 3, connections_per_second: 7},\n"
	"   prefix: {packets_burst: 1}, name: {handshakes_burst: 8}, ja4: {handshakes_per_second: 1}}\n"
	"certificates: [{name: c, cert: /c, key: /k, key_password_file: /pw, ocsp: off, ocsp_file: /r},\n"
	"   {name: many, directory: /certs}]\n"
	"certificates_cache: 99\n"
	"certificates_index: off\n"
	"pkcs11_module: /lib/token.so\n"
	"state_dir: /var/lib/s\n"
	"history: 7\n"
	"alerts: {expiry: [], webhook: \"https://hooks.example/x\", ca: /hooks.pem, retry: 20s}\n"
	"security_policies: [{name: mine, based_on: 2016-08, ciphers: ECDHE-RSA-AES128-SHA,\n"
	"   max_version: 1.1, groups: [x25519], server_preference: no}]\n"
	"trust_stores: [{name: people, ca: /people.pem, crls: /people.crl}]\n"
	"target_groups:\n"
	"- {name: web, protocol: https, protocol_version: http2, algorithm: consistent_hash,\n"
	"   hash: {key: cookie, name: sid}, fail_open: yes, fail_open_below: 2,\n"
	"   fail_open_below_percent: 10%, limits: {connections: 4, requests: 3, pending: 2},\n"
	"   outlier_detection: {enabled: yes, consecutive_5xx: 7, consecutive_gateway_errors: off,\n"
	"   success_rate: 0%, latency_ratio: 3, ejection_time: 1s, max_ejected: 100%},\n"
	"   stickiness: {type: app_cookie, duration: 2m, cookie: LB, app_cookie: SID},\n"
	"   retries: {attempts: 4, status: 502-504, budget: 30%, budget_per_second: 9},\n"
	"   deregistration_delay: 0s, dns: {interval: 45s, family: v6,\n"
	"   max_addresses: 7, hold: off}, proxy_protocol: v1, tls: {ca: /ca.pem, server_name: srv,\n"
	"   policy: mine, ktls: tx},\n"
	"   timeouts: {connect: 10ms}, pool: {idle_per_worker: 0},\n"
	"   targets: [{name: t1, address: 10.0.0.1:1, weight: 0}],\n"
	"   health_check: {protocol: https, port: 8080, path: \"/x?a=b\", host: h,\n"
	"                  matcher: \"200,204-206\", jitter: 0%, tls: {verify: true,\n"
	"                  server_name: chk}}}\n"
	"- {name: \"null\", protocol: tcp}\n"
	"listeners:\n"
	"- {name: l, protocol: https, address: \"[::1]:1\", certificates: c, target_group: web,\n"
	"   proxy_protocol: require, x_forwarded_for: remove, http2: off, http: {desync_mode: strictest, header_names: drop, forwarded: append,\n"
	"   x_forwarded_proto: preserve, client_port: yes, request_id: keep, trace_id: yes, upgrades: no, server: no, date: no, alt_svc: 'h3=\":1\"'}, tls: {min_version: 1.3,\n"
	"   session_tickets: off, ktls: require, existing: keep}, limits: {request_line_bytes: 300,\n"
	"   header_line_bytes: 2k, headers: 9, header_bytes: 1025, body_bytes: 5g},\n"
	"   client_auth: {mode: verify, trust_store: people, max_depth: 3, ignore_expiry: yes,\n"
	"   advertise_ca_names: yes, headers: {issuer: X-I, leaf: off}},\n"
	"   tls_headers: {version: X-V}, access_log: {path: /a.log, format: alb}}\n"
	"- {name: m, protocol: tls, address: \"[::1]:2\", certificates: c, target_group: \"null\",\n"
	"   tls: {alpn: [imap], policy: tls_cipher_policy_1_2}, syn_cookies: under_attack, limits: {syns_per_second: 11},\n"
	"   gate: {unknown_name: refuse, refusal: reset, ja4_deny: [\"t13*\"], ja4_allow: [t12d]}}\n"
	"- {name: r, protocol: tcp, address: \"[::1]:3\", target_group: \"null\", gate: {mode: on},\n"
	"   routes: [{server_names: \"*.r.example\", target_group: \"null\"}]}\n";

static void everything_survives_the_round_trip(void **state)
{
	struct config *config = case_accepted(everything);
	char *text = case_shown(config);

	for (size_t i = 0; i < array_len(kept); i++) {
		if (!strstr(text, kept[i]))
			fail_msg("not shown: %s in\n%s", kept[i], text);
	}
	free(text);
	shown_again(config);
	config_free(config);
}

static void example_is_valid(void **state)
{
	struct config *config = NULL;
	struct config_errors errors;
	char *text;

	config_errors_init(&errors);
	(void)!config_load_file("docs/example.yaml", &config, &errors);
	text = case_errors_text(&errors);
	assert_string_equal(text, "");
	assert_int_equal(config->listeners_count, 6);
	shown_again(config);
	free(text);
	config_errors_fini(&errors);
	config_free(config);
}

static void case_restart(const char *old_yaml, const char *new_yaml, const char *expected)
{
	struct config *old = case_accepted(old_yaml), *new = case_accepted(new_yaml);
	struct config_errors errors;
	char *text;

	config_errors_init(&errors);
	errors.file = strdup("s.yaml");
	assert_int_equal(config_is_restart_needed(old, new, &errors), expected[0] != '\0');
	assert_int_equal(config_is_restart_needed(old, new, NULL), expected[0] != '\0');
	text = case_errors_text(&errors);
	assert_string_equal(text, expected);
	free(text);
	config_errors_fini(&errors);
	config_free(old);
	config_free(new);
}

static void restart_is_named(void **state)
{
	case_restart("workers: 1\nxdp: {interfaces: [eth0]}\n",
		"workers: 2\nlog: {level: warn}\nxdp: {interfaces: [eth0, eth1]}\n",
		"s.yaml:1:10: workers: a reload cannot change this: restart sluiced\n"
		"s.yaml:3:19: xdp.interfaces: a reload cannot change this: restart sluiced\n");
	case_restart("admin: {socket: /a}\n", "log: {level: info}\n",
		"s.yaml: admin.socket: a reload cannot change this: restart sluiced\n");
	case_restart("log: {level: warn}\n", minimal, "");
	case_restart("workers: auto\n", "log: {level: info}\n", "");
}

static char *large_yaml(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("target_groups:\n", out);
	for (int i = 0; i < 1000; i++) {
		fprintf(out, "- name: g%d\n  protocol: tcp\n  targets:\n", i);
		for (int j = 0; j < 10; j++)
			fprintf(out, "  - {address: 10.%d.%d.%d:80, weight: 2}\n", i / 256, i % 256,
				j);
	}
	fputs("listeners:\n", out);
	for (int i = 0; i < 1000; i++)
		fprintf(out,
			"- {name: l%d, protocol: tcp, address: \"0.0.0.0:%d\", target_group: g%d}\n",
			i, i + 1000, i);
	fclose(out);
	return text;
}

static void what_may_be_secret_can_be_left_out(void **state)
{
	struct config *config =
		case_accepted(CASE_GROUPS "alerts: {webhook: 'https://a/SECRET'}\n"
					  "certificates:\n"
					  "- {name: c, cert: /c, key: /k,\n"
					  "   key_password_command: [/bin/echo, SECRET]}\n"
					  "listeners:\n"
					  "- {name: p, protocol: http, address: 127.0.0.1:80,\n"
					  "   target_group: web, rules: [{priority: 1,\n"
					  "   target_group: web, conditions: [{path: /a}],\n"
					  "   request_headers: {set: [\n"
					  "   {name: Authorization, value: SECRET}]}}]}\n");
	char *text = case_shown_as(config, true);

	assert_null(strstr(text, "SECRET"));
	assert_non_null(strstr(text, "webhook: " CONFIG_REDACTED "\n"));
	assert_non_null(strstr(text, "name: Authorization\n"));
	assert_non_null(strstr(text, "- " CONFIG_REDACTED "\n"));
	free(text);
	config_free(config);
}

static void large_configuration_is_quick(void **state)
{
	char *text = large_yaml();
	struct timespec begin, end;
	struct config *config;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &begin);
	config = case_accepted(text);
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &end);
	assert_int_equal(config->listeners_count, 1000);
	assert_int_equal(config->target_groups[999].targets_count, 10);
	assert_string_equal(config->listeners[500].target_group->name, "g500");
	double seconds =
		(double)(end.tv_sec - begin.tv_sec) + (double)(end.tv_nsec - begin.tv_nsec) / 1e9;
	print_message("1,000 listeners, 10,000 targets: %.3f s of CPU\n", seconds);
	assert_true(seconds < 1.0);
	free(text);
	config_free(config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defaults_are_shown),
		cmocka_unit_test(defaults_are_in_the_struct),
		cmocka_unit_test(everything_survives_the_round_trip),
		cmocka_unit_test(example_is_valid),
		cmocka_unit_test(restart_is_named),
		cmocka_unit_test(what_may_be_secret_can_be_left_out),
		cmocka_unit_test(large_configuration_is_quick),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
