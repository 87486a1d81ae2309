/* The verdict on a first flight, stage by stage, and what is counted and shown of it. */
#include "../tls/hello_bytes.h"
#include "../tls/pki.h"

#include "gate/gate.h"
#include "tls/server.h"
#include <errno.h>

static const char extensions[] = "0000,000a,000d,0010,002b,0033";
static const uint64_t start_us = 1000000000ull;

static struct hello_bytes flight;
static uint8_t scratch[CLIENTHELLO_SCRATCH_BYTES];
static struct gate_limits *limits;
static struct gate_policy *policy;
static struct gate_judgement judgement;
static char name[CLIENTHELLO_SERVER_NAME_MAX]; /* what is left of the hello */
static union addr client;

static int setup(void **state)
{
	limits = gate_limits_new();
	assert_int_equal(addr_parse("192.0.2.7:4000", &client), 0);
	return 0;
}

static int teardown(void **state)
{
	gate_limits_free(limits);
	if (policy)
		shared_put(&policy->shared);
	policy = NULL;
	return 0;
}

static void set_policy(const struct gate_policy_spec *spec)
{
	struct gate_policy_spec with_name = *spec;
	struct err err = {""};

	with_name.name = "web";
	with_name.listener_id = 3;
	if (policy)
		shared_put(&policy->shared);
	assert_int_equal(gate_policy_new(&with_name, 1, &policy, &err), 0);
}

static void set_flight(const struct hello_raw *raw)
{
	struct hello_raw with_extensions = *raw;

	if (!raw->extensions)
		with_extensions.extensions = extensions;
	hello_stream(&with_extensions, &flight);
}

static void set_prefix(const void *bytes, size_t n)
{
	memmove(flight.at + n, flight.at, flight.len);
	memcpy(flight.at, bytes, n);
	flight.len += n;
}

static int judge_len(size_t len)
{
	uint8_t *copy = malloc(len + 1); /* exactly as long, for the sanitizer */
	int r;

	memcpy(copy, flight.at, len);
	r = gate_judge(policy, limits, &client, copy, len, scratch, start_us, &judgement);
	if (r == 0 && judgement.has_hello) {
		if (judgement.hello.server_name.len)
			memcpy(name, judgement.hello.server_name.ptr,
				judgement.hello.server_name.len);
		judgement.hello.server_name.ptr = name;
	}
	free(copy);
	return r;
}

static enum gate_reason judge(void)
{
	assert_int_equal(judge_len(flight.len), 0);
	return judgement.reason;
}

static enum gate_reason judge_name(const char *server_name)
{
	set_flight(&(struct hello_raw){.name = server_name});
	return judge();
}

/* Of every beginning: more is needed; never another verdict than that of the whole. */
static void test_in_pieces(void **state)
{
	static const char v1[] = "PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n";
	size_t len, need, calls;
	int with_header;

	for (with_header = 0; with_header < 2; with_header++) {
		set_policy(&(struct gate_policy_spec){
			.proxy_in = with_header ? GATE_PROXY_REQUIRE : GATE_PROXY_OFF});
		set_flight(&(struct hello_raw){.name = "www.test"});
		if (with_header)
			set_prefix(v1, sizeof(v1) - 1);
		for (len = 0; len < flight.len; len++) {
			assert_int_equal(judge_len(len), -EAGAIN);
			need = gate_judge_needs(&judgement, flight.at, len);
			assert_in_range(need, len + 1, flight.len);
		}
		assert_int_equal(judge(), GATE_released);
		for (calls = 0, len = 0; judge_len(len) == -EAGAIN; calls++)
			len = gate_judge_needs(&judgement, flight.at, len);
		assert_int_equal(len, flight.len);
		assert_in_range(calls, 1, with_header ? sizeof(v1) + 5 : 5);
	}
}

/* A long hello in records of one byte: the number of calls stays far below that of bytes. */
static void test_needs_of_tiny_records(void **state)
{
	static struct hello_bytes message;
	struct hello_raw raw = {
		.extensions = "0000,000a,000d,002b,0033,0015", .padding_len = 15000};
	size_t len = 0, calls;

	set_policy(&(struct gate_policy_spec){.name = "web"});
	hello_message(&raw, &message);
	hello_records(&message, 1, &flight);
	for (calls = 0; judge_len(len) == -EAGAIN; calls++) {
		len = gate_judge_needs(&judgement, flight.at, len);
		assert_in_range(len, 1, flight.len);
	}
	assert_int_equal(len, flight.len);
	assert_int_equal(judgement.reason, GATE_released);
	assert_in_range(calls, 2, 100);
}

static void test_not_a_hello(void **state)
{
	static const struct {
		struct slice bytes;
		enum gate_reason reason;
		enum clienthello_fault fault;
	} rows[] = {
		{SLICE("GET / HTTP/1.1\r\n\r\n"), GATE_not_tls, CLIENTHELLO_plain_http},
		{SLICE("SSH-2.0-x\r\n"), GATE_not_tls, CLIENTHELLO_not_tls},
		{SLICE("\x15\3\1\0\2\2\x28"), GATE_not_tls, CLIENTHELLO_not_tls},
		{SLICE("\x16\3\1\0\0"), GATE_hello_malformed, CLIENTHELLO_empty_record},
		{SLICE("\x16\3\1\0\4\2\0\0\0"), GATE_hello_malformed, CLIENTHELLO_handshake_type},
	};
	size_t i;

	set_policy(&(struct gate_policy_spec){.refuse_by_alert = true});
	for (i = 0; i < array_len(rows); i++) {
		flight.len = rows[i].bytes.len;
		memcpy(flight.at, rows[i].bytes.ptr, flight.len);
		assert_int_equal(judge(), rows[i].reason);
		assert_string_equal(clienthello_fault_name(judgement.fault),
			clienthello_fault_name(rows[i].fault));
		assert_false(judgement.has_hello);
		assert_string_equal(judgement.ja4, "");
	}
}

static void test_names(void **state)
{
	struct gate_name names[] = {{SLICE("www.test"), 0}, {SLICE("*.wild.test"), 1}};
	struct gate_policy_spec spec = {.names = names, .n_names = 2};

	set_policy(&spec);
	assert_int_equal(judge_name("other.test"), GATE_released);
	spec.refuse_unknown_name = true;
	set_policy(&spec);
	assert_int_equal(judge_name("other.test"), GATE_name_unknown);
	assert_true(judgement.has_hello);
	assert_int_equal(strlen(judgement.ja4), JA4_BYTES - 1);
	assert_int_equal(judge_name("WWW.test."), GATE_released);
	assert_int_equal(judge_name("a.Wild.test"), GATE_released);
	assert_int_equal(judge_name("a.b.wild.test"), GATE_name_unknown);
	set_flight(&(struct hello_raw){.extensions = "000a,000d,002b,0033"});
	assert_int_equal(judge(), GATE_released);
	spec.refuse_missing_name = true;
	set_policy(&spec);
	assert_int_equal(judge(), GATE_name_missing);
}

/* The names of the certificates. */
static void test_names_of_certificates(void **state)
{
	struct cert_spec cert_spec = {.name = "a"};
	struct tls_server *server;
	struct certstore *store;
	struct cert *cert;
	struct pki pki;
	struct err err = {""};

	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "a", .sans = "DNS:www.test,DNS:*.wild.test"});
	cert_spec.cert_path = pki_path(&pki, "a.crt");
	cert_spec.key_path = pki_path(&pki, "a.key");
	assert_int_equal(cert_load(&cert_spec, &cert, &err), 0);
	assert_int_equal(certstore_new(&cert, 1, &store, &err), 0);
	assert_int_equal(
		tls_server_new(
			&(struct tls_server_spec){.name = "web", .certs = store, .n_workers = 1},
			&server, &err),
		0);
	assert_true(tls_server_knows_name(server, SLICE("WWW.test.")));
	assert_true(tls_server_knows_name(server, SLICE("x.wild.TEST")));
	assert_false(tls_server_knows_name(server, SLICE("wild.test")));
	assert_false(tls_server_knows_name(server, SLICE("x.y.wild.test")));
	assert_false(tls_server_knows_name(server, SLICE(".wild.test")));
	assert_false(tls_server_knows_name(server, SLICE("")));
	set_policy(&(struct gate_policy_spec){.tls = server, .refuse_unknown_name = true});
	tls_server_put(server); /* the policy has its own count */
	assert_int_equal(judge_name("www.test"), GATE_released);
	assert_int_equal(judge_name("any.wild.test"), GATE_released);
	assert_int_equal(judge_name("other.test"), GATE_name_unknown);
	certstore_put(store);
	cert_put(cert);
	pki_fini(&pki);
}

static void test_versions(void **state)
{
	set_policy(&(struct gate_policy_spec){.version_min = 0x0304, .version_max = 0x0304});
	set_flight(&(struct hello_raw){.versions = "0304,0303"});
	assert_int_equal(judge(), GATE_released);
	set_flight(&(struct hello_raw){.versions = "0303,0302"});
	assert_int_equal(judge(), GATE_version_refused);
	set_policy(&(struct gate_policy_spec){.version_min = 0x0303, .version_max = 0x0304});
	assert_int_equal(judge(), GATE_released);
	set_flight(&(struct hello_raw){.extensions = "0000,000a,000d"}); /* 1.2 by the old field */
	assert_int_equal(judge(), GATE_released);
	set_flight(&(struct hello_raw){.extensions = "0000,000a,000d", .legacy_version = 0x0302});
	assert_int_equal(judge(), GATE_version_refused);
	set_policy(&(struct gate_policy_spec){.name = "web"});
	assert_int_equal(judge(), GATE_released);
}

static void test_alpn(void **state)
{
	static const char *const ours[] = {"h2", "http/1.1"};

	set_policy(&(struct gate_policy_spec){.alpn = ours, .n_alpn = 2});
	set_flight(&(struct hello_raw){.alpn = SLICE("\4spdy\x08http/1.1")});
	assert_int_equal(judge(), GATE_released);
	set_flight(&(struct hello_raw){.alpn = SLICE("\4spdy\x08http/1.0")});
	assert_int_equal(judge(), GATE_alpn_refused);
	set_flight(&(struct hello_raw){.extensions = "0000,000a,000d,002b,0033"});
	assert_int_equal(judge(), GATE_released);
	set_policy(&(struct gate_policy_spec){.name = "web"});
	set_flight(&(struct hello_raw){.alpn = SLICE("\4spdy")});
	assert_int_equal(judge(), GATE_released);
}

static void test_ja4_lists(void **state)
{
	const char *own[1], *others[] = {"t10*"};
	char ja4[JA4_BYTES];

	set_policy(&(struct gate_policy_spec){.name = "web"});
	assert_int_equal(judge_name("www.test"), GATE_released);
	memcpy(ja4, judgement.ja4, sizeof(ja4));
	own[0] = ja4;
	set_policy(&(struct gate_policy_spec){.ja4_deny = own, .n_ja4_deny = 1});
	assert_int_equal(judge(), GATE_ja4_denied);
	set_policy(&(struct gate_policy_spec){.ja4_deny = others, .n_ja4_deny = 1});
	assert_int_equal(judge(), GATE_released);
	set_policy(&(struct gate_policy_spec){.ja4_allow = others, .n_ja4_allow = 1});
	assert_int_equal(judge(), GATE_ja4_not_allowed);
	set_policy(&(struct gate_policy_spec){.ja4_allow = own, .n_ja4_allow = 1});
	assert_int_equal(judge(), GATE_released);
}

static void test_proxy_header(void **state)
{
	static const char v1[] = "PROXY TCP6 2001:db8::9 2001:db8::1 4000 443\r\n",
			  mapped[] = "PROXY TCP6 ::ffff:198.51.100.1 ::1 4000 443\r\n",
			  unknown[] = "PROXY UNKNOWN\r\n", bad[] = "PROXY TCP5 1 2 3 4\r\n";
	char text[ADDR_TEXT_BYTES];

	set_policy(&(struct gate_policy_spec){.proxy_in = GATE_PROXY_ACCEPT});
	assert_int_equal(judge_name("www.test"), GATE_released);
	assert_int_equal(judgement.proxy_bytes, 0);
	assert_string_equal(addr_format(&judgement.client, text), "192.0.2.7:4000");
	set_prefix(v1, sizeof(v1) - 1);
	assert_int_equal(judge(), GATE_released);
	assert_int_equal(judgement.proxy_bytes, sizeof(v1) - 1);
	assert_string_equal(addr_format(&judgement.client, text), "[2001:db8::9]:4000");
	set_flight(&(struct hello_raw){.name = "www.test"});
	set_prefix(mapped, sizeof(mapped) - 1);
	assert_int_equal(judge(), GATE_released);
	assert_string_equal(addr_format(&judgement.client, text), "198.51.100.1:4000");
	set_flight(&(struct hello_raw){.name = "www.test"});
	set_prefix(unknown, sizeof(unknown) - 1);
	assert_int_equal(judge(), GATE_released);
	assert_string_equal(addr_format(&judgement.client, text), "192.0.2.7:4000");
	set_prefix(bad, sizeof(bad) - 1);
	assert_int_equal(judge(), GATE_proxy_header_bad);
	set_policy(&(struct gate_policy_spec){.proxy_in = GATE_PROXY_REQUIRE});
	assert_int_equal(judge_name("www.test"), GATE_proxy_header_missing);
	set_policy(&(struct gate_policy_spec){.name = "web"});
	set_prefix(v1, sizeof(v1) - 1);
	assert_int_equal(judge(), GATE_not_tls);
}

/* --- limits */
static uint32_t released_of(uint32_t n)
{
	uint32_t released = 0;

	while (n--)
		released += judge() == GATE_released;
	return released;
}

static void from(const char *text)
{
	assert_int_equal(addr_parse(text, &client), 0);
}

static void test_source_and_prefix_limits(void **state)
{
	set_policy(&(struct gate_policy_spec){.per_source = {.rate_per_s = 1, .burst = 2},
		.per_prefix = {.rate_per_s = 1, .burst = 5}});
	set_flight(&(struct hello_raw){.name = "www.test"});
	assert_int_equal(released_of(4), 2);
	assert_int_equal(judge(), GATE_source_handshake_limit);
	from("192.0.2.7:4999"); /* another port, the same source */
	assert_int_equal(judge(), GATE_source_handshake_limit);
	from("192.0.2.8:4000");
	assert_int_equal(released_of(4), 2);
	from("192.0.2.9:4000");
	assert_int_equal(released_of(1), 1);
	assert_int_equal(judge(), GATE_prefix_handshake_limit);
	from("192.0.3.9:4000");
	assert_int_equal(released_of(4), 2);
	/* /64 is a source, /56 a prefix */
	from("[2001:db8:0:1::1]:4000");
	assert_int_equal(released_of(4), 2);
	from("[2001:db8:0:1:ffff::2]:4000");
	assert_int_equal(judge(), GATE_source_handshake_limit);
	from("[2001:db8:0:2::1]:4000");
	assert_int_equal(released_of(4), 2);
	from("[2001:db8:0:ff::1]:4000");
	assert_int_equal(released_of(1), 1);
	from("[2001:db8:0:fe::1]:4000");
	assert_int_equal(judge(), GATE_prefix_handshake_limit);
	from("[2001:db8:0:100::1]:4000");
	assert_int_equal(judge(), GATE_released);
	from("[::ffff:192.0.3.9]:4000"); /* an IPv4 address all the same */
	assert_int_equal(judge(), GATE_source_handshake_limit);
}

/* Behind another balancer the limit is the client's, not the balancer's. */
static void test_limit_of_the_proxied_client(void **state)
{
	static const char a[] = "PROXY TCP4 198.51.100.1 192.0.2.1 1 2\r\n",
			  b[] = "PROXY TCP4 198.51.100.2 192.0.2.1 1 2\r\n";

	set_policy(&(struct gate_policy_spec){
		.per_source = {.rate_per_s = 1, .burst = 3}, .proxy_in = GATE_PROXY_REQUIRE});
	set_flight(&(struct hello_raw){.name = "www.test"});
	set_prefix(a, sizeof(a) - 1);
	assert_int_equal(released_of(5), 3);
	set_flight(&(struct hello_raw){.name = "www.test"});
	set_prefix(b, sizeof(b) - 1);
	assert_int_equal(released_of(5), 3);
}

/* By the listener's own names: neither case, nor a dot, nor inventing names gives more. */
static void test_name_limit(void **state)
{
	struct gate_name names[] = {{SLICE("www.test"), 0}, {SLICE("*.wild.test"), 1}};

	set_policy(&(struct gate_policy_spec){
		.names = names, .n_names = 2, .per_name = {.rate_per_s = 1, .burst = 3}});
	assert_int_equal(judge_name("www.test"), GATE_released);
	assert_int_equal(judge_name("WWW.test"), GATE_released);
	assert_int_equal(judge_name("www.TEST."), GATE_released);
	assert_int_equal(judge_name("www.test"), GATE_name_handshake_limit);
	assert_int_equal(judge_name("a.wild.test"), GATE_released);
	assert_int_equal(judge_name("b.wild.test"), GATE_released);
	assert_int_equal(judge_name("C.wild.test"), GATE_released);
	assert_int_equal(judge_name("d.wild.test"), GATE_name_handshake_limit);
	assert_int_equal(judge_name("u1.test"), GATE_released);
	assert_int_equal(judge_name("u2.test"), GATE_released);
	assert_int_equal(judge_name("wild.test"), GATE_released);
	assert_int_equal(judge_name("u3.test"), GATE_name_handshake_limit);
}

static void test_ja4_and_listener_limits(void **state)
{
	set_policy(&(struct gate_policy_spec){.per_ja4 = {.rate_per_s = 1, .burst = 2}});
	set_flight(&(struct hello_raw){.name = "www.test"});
	assert_int_equal(released_of(3), 2);
	assert_int_equal(judge(), GATE_ja4_handshake_limit);
	set_flight(&(struct hello_raw){.ciphers = "1302"});
	assert_int_equal(released_of(3), 2);
	set_policy(&(struct gate_policy_spec){.per_listener = {.rate_per_s = 1, .burst = 2}});
	assert_int_equal(released_of(3), 2);
	assert_int_equal(judge(), GATE_listener_handshake_limit);
}

/* Who is refused, for whatever reason, does not spend what others have in common. */
static void test_refused_flights_charge_nothing(void **state)
{
	struct gate_policy_spec spec = {
		.refuse_unknown_name = true,
		.names = (struct gate_name[]){{SLICE("www.test"), 0}},
		.n_names = 1,
		.per_source = {.rate_per_s = 1, .burst = 1},
		.per_listener = {.rate_per_s = 1, .burst = 2},
	};
	uint32_t i;

	set_policy(&spec);
	for (i = 0; i < 10; i++)
		assert_int_equal(judge_name("other.test"), GATE_name_unknown);
	assert_int_equal(judge_name("www.test"), GATE_released);
	for (i = 0; i < 10; i++)
		assert_int_equal(judge(), GATE_source_handshake_limit);
	from("192.0.2.8:1");
	assert_int_equal(judge(), GATE_released);
	from("192.0.2.9:1");
	assert_int_equal(judge(), GATE_listener_handshake_limit);
}

static void test_dry_run(void **state)
{
	struct gate_worker worker;
	struct gate_node node = {.limits = limits};

	set_policy(&(struct gate_policy_spec){
		.per_source = {.rate_per_s = 1, .burst = 1}, .dry_run = true});
	set_flight(&(struct hello_raw){.name = "www.test"});
	assert_int_equal(gate_worker_init(&worker, &node), 0);
	assert_int_equal(judge(), GATE_released);
	assert_int_equal(judgement.would_be, GATE_released);
	gate_worker_note(&worker, policy, &judgement, &client, &client, false);
	assert_int_equal(judge(), GATE_released);
	assert_int_equal(judgement.would_be, GATE_source_handshake_limit);
	gate_worker_note(&worker, policy, &judgement, &client, &client, false);
	assert_int_equal(worker.counts.reasons[GATE_released], 2);
	assert_int_equal(worker.counts.reasons[GATE_dry_run], 1);
	assert_int_equal(worker.counts.reasons[GATE_source_handshake_limit], 0);
	assert_int_equal(worker.counts.would_refuse[GATE_source_handshake_limit], 1);
	gate_worker_fini(&worker);
	/* only limits are spared */
	set_policy(&(struct gate_policy_spec){.dry_run = true, .refuse_unknown_name = true});
	assert_int_equal(judge(), GATE_name_unknown);
}

static void test_alerts(void **state)
{
	uint8_t record[GATE_ALERT_BYTES];

	set_policy(
		&(struct gate_policy_spec){.refuse_by_alert = true, .refuse_unknown_name = true});
	assert_int_equal(judge_name("other.test"), GATE_name_unknown);
	assert_int_equal(gate_alert(policy, &judgement, record), GATE_ALERT_BYTES);
	assert_memory_equal(record, "\x15\3\3\0\2\2\x70", GATE_ALERT_BYTES);
	judgement.reason = GATE_version_refused;
	assert_int_equal(gate_alert(policy, &judgement, record), GATE_ALERT_BYTES);
	assert_int_equal(record[6], 70);
	judgement.reason = GATE_source_handshake_limit;
	assert_int_equal(gate_alert(policy, &judgement, record), 0);
	judgement.reason = GATE_not_tls;
	assert_int_equal(gate_alert(policy, &judgement, record), 0);
	set_policy(&(struct gate_policy_spec){.refuse_unknown_name = true});
	assert_int_equal(judge(), GATE_name_unknown);
	assert_int_equal(gate_alert(policy, &judgement, record), 0);
}

/* --- what is shown */
struct noting {
	struct gate_node node;
	struct gate_worker worker;
	union addr local;
};

static void noting_init(struct noting *noting)
{
	noting->node = (struct gate_node){.limits = limits};
	assert_int_equal(gate_worker_init(&noting->worker, &noting->node), 0);
	assert_int_equal(addr_parse("192.0.2.1:443", &noting->local), 0);
	gate_events_watch(noting->worker.events, true);
	set_policy(&(struct gate_policy_spec){.refuse_unknown_name = true});
	assert_int_equal(judge_name("Other.test"), GATE_name_unknown);
}

static void note(struct noting *noting, bool ungated)
{
	gate_worker_note(&noting->worker, policy, &judgement, &client, &noting->local, ungated);
}

static void expect_top(struct noting *noting, enum top_kind kind, const char *key,
	uint64_t released, uint64_t refused)
{
	static struct top_row rows[TOP_ROWS];

	assert_int_equal(top_copy(noting->worker.top[kind], rows), 1);
	assert_string_equal(rows[0].key, key);
	assert_int_equal(rows[0].released, released);
	assert_int_equal(rows[0].refused, refused);
}

static void test_note_refused(void **state)
{
	struct gate_event event;
	struct noting noting;

	noting_init(&noting);
	note(&noting, true);
	assert_int_equal(noting.worker.counts.reasons[GATE_name_unknown], 1);
	assert_true(gate_events_take(noting.worker.events, &event));
	assert_int_equal(event.reason, GATE_name_unknown);
	assert_int_equal(event.listener_id, 3);
	assert_true(event.ungated);
	assert_true(addr_eq(&event.client, &client));
	assert_true(addr_eq(&event.local, &noting.local));
	assert_string_equal(event.server_name, "other.test");
	assert_string_equal(event.ja4, judgement.ja4);
	assert_true(event.at_unix_us > 1600000000000000);
	expect_top(&noting, TOP_SOURCES, "192.0.2.7", 0, 1);
	expect_top(&noting, TOP_NAMES, "other.test", 0, 1);
	expect_top(&noting, TOP_JA4, judgement.ja4, 0, 1);
	gate_worker_fini(&noting.worker);
}

static void test_note_released(void **state)
{
	struct gate_event event;
	struct noting noting;

	noting_init(&noting);
	judgement.reason = GATE_released;
	note(&noting, true);
	note(&noting, false);
	assert_int_equal(noting.worker.counts.reasons[GATE_ungated_accepted], 1);
	assert_int_equal(noting.worker.counts.reasons[GATE_released], 1);
	assert_false(gate_events_take(noting.worker.events, &event));
	expect_top(&noting, TOP_SOURCES, "192.0.2.7", 2, 0);
	gate_worker_fini(&noting.worker);
}

/* Refused before there was anything to judge: by the socket's address. */
static void test_note_without_a_hello(void **state)
{
	struct gate_event event;
	struct noting noting;

	noting_init(&noting);
	judgement = (struct gate_judgement){.reason = GATE_flight_timeout};
	note(&noting, false);
	assert_int_equal(noting.worker.counts.reasons[GATE_flight_timeout], 1);
	assert_true(gate_events_take(noting.worker.events, &event));
	assert_true(addr_eq(&event.client, &client));
	assert_string_equal(event.server_name, "");
	assert_string_equal(event.ja4, "");
	expect_top(&noting, TOP_SOURCES, "192.0.2.7", 0, 1);
	gate_worker_fini(&noting.worker);
}

static void test_top_is_about_now(void **state)
{
	struct noting noting;

	noting_init(&noting);
	note(&noting, false);
	note(&noting, false);
	gate_worker_turn(&noting.worker, start_us);
	gate_worker_turn(&noting.worker, start_us + 59000000);
	expect_top(&noting, TOP_NAMES, "other.test", 0, 2);
	gate_worker_turn(&noting.worker, start_us + 60000000);
	gate_worker_turn(&noting.worker, start_us + 61000000);
	expect_top(&noting, TOP_NAMES, "other.test", 0, 1);
	gate_worker_fini(&noting.worker);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_in_pieces),
		CASE(test_needs_of_tiny_records),
		CASE(test_not_a_hello),
		CASE(test_names),
		CASE(test_names_of_certificates),
		CASE(test_versions),
		CASE(test_alpn),
		CASE(test_ja4_lists),
		CASE(test_proxy_header),
		CASE(test_source_and_prefix_limits),
		CASE(test_limit_of_the_proxied_client),
		CASE(test_name_limit),
		CASE(test_ja4_and_listener_limits),
		CASE(test_refused_flights_charge_nothing),
		CASE(test_dry_run),
		CASE(test_alerts),
		CASE(test_note_refused),
		CASE(test_note_released),
		CASE(test_note_without_a_hello),
		CASE(test_top_is_about_now),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
