/* The first bytes of a connection, judged in the socket: whole, in pieces, behind a PROXY header,
 * refused, released by the gate before; routes by server name. */
#include "rig.h"

#include "../tls/hello_bytes.h"
#include "../tls/pki.h"

#include "gate/gate.h"
#include "gate/judge.h"
#include "tls/server.h"

#define V1 "PROXY TCP4 198.51.100.9 192.0.2.1 4000 8443\r\n"

static struct rig rig;
static struct gate_node node;
static struct gate_worker gate;
static struct gate_policy_spec policy_spec;
static struct gate_name names[] = {
	{SLICE("www.test"), 0}, {SLICE("*.b.test"), 1}, {SLICE("b.test"), 1}};
static struct target_group *route_groups[2]; /* NULL: no routes */
static struct hello_bytes flight;

static int setup(void **state)
{
	rig_init(&rig, 2);
	rig.group_spec.n_members = 1;
	rig.listener_spec.protocol = LISTEN_TCP;
	node = (struct gate_node){.limits = gate_limits_new(), .released = gate_released_new()};
	assert_int_equal(gate_worker_init(&gate, &node), 0);
	rig.worker.gate = &gate;
	policy_spec = (struct gate_policy_spec){.name = "listener", .names = names, .n_names = 3};
	memset(route_groups, 0, sizeof(route_groups));
	return 0;
}

static int teardown(void **state)
{
	rig_fini(&rig);
	gate_worker_fini(&gate);
	gate_limits_free(node.limits);
	gate_released_free(node.released);
	return 0;
}

/* The listener as the specs say; everything they point at is its own from then on. */
static void serve(void)
{
	struct err err = {""};
	uint32_t i;

	assert_int_equal(gate_policy_new(&policy_spec, 1, &rig.listener_spec.policy, &err), 0);
	if (route_groups[0]) {
		rig.listener_spec.route_groups = route_groups;
		rig.listener_spec.n_route_groups = 2;
	}
	rig_serve(&rig);
	shared_put(&rig.listener_spec.policy->shared);
	rig.listener_spec.policy = NULL;
	for (i = 0; i < rig.listener_spec.n_route_groups; i++)
		target_group_put(route_groups[i]);
	rig.listener_spec.n_route_groups = 0;
	rig.listener_spec.route_groups = NULL;
}

/* Route 0 goes where everything goes, route 1 to the second target. */
static void with_routes(void)
{
	struct group_spec spec = rig.group_spec;

	route_groups[0] = target_group_new(&spec);
	spec.members = &rig.members[1];
	route_groups[1] = target_group_new(&spec);
}

static void set_flight(const char *name, size_t padding)
{
	hello_stream(&(struct hello_raw){.name = name,
			     .extensions = name ? "0000,000a,000d,002b,0033,0015"
						: "000a,000d,002b,0033,0015",
			     .padding_len = padding},
		&flight);
}

static void set_prefix(const char *text)
{
	size_t n = strlen(text);

	memmove(flight.at + n, flight.at, flight.len);
	memcpy(flight.at, text, n);
	flight.len += n;
}

/* A client whose first bytes are there when it is accepted. */
static struct peer client_with(const void *bytes, size_t len)
{
	struct pollfd front = {.fd = rig.front_fd, .events = POLLIN}, ready = {.events = POLLIN};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
	struct peer peer = peer_of(fd);
	union addr client;

	assert_int_equal(connect(fd, &rig.front_addr.any, addr_len(&rig.front_addr)), 0);
	peer_send_bytes(&peer, bytes, len);
	assert_int_equal(poll(&front, 1, RIG_DEADLINE_MS), 1);
	accepted = socket_accept(rig.front_fd, &client);
	assert_true(accepted >= 0);
	ready.fd = accepted;
	assert_int_equal(poll(&ready, 1, RIG_DEADLINE_MS), 1);
	conn_new(&rig.worker, rig.listener, accepted, &client, &rig.front_addr);
	return peer;
}

static struct peer client_with_flight(void)
{
	return client_with(flight.at, flight.len);
}

/* The target got exactly what was sent, from `skip` on. */
static void expect_flight(struct peer *target, size_t skip)
{
	WAIT(&rig, peer_read(target)->len >= flight.len - skip);
	assert_int_equal(target->len, flight.len - skip);
	assert_memory_equal(target->data, flight.at + skip, target->len);
}

static void expect_served(struct peer *client, uint32_t target_index, size_t skip)
{
	struct peer target = rig_accept(&rig, target_index);

	expect_flight(&target, skip);
	peer_send(&target, "hello");
	WAIT(&rig, peer_has(client, "hello"));
	peer_fini(client);
	WAIT(&rig, peer_over(&target));
	peer_fini(&target);
	WAIT(&rig, list_is_empty(&rig.worker.open));
}

static void expect_refused(struct peer *client, enum gate_reason reason)
{
	uint64_t before = gate.counts.reasons[reason];

	WAIT(&rig, peer_over(client));
	assert_true(client->reset);
	assert_int_equal(client->len, 0);
	assert_true(gate.counts.reasons[reason] == 1 || before > 1);
	assert_int_equal(rig_try_accept(&rig, 0), -1);
	peer_fini(client);
}

static void test_whole_at_accept(void **state)
{
	struct peer client;

	serve();
	set_flight("www.test", 1200);
	client = client_with_flight();
	/* one look and no turn of the loop */
	assert_int_equal(rig_conn(&rig)->state, CONN_TUNNEL);
	assert_int_equal(strlen(rig_conn(&rig)->ja4), JA4_BYTES - 1);
	assert_memory_equal(rig_conn(&rig)->ja4, "t13d", 4);
	assert_int_equal(gate.counts.reasons[GATE_ungated], 1);
	assert_int_equal(gate.counts.reasons[GATE_ungated_accepted], 1);
	expect_served(&client, 0, 0);
	assert_int_equal(rig_reason(&rig, CLOSE_done), 1);
}

/* Byte by byte, each with turns of its own; and what follows the hello is not lost. */
static void test_byte_by_byte(void **state)
{
	struct peer client;
	size_t i;

	serve();
	set_flight("www.test", 300);
	client = rig_client(&rig);
	for (i = 0; i < flight.len; i++) {
		assert_int_equal(rig_conn(&rig)->state, CONN_PEEK);
		peer_send_bytes(&client, flight.at + i, 1);
		rig_turn(&rig);
	}
	WAIT(&rig, rig_conn(&rig)->state == CONN_TUNNEL);
	hello_put(&flight, "early", 5);
	peer_send(&client, "early");
	expect_served(&client, 0, 0);
	assert_int_equal(gate.counts.reasons[GATE_ungated], 1);
	assert_int_equal(gate.counts.reasons[GATE_ungated_accepted], 1);
}

/* Longer than the first look; in pieces of odd sizes; in records of one byte. */
static void test_long_ones(void **state)
{
	static const size_t steps[] = {100000, 4096, 4095, 1000};
	static struct hello_bytes message;
	struct hello_raw raw = {.extensions = "0000,000a,000d,002b,0033,0015", .padding_len = 6000};
	struct peer client;
	size_t i, at, n, tiny;

	serve();
	for (tiny = 0; tiny < 2; tiny++) {
		hello_message(&raw, &message);
		hello_records(&message, tiny ? 1 : 16384, &flight);
		for (i = 0; i < array_len(steps); i++) {
			client = rig_client(&rig);
			for (at = 0; at < flight.len; at += n) {
				assert_int_equal(rig_conn(&rig)->state, CONN_PEEK);
				n = flight.len - at < steps[i] ? flight.len - at : steps[i];
				peer_send_bytes(&client, flight.at + at, n);
				rig_turn(&rig);
			}
			expect_served(&client, 0, 0);
		}
		client = client_with_flight();
		expect_served(&client, 0, 0);
	}
	assert_int_equal(gate.counts.reasons[GATE_ungated_accepted], 10);
}

static void test_refused(void **state)
{
	struct peer client;

	policy_spec.refuse_unknown_name = policy_spec.refuse_missing_name = true;
	serve();
	set_flight("other.test", 0);
	client = client_with_flight();
	expect_refused(&client, GATE_name_unknown);
	set_flight(NULL, 0);
	client = client_with_flight();
	expect_refused(&client, GATE_name_missing);
	client = client_with("GET / HTTP/1.1\r\n\r\n", 18);
	expect_refused(&client, GATE_not_tls);
	client = rig_client(&rig);
	rig_turn(&rig);
	peer_send_bytes(&client, "\x16\3\1\0\0", 5);
	expect_refused(&client, GATE_hello_malformed);
	assert_int_equal(rig_reason(&rig, CLOSE_gate_refused), 4);
	assert_int_equal(gate.counts.reasons[GATE_ungated], 4);
	assert_int_equal(gate.counts.reasons[GATE_ungated_accepted], 0);
	assert_int_equal(rig.stats->workers[0].closed, 4);
}

/* The alert arrives and the connection ends in order, though the hello was not read. */
static void test_refused_by_alert(void **state)
{
	struct peer client;

	policy_spec.refuse_unknown_name = policy_spec.refuse_by_alert = true;
	serve();
	set_flight("other.test", 9000);
	client = client_with_flight();
	WAIT(&rig, peer_over(&client));
	assert_false(client.reset);
	assert_int_equal(client.len, 7);
	assert_memory_equal(client.data, "\x15\3\3\0\2\2\x70", 7);
	assert_int_equal(rig_reason(&rig, CLOSE_gate_refused), 1);
	peer_fini(&client);
	client = client_with("GET / HTTP/1.1\r\n\r\n", 18); /* no alert for what is not TLS */
	expect_refused(&client, GATE_not_tls);
}

static void test_limit(void **state)
{
	struct peer client;
	int i;

	policy_spec.per_source = (struct gate_limit){.rate_per_s = 1, .burst = 2};
	serve();
	set_flight("www.test", 0);
	for (i = 0; i < 2; i++) {
		client = client_with_flight();
		expect_served(&client, 0, 0);
	}
	client = client_with_flight();
	expect_refused(&client, GATE_source_handshake_limit);
	assert_int_equal(rig_reason(&rig, CLOSE_gate_refused), 1);
}

/* Behind the header is the hello; addresses and limits are those of the header. */
static void test_proxy_header(void **state)
{
	char text[ADDR_TEXT_BYTES];
	struct peer client;
	int i;

	rig.listener_spec.proxy_in = PROXY_IN_REQUIRE;
	policy_spec.proxy_in = GATE_PROXY_REQUIRE;
	policy_spec.per_source = (struct gate_limit){.rate_per_s = 1, .burst = 1};
	serve();
	for (i = 0; i < 2; i++) {
		set_flight("www.test", 0);
		set_prefix(i ? "PROXY TCP4 198.51.100.10 192.0.2.1 4000 8443\r\n" : V1);
		client = client_with_flight();
		assert_string_equal(addr_format(&rig_conn(&rig)->client, text),
			i ? "198.51.100.10:4000" : "198.51.100.9:4000");
		assert_string_equal(addr_format(&rig_conn(&rig)->local, text), "192.0.2.1:8443");
		expect_served(&client, 0, strlen(V1) + (size_t)i);
	}
	client = client_with_flight();
	expect_refused(&client, GATE_source_handshake_limit);
	set_flight("www.test", 0);
	client = client_with_flight();
	expect_refused(&client, GATE_proxy_header_missing);
	assert_int_equal(rig_reason(&rig, CLOSE_proxy_header_missing), 1);
	client = client_with("PROXY TCP5 \r\n", 13);
	expect_refused(&client, GATE_proxy_header_bad);
	assert_int_equal(rig_reason(&rig, CLOSE_proxy_header_bad), 1);
	assert_int_equal(rig_reason(&rig, CLOSE_gate_refused), 1);
}

static void test_proxy_header_byte_by_byte(void **state)
{
	struct peer client;
	size_t i;

	rig.listener_spec.proxy_in = PROXY_IN_ACCEPT;
	policy_spec.proxy_in = GATE_PROXY_ACCEPT;
	serve();
	set_flight("www.test", 0);
	set_prefix(V1);
	client = rig_client(&rig);
	for (i = 0; i < flight.len; i++) {
		peer_send_bytes(&client, flight.at + i, 1);
		rig_turn(&rig);
	}
	expect_served(&client, 0, strlen(V1));
	set_flight("www.test", 0); /* none is fine, too */
	client = client_with_flight();
	expect_served(&client, 0, 0);
}

/* --- released by the gate a moment ago */
static struct peer client_released_by(uint32_t listener_id)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
	struct peer peer = peer_of(fd);
	union addr client;

	assert_int_equal(connect(fd, &rig.front_addr.any, addr_len(&rig.front_addr)), 0);
	assert_int_equal(socket_local_addr(fd, &client), 0);
	gate_released_put(node.released, &client, listener_id, loop_now_us(rig.worker.io.loop));
	peer_send_bytes(&peer, flight.at, flight.len);
	WAIT(&rig, (accepted = socket_accept(rig.front_fd, &client)) >= 0);
	assert_int_equal(
		poll(&(struct pollfd){.fd = accepted, .events = POLLIN}, 1, RIG_DEADLINE_MS), 1);
	conn_new(&rig.worker, rig.listener, accepted, &client, &rig.front_addr);
	return peer;
}

static struct peer client_released(void)
{
	return client_released_by(policy_spec.listener_id);
}

/* The same client, from the same port, was let in elsewhere: that says nothing here. */
static void test_released_elsewhere(void **state)
{
	struct peer client;

	policy_spec.refuse_unknown_name = true;
	policy_spec.listener_id = 7;
	serve();
	set_flight("stranger.test", 0);
	client = client_released_by(8);
	expect_refused(&client, GATE_name_unknown);
}

/* What the gate let in was not what this socket got: the bytes count, not the mark. */
static void test_released_for_other_bytes(void **state)
{
	struct peer client;

	policy_spec.refuse_unknown_name = true;
	serve();
	set_flight("stranger.test", 0);
	client = client_released();
	expect_refused(&client, GATE_name_unknown);
}

static void test_released(void **state)
{
	struct peer client;

	policy_spec.per_listener = (struct gate_limit){.rate_per_s = 1, .burst = 1};
	serve();
	set_flight("www.test", 0);
	client = client_released();
	assert_int_equal(rig_conn(&rig)->state, CONN_TUNNEL);
	assert_memory_equal(rig_conn(&rig)->ja4, "t1", 2); /* of its own bytes */
	expect_served(&client, 0, 0);
	assert_int_equal(gate.counts.reasons[GATE_ungated], 0);
	assert_int_equal(gate.counts.reasons[GATE_ungated_accepted], 0);
	/* no token was taken: that was the gate's to do */
	client = client_with_flight();
	expect_served(&client, 0, 0);
	client = client_with_flight();
	expect_refused(&client, GATE_listener_handshake_limit);
}

static void test_released_with_header_and_route(void **state)
{
	char text[ADDR_TEXT_BYTES];
	struct peer client;

	rig.listener_spec.proxy_in = PROXY_IN_REQUIRE;
	policy_spec.proxy_in = GATE_PROXY_REQUIRE;
	with_routes();
	serve();
	set_flight("x.B.test", 5000);
	set_prefix(V1);
	client = client_released();
	assert_string_equal(addr_format(&rig_conn(&rig)->client, text), "198.51.100.9:4000");
	expect_served(&client, 1, strlen(V1));
	assert_int_equal(gate.counts.reasons[GATE_ungated], 0);
}

static void test_routes(void **state)
{
	static const struct {
		const char *name;
		uint32_t target;
	} rows[] = {{"www.test", 0}, {"B.test", 1}, {"a.b.test", 1}, {"other.test", 0}, {NULL, 0}};
	struct peer client;
	size_t i;

	with_routes();
	serve();
	for (i = 0; i < array_len(rows); i++) {
		set_flight(rows[i].name, 0);
		client = client_with_flight();
		expect_served(&client, rows[i].target, 0);
	}
}

/* --- ends and waits */
static void test_half_closed(void **state)
{
	struct peer client, target;

	serve();
	set_flight("www.test", 0);
	client = rig_client(&rig);
	peer_send_bytes(&client, flight.at, flight.len / 2);
	rig_turn(&rig);
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 1);
	peer_fini(&client);
	client = rig_client(&rig); /* both at once */
	peer_send_bytes(&client, flight.at, flight.len / 2);
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 2);
	peer_fini(&client);
	client = rig_client(&rig); /* nothing at all */
	shutdown(client.fd, SHUT_WR);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_client_gone), 3);
	peer_fini(&client);
	/* a whole hello and then the end: it is served */
	client = rig_client(&rig);
	peer_send_bytes(&client, flight.at, flight.len);
	shutdown(client.fd, SHUT_WR);
	target = rig_accept(&rig, 0);
	WAIT(&rig, peer_over(&target));
	expect_flight(&target, 0);
	peer_send(&target, "answer");
	WAIT(&rig, peer_has(&client, "answer"));
	peer_fini(&client);
	peer_fini(&target);
}

static void test_reset_while_peeking(void **state)
{
	struct peer client;

	serve();
	set_flight("www.test", 0);
	client = rig_client(&rig);
	peer_send_bytes(&client, flight.at, 100);
	rig_turn(&rig);
	peer_abort(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	assert_int_equal(rig_reason(&rig, CLOSE_client_reset), 1);
	peer_fini(&client);
}

/* One time-out from accept on, whether bytes come or not. */
static void test_timeout(void **state)
{
	struct peer client;
	uint64_t began_ms;

	rig.listener_spec.handshake_ms = 60;
	serve();
	set_flight("www.test", 0);
	began_ms = loop_now_ms(rig.worker.io.loop); /* the clock that the time-out goes by */
	client = rig_client(&rig);
	WAIT(&rig, peer_over(&client));
	assert_in_range(clock_mono_ms() - began_ms, 55, 2000);
	assert_int_equal(rig_reason(&rig, CLOSE_handshake_timeout), 1);
	peer_fini(&client);
	client = rig_client(&rig);
	peer_send_bytes(&client, flight.at, 50);
	WAIT(&rig, peer_over(&client));
	assert_int_equal(rig_reason(&rig, CLOSE_handshake_timeout), 2);
	peer_fini(&client);
}

static void test_drain_and_stop(void **state)
{
	struct peer client, other;

	serve();
	set_flight("www.test", 0);
	client = rig_client(&rig);
	other = rig_client(&rig);
	peer_send_bytes(&client, flight.at, 10);
	peer_send_bytes(&other, flight.at, 10);
	rig_turn(&rig);
	conn_drain_all(&rig.worker); /* who has come is served */
	peer_send_bytes(&client, flight.at + 10, flight.len - 10);
	WAIT(&rig, rig_conn(&rig)->state == CONN_TUNNEL);
	conn_close_all(&rig.worker, CLOSE_shutdown);
	WAIT(&rig, peer_over(&client) && peer_over(&other));
	assert_int_equal(rig_reason(&rig, CLOSE_shutdown), 2);
	peer_fini(&client);
	peer_fini(&other);
}

/* A reload while bytes are waited for: judged by the policy it came under, which lives on. */
static void test_reload_while_peeking(void **state)
{
	struct peer client;
	struct listener *old;
	struct target_group *old_group;

	serve();
	set_flight("other.test", 0);
	client = rig_client(&rig);
	peer_send_bytes(&client, flight.at, 10);
	rig_turn(&rig);
	old = rig.listener;
	old_group = rig.group;
	policy_spec.refuse_unknown_name = true;
	serve();
	shared_put(&old->shared);
	target_group_put(old_group);
	peer_send_bytes(&client, flight.at + 10, flight.len - 10);
	expect_served(&client, 0, 0);
	client = client_with_flight();
	expect_refused(&client, GATE_name_unknown);
}

/* Without a policy, or where the worker has no gate's parts, nobody is judged. */
static void test_nothing_is_judged(void **state)
{
	struct peer client;

	rig_serve(&rig);
	flight.len = 0;
	hello_put(&flight, "SSH-2.0-x\r\n", 11);
	client = client_with_flight();
	expect_served(&client, 0, 0);
	assert_int_equal(gate.counts.reasons[GATE_ungated], 0);
	rig.worker.gate = NULL;
	rig_fini(&rig);
	gate_worker_fini(&gate);
	gate_limits_free(node.limits);
	gate_released_free(node.released);
	setup(NULL);
	rig.worker.gate = NULL;
	serve();
	hello_stream(&(struct hello_raw){.extensions = "0000"}, &flight);
	client = client_with_flight();
	assert_string_equal(rig_conn(&rig)->ja4, "");
	expect_served(&client, 0, 0);
}

/* A listener that decrypts: what was judged is what the handshake reads. */
static void test_tls_listener(void **state)
{
	struct cert_spec cert_spec = {.name = "a"};
	struct err err = {""};
	struct peer client;
	struct certstore *store;
	struct cert *cert;
	struct pki pki;

	pki_init(&pki);
	pki_issue(&pki, &(struct pki_request){.file = "a", .sans = "DNS:www.test"});
	cert_spec.cert_path = pki_path(&pki, "a.crt");
	cert_spec.key_path = pki_path(&pki, "a.key");
	assert_int_equal(cert_load(&cert_spec, &cert, &err), 0);
	assert_int_equal(certstore_new(&cert, 1, &store, &err), 0);
	assert_int_equal(tls_server_new(
				 &(struct tls_server_spec){
					 .name = "listener", .certs = store, .n_workers = 1},
				 &rig.listener_spec.tls, &err),
		0);
	rig.listener_spec.protocol = LISTEN_TLS;
	policy_spec = (struct gate_policy_spec){
		.name = "listener", .tls = rig.listener_spec.tls, .refuse_unknown_name = true};
	serve();
	tls_server_put(rig.listener_spec.tls);
	rig.listener_spec.tls = NULL;
	hello_stream(&(struct hello_raw){.extensions = "0000,000a,000d,002b,0033"}, &flight);
	client = client_with_flight();
	WAIT(&rig, peer_read(&client)->len > 500);
	assert_memory_equal(client.data, "\x16\3\3", 3); /* a ServerHello */
	assert_int_equal(rig_conn(&rig)->state, CONN_HANDSHAKE);
	peer_fini(&client);
	WAIT(&rig, list_is_empty(&rig.worker.open));
	hello_stream(&(struct hello_raw){.name = "other.test", .extensions = "0000,000a,000d,002b"},
		&flight);
	client = client_with_flight();
	expect_refused(&client, GATE_name_unknown);
	certstore_put(store);
	cert_put(cert);
	pki_fini(&pki);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_whole_at_accept),
		CASE(test_byte_by_byte),
		CASE(test_long_ones),
		CASE(test_refused),
		CASE(test_refused_by_alert),
		CASE(test_limit),
		CASE(test_proxy_header),
		CASE(test_proxy_header_byte_by_byte),
		CASE(test_released),
		CASE(test_released_elsewhere),
		CASE(test_released_for_other_bytes),
		CASE(test_released_with_header_and_route),
		CASE(test_routes),
		CASE(test_half_closed),
		CASE(test_reset_while_peeking),
		CASE(test_timeout),
		CASE(test_drain_and_stop),
		CASE(test_reload_while_peeking),
		CASE(test_nothing_is_judged),
		CASE(test_tls_listener),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
