/* The listeners as the program looks them up: as many as there may be, exchanged whole; several
 * addresses of one listener share its limits and counters. */
#include "harness.h"

#include "dataplane/dp_gate.h"

enum { ONE_PORT = SLUICE_MAX_LISTENERS / 2 };

static char text[SLUICE_MAX_LISTENERS][INET6_ADDRSTRLEN];
static struct dp_listener all[SLUICE_MAX_LISTENERS];

/* Half of them on one port, IPv4 and IPv6 in turn; the others on one address with a port each. */
static void listener_of(uint32_t id)
{
	uint16_t port = PKT_PORT;

	if (id >= ONE_PORT) {
		snprintf(text[id], sizeof(text[id]), "192.0.2.1");
		port = (uint16_t)(10000 + id);
	} else if (id % 2) {
		snprintf(text[id], sizeof(text[id]), "2001:db8:1:%x::%x", id & 7, id);
	} else {
		snprintf(text[id], sizeof(text[id]), "10.0.%u.%u", id >> 8, id & 255);
	}
	all[id] = (struct dp_listener){
		.id = id,
		.socket_row = id,
		.name = "one",
		.protocol = IPPROTO_TCP,
		.address = harness_address(text[id], port),
	};
}

static struct packet_spec syn_to(uint32_t id)
{
	return (struct packet_spec){
		.v6 = strchr(text[id], ':') != NULL,
		.dst = text[id],
		.dport = id >= ONE_PORT ? (uint16_t)(10000 + id) : PKT_PORT,
		.flags = PKT_SYN,
	};
}

static uint64_t syns_of(uint32_t id)
{
	struct dp_listener_counts counts;
	struct err err = {};

	harness_ok(dp_listener_counts(harness.dp, id, &counts, &err), &err);
	return counts.syn;
}

static bool is_found(uint32_t id)
{
	struct packet_spec spec = syn_to(id);
	uint64_t before = syns_of(id);

	harness_alive(true);
	assert_int_equal(harness_run(&spec), XDP_PASS);
	return syns_of(id) != before;
}

static void check_found(uint32_t first, uint32_t behind)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		if (is_found(id) != (id >= first && id < behind))
			fail_msg("%s, listener %u: wrong with %u to %u served", text[id], id, first,
				behind - 1);
}

static void test_every_listener_is_found(void **state)
{
	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++)
		listener_of(id);
	harness_listeners(all, SLUICE_MAX_LISTENERS);
	check_found(0, SLUICE_MAX_LISTENERS);
	harness_listeners(all + 100, SLUICE_MAX_LISTENERS - 300);
	check_found(100, SLUICE_MAX_LISTENERS - 200);
	harness_listeners(NULL, 0);
	check_found(0, 0);
}

static int passed_of(const struct packet_spec *spec, int count)
{
	struct frame frame = packet_build(spec);
	struct dp_counters counted;

	harness_alive(true);
	harness_count_from_here();
	harness_run_repeat(frame.data, frame.len, count);
	counted = harness_counted();
	return count - (int)harness_sum(&counted, COUNTER_DROP);
}

static const char *const addresses[] = {PKT_V4_LISTENER, "203.0.113.2", PKT_V6_LISTENER};

/* One listener on three addresses. */
static void listen_on_all(struct dp_limit source, struct dp_limit packets, struct dp_limit syns)
{
	struct dp_listener listeners[array_len(addresses)];

	for (uint32_t i = 0; i < array_len(addresses); i++)
		listeners[i] = (struct dp_listener){
			.id = 7,
			.socket_row = 20 + i,
			.name = "web",
			.protocol = IPPROTO_TCP,
			.address = harness_address(addresses[i], PKT_PORT),
			.limits = {[LIMIT_SOURCE_CONNECTIONS] = source,
				[LIMIT_PACKETS] = packets,
				[LIMIT_CONNECTIONS] = syns},
		};
	harness_listeners(listeners, array_len(addresses));
}

static const struct packet_spec to_first = {.flags = PKT_SYN};
static const struct packet_spec to_second = {.flags = PKT_SYN, .dst = "203.0.113.2"};
static const struct packet_spec to_third = {.flags = PKT_SYN, .v6 = true};

static void test_addresses_share_budget(void **state)
{
	const struct dp_limit limit = {.rate_per_s = 1, .burst = 30};
	uint64_t before = syns_of(7);

	listen_on_all(NO_LIMIT, NO_LIMIT, limit);
	assert_int_equal(passed_of(&to_first, 10), 10);
	assert_int_equal(passed_of(&to_second, 15), 15);
	assert_int_equal(passed_of(&to_third, 50), 5);
	assert_int_equal(passed_of(&to_first, 50), 0);
	assert_int_equal(syns_of(7) - before, 30);
	listen_on_all(NO_LIMIT, limit, NO_LIMIT);
	assert_int_equal(passed_of(&to_third, 29), 29);
	assert_int_equal(passed_of(&to_second, 50), 1);
}

static void test_addresses_share_source_limit(void **state)
{
	listen_on_all((struct dp_limit){.rate_per_s = 1, .burst = 8}, NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&to_first, 5), 5);
	assert_int_equal(passed_of(&to_second, 50), 3);
	assert_int_equal(passed_of(&to_third, 50), 8); /* another source */
}

static void test_one_id_has_one_limit(void **state)
{
	struct dp_listener listeners[2] = {
		{.id = 7, .socket_row = 1, .name = "web", .protocol = IPPROTO_TCP},
		{.id = 7, .socket_row = 2, .name = "mail", .protocol = IPPROTO_TCP},
	};
	struct err err = {};

	listeners[0].address = harness_address(addresses[0], PKT_PORT);
	listeners[1].address = harness_address(addresses[1], PKT_PORT);
	listeners[1].limits[LIMIT_CONNECTIONS].rate_per_s = 5;
	assert_int_equal(dp_listeners_set(harness.dp, listeners, 2, &err), -EINVAL);
	assert_non_null(strstr(err.text, "203.0.113.2"));
	listeners[1].id = 8;
	harness_listeners(listeners, 2);
}

/* The table in force. */
static const struct sluice_guard_table *table_now(void)
{
	static struct sluice_guard_table table;
	uint32_t slot = dp_settings(harness.dp)->guard_slot;

	assert_int_equal(bpf_map_lookup_elem(
				 bpf_map__fd(harness.dp->xdp->maps.listener_table), &slot, &table),
		0);
	return &table;
}

/* NULL: there is none. */
static const struct sluice_guard *guard_of(const char *host, uint16_t port, int protocol)
{
	const struct sluice_guard_table *table = table_now();
	struct sockaddr_storage address = harness_address(host, port);
	struct sluice_listener_key key = {.protocol = (uint8_t)protocol};
	__u64 words[3];
	uint32_t row;

	assert_int_equal(dp_address_split(&address, key.addr_be, &key.port_be), 0);
	memcpy(words, &key, sizeof(words));
	for (row = table->first[sluice_guard_cell(table->factors, words)]; row; row++) {
		const struct sluice_guard *guard = &table->guards[row - 1];

		if (memcmp(&guard->key, &key, sizeof(key)) == 0)
			return guard;
		if (guard->flags & LISTENER_LAST_OF_CELL)
			break;
	}
	return NULL;
}

static uint8_t flags_of_port(uint32_t row, uint16_t port)
{
	static struct sluice_listener_ports ports;

	assert_int_equal(bpf_map_lookup_elem(
				 bpf_map__fd(harness.dp->xdp->maps.listener_ports), &row, &ports),
		0);
	return ports.flags[port];
}

struct listener_case {
	const char *host;
	uint16_t port;
	int protocol;
	bool gated;
};

static void listen_cases(const struct listener_case *cases, uint32_t count)
{
	struct dp_listener listeners[8];

	for (uint32_t i = 0; i < count; i++)
		listeners[i] = (struct dp_listener){
			.id = 30 + i,
			.socket_row = 30 + i,
			.name = cases[i].host,
			.protocol = cases[i].protocol,
			.address = harness_address(cases[i].host, cases[i].port),
			.gated = cases[i].gated,
		};
	harness_listeners(listeners, count);
}

static uint32_t fragment_guards(void)
{
	const struct sluice_guard_table *table = table_now();
	uint32_t count = 0;

	for (uint32_t i = 0; i < SLUICE_MAX_LISTENERS; i++)
		count += table->guards[i].key.protocol && !table->guards[i].key.port_be;
	return count;
}

/* One row per address that has a gated listener, whatever else there is on it. */
static void test_fragments_have_a_guard(void **state)
{
	static const struct listener_case some[] = {
		{PKT_V4_LISTENER, 80, IPPROTO_TCP, false},
		{PKT_V4_LISTENER, 443, IPPROTO_TCP, true},
		{PKT_V4_LISTENER, 8443, IPPROTO_TCP, true},
		{PKT_V4_LISTENER, 443, IPPROTO_UDP, true},
		{"203.0.113.2", 443, IPPROTO_TCP, false},
		{PKT_V6_LISTENER, 443, IPPROTO_TCP, true},
		{"::", 444, IPPROTO_TCP, true},
	};

	listen_cases(some, array_len(some));
	assert_int_equal(fragment_guards(), 3);
	assert_non_null(guard_of(PKT_V4_LISTENER, 0, IPPROTO_TCP));
	assert_true(guard_of(PKT_V4_LISTENER, 0, IPPROTO_TCP)->flags & LISTENER_GATED);
	assert_int_equal(guard_of(PKT_V4_LISTENER, 0, IPPROTO_TCP)->id, 31);
	assert_non_null(guard_of(PKT_V6_LISTENER, 0, IPPROTO_TCP));
	assert_non_null(guard_of("::", 0, IPPROTO_TCP));
	assert_null(guard_of("203.0.113.2", 0, IPPROTO_TCP));
	assert_int_equal(
		flags_of_port(LISTENER_PORTS_TCP, 0), LISTENER_PORT_EXACT | LISTENER_PORT_ANY_V6);
	assert_int_equal(flags_of_port(LISTENER_PORTS_UDP, 0), 0);
	listen_cases(some, 1);
	assert_int_equal(flags_of_port(LISTENER_PORTS_TCP, 0), 0);
	assert_null(guard_of(PKT_V4_LISTENER, 0, IPPROTO_TCP));
}

static void test_flags_and_limits_arrive(void **state)
{
	struct dp_listener listener = {
		.id = 9,
		.socket_row = 9,
		.name = "web",
		.protocol = IPPROTO_TCP,
		.address = harness_address(PKT_V4_LISTENER, 443),
		.syn_mode = SYN_UNDER_ATTACK,
		.gated = true,
		.dry_run = true,
	};
	const struct sluice_guard *guard;

	for (uint32_t i = 0; i < LISTENER_LIMITS; i++)
		listener.limits[i] = (struct dp_limit){.rate_per_s = 100 + i, .burst = 1000 + i};
	harness_listeners(&listener, 1);
	guard = guard_of(PKT_V4_LISTENER, 443, IPPROTO_TCP);
	assert_non_null(guard);
	assert_int_equal(
		guard->flags & ((1u << LISTENER_GATE_EPOCH_SHIFT) - 1) & ~LISTENER_LAST_OF_CELL,
		SYN_UNDER_ATTACK | LISTENER_GATED | LISTENER_DRY_RUN);
	for (uint32_t i = 0; i < LISTENER_LIMITS; i++) {
		assert_int_equal(guard->limits[i].rate_per_s, 100 + i);
		assert_int_equal(guard->limits[i].burst, 1000 + i);
		assert_true(guard->limits[i].ticks_per_token > 0);
	}
}

/* Each address of a gated listener takes a row more. */
static void test_too_many_gated(void **state)
{
	struct err err = {};

	for (uint32_t id = 0; id < SLUICE_MAX_LISTENERS; id++) {
		listener_of(id);
		all[id].gated = id < ONE_PORT;
	}
	assert_int_equal(dp_listeners_set(harness.dp, all, SLUICE_MAX_LISTENERS, &err), -E2BIG);
	assert_non_null(strstr(err.text, "512"));
	harness_listeners(all, ONE_PORT);
	assert_int_equal(fragment_guards(), ONE_PORT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_listener_is_found),
		cmocka_unit_test(test_addresses_share_budget),
		cmocka_unit_test(test_addresses_share_source_limit),
		cmocka_unit_test(test_one_id_has_one_limit),
		cmocka_unit_test(test_fragments_have_a_guard),
		cmocka_unit_test(test_flags_and_limits_arrive),
		cmocka_unit_test(test_too_many_gated),
	};

	return cmocka_run_group_tests_name("bpf/listeners", tests, harness_setup, harness_teardown);
}
