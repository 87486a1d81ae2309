/* The listeners as the program looks them up: as many as there may be, exchanged whole; several
 * addresses of one listener share its limits and counters. */
#include "harness.h"

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
			.per_source = source,
			.packets = packets,
			.connections = syns,
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
	listeners[1].connections.rate_per_s = 5;
	assert_int_equal(dp_listeners_set(harness.dp, listeners, 2, &err), -EINVAL);
	assert_non_null(strstr(err.text, "203.0.113.2"));
	listeners[1].id = 8;
	harness_listeners(listeners, 2);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_listener_is_found),
		cmocka_unit_test(test_addresses_share_budget),
		cmocka_unit_test(test_addresses_share_source_limit),
		cmocka_unit_test(test_one_id_has_one_limit),
	};

	return cmocka_run_group_tests_name("bpf/listeners", tests, harness_setup, harness_teardown);
}
