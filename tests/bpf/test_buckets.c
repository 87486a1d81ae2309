/* Token buckets: rate, burst, generations, whose tokens are spent, and what sharing rows does. */
#include "harness.h"

#include "bpf/bench_wrap.skel.h"

#include <time.h>

static const struct packet_spec syn = {.flags = PKT_SYN}, ack = {.flags = PKT_ACK};

/* Runs the frame and returns how many got through. The whole takes far less than a token's time
 * in the tests that expect an exact number. */
static uint64_t passed_of(const struct packet_spec *spec, int count)
{
	struct frame frame = packet_build(spec);
	struct dp_counters counted;

	harness_alive(true);
	harness_count_from_here();
	harness_run_repeat(frame.data, frame.len, count);
	counted = harness_counted();
	return (uint64_t)count - harness_sum(&counted, COUNTER_DROP);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void pace_until(uint64_t at_ns)
{
	struct timespec at = {
		.tv_sec = (time_t)(at_ns / 1000000000u), .tv_nsec = (long)(at_ns % 1000000000u)};

	while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR)
		;
}

static struct dp_limit limit(uint32_t rate, uint32_t burst)
{
	return (struct dp_limit){.rate_per_s = rate, .burst = burst};
}

static void test_burst_per_source(void **state)
{
	const struct packet_spec other = {.flags = PKT_SYN, .src = "198.51.100.8"};

	harness_listen(limit(1, 7), NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&syn, 100), 7);
	assert_int_equal(harness_counted().value[COUNTER_source_limit], 93);
	assert_int_equal(passed_of(&other, 100), 7);
	assert_int_equal(passed_of(&ack, 100), 0);
}

static void test_v6_sources_share_a_64(void **state)
{
	const struct packet_spec a = {.v6 = true, .flags = PKT_SYN, .src = "2001:db8:2:3::1"};
	const struct packet_spec b = {.v6 = true, .flags = PKT_SYN, .src = "2001:db8:2:3:4::2"};
	const struct packet_spec c = {.v6 = true, .flags = PKT_SYN, .src = "2001:db8:2:4::1"};

	harness_listen(limit(1, 11), NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&a, 50), 11);
	assert_int_equal(passed_of(&b, 50), 0);
	assert_int_equal(passed_of(&c, 50), 11);
}

static void test_changed_limit_counts_at_once(void **state)
{
	harness_listen(limit(1, 5), NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&syn, 50), 5);
	harness_listen(limit(1, 5), NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&syn, 50), 0);
	harness_listen(limit(1, 9), NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&syn, 50), 9);
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
	assert_int_equal(passed_of(&syn, 50), 50);
}

static void test_source_spares_syn(void **state)
{
	struct dp_listener listener = {
		.id = 1,
		.name = "web",
		.protocol = IPPROTO_TCP,
		.per_source = {.rate_per_s = 1, .burst = 3},
		.source_spares_syn = true,
	};

	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	harness_listeners(&listener, 1);
	assert_int_equal(passed_of(&syn, 50), 50);
	assert_int_equal(passed_of(&ack, 50), 3);
}

/* The budget of the listener: all sources together; packets and new connections apart. */
static void test_listener_limits(void **state)
{
	uint64_t passed = 0;

	harness_listen(NO_LIMIT, NO_LIMIT, limit(1, 20));
	for (int i = 0; i < 30; i++) {
		char src[32];
		struct packet_spec spec = {.flags = PKT_SYN, .src = src};

		snprintf(src, sizeof(src), "198.51.100.%d", i);
		passed += passed_of(&spec, 1);
	}
	assert_int_equal(passed, 20);
	assert_int_equal(harness_counted().value[COUNTER_listener_connection_limit], 1);
	assert_int_equal(passed_of(&ack, 30), 30);
	harness_listen(NO_LIMIT, limit(1, 12), NO_LIMIT);
	assert_int_equal(passed_of(&ack, 10), 10);
	assert_int_equal(passed_of(&syn, 10), 2);
	assert_int_equal(harness_counted().value[COUNTER_listener_packet_limit], 8);
}

/* A source that is refused spends nothing of the listener's budget. */
static void test_refused_source_spends_nothing(void **state)
{
	const struct packet_spec other = {.flags = PKT_SYN, .src = "198.51.100.9"};

	harness_listen(limit(1, 2), NO_LIMIT, limit(1, 6));
	assert_int_equal(passed_of(&syn, 100), 2);
	harness_listen(NO_LIMIT, NO_LIMIT, limit(1, 6));
	assert_int_equal(passed_of(&other, 100), 4);
}

struct connection {
	int listener, client, server;
	uint16_t client_port;
};

static struct connection connection_open(const char *host, uint16_t port)
{
	struct sockaddr_storage address = harness_address(host, port);
	socklen_t len = address.ss_family == AF_INET ? sizeof(struct sockaddr_in)
						     : sizeof(struct sockaddr_in6);
	struct connection connection = {
		.listener = socket(address.ss_family, SOCK_STREAM, 0),
		.client = socket(address.ss_family, SOCK_STREAM, 0),
	};

	assert_int_equal(bind(connection.listener, (struct sockaddr *)&address, len), 0);
	assert_int_equal(listen(connection.listener, 8), 0);
	assert_int_equal(connect(connection.client, (struct sockaddr *)&address, len), 0);
	connection.server = accept(connection.listener, NULL, NULL);
	assert_true(connection.server >= 0);
	assert_int_equal(getsockname(connection.client, (struct sockaddr *)&address, &len), 0);
	connection.client_port = ntohs(((struct sockaddr_in *)&address)->sin_port);
	return connection;
}

/* Packets of a connection the kernel knows pass uncounted, also when their source and the
 * listener have no token left; other ports of the same source do not. */
static void check_connection_is_free(const char *host, uint32_t id)
{
	struct dp_listener listener = {
		.id = id,
		.name = "busy",
		.protocol = IPPROTO_TCP,
		.per_source = {.rate_per_s = 1, .burst = 1},
		.packets = {.rate_per_s = 1, .burst = 1},
	};
	struct connection connection = connection_open(host, 4434);
	struct packet_spec own = {
		.v6 = strchr(host, ':') != NULL,
		.src = host,
		.dst = host,
		.dport = 4434,
		.sport = connection.client_port,
		.flags = PKT_ACK,
		.payload = 100,
	};
	struct packet_spec stranger = own;
	struct dp_counters counted;

	listener.address = harness_address(host, 4434);
	harness_listeners(&listener, 1);
	stranger.sport = 1;
	assert_int_equal(passed_of(&stranger, 10), 1);
	assert_int_equal(passed_of(&own, 1000), 1000);
	own.flags = PKT_SYN;
	assert_int_equal(passed_of(&own, 10), 10);
	counted = harness_counted();
	for (int row = 0; row < COUNTER_COUNT; row++)
		assert_int_equal(counted.value[row], 0);
	close(connection.server); /* first: it is this end that goes through TIME_WAIT */
	close(connection.client);
	own.flags = PKT_ACK;
	assert_int_equal(passed_of(&own, 10), 10);
	close(connection.listener);
}

static void test_connections_spend_nothing(void **state)
{
	check_connection_is_free("127.0.0.1", 4);
	check_connection_is_free("::1", 5);
}

/* Over half a second, ten packets for each that may pass. The burst is a second's worth, so that
 * no token is lost when this process is held up; what has gathered is spent in the end. */
static void rate_check(struct dp_limit source, struct dp_limit connections)
{
	struct frame frame = packet_build(&syn);
	uint64_t begin, elapsed, passed, expected;

	harness_listen(source, NO_LIMIT, connections);
	harness_alive(true);
	passed_of(&syn, 5000); /* the burst */
	begin = now_ns();
	harness_count_from_here();
	for (uint64_t step = 1; step <= 50; step++) {
		pace_until(begin + step * 10000000);
		harness_alive(true);
		harness_run_repeat(frame.data, frame.len, step < 50 ? 200 : 5000);
	}
	elapsed = now_ns() - begin;
	passed = harness_counted().value[COUNTER_syn];
	expected = 2000 * elapsed / 1000000000u;
	if (passed + 60 < expected || passed > expected + 60)
		fail_msg("%lu passed in %lu ms at 2000 per second", passed, elapsed / 1000000);
}

static void test_rate_per_source(void **state)
{
	rate_check(limit(2000, 2000), NO_LIMIT);
}

static void test_rate_of_listener(void **state)
{
	rate_check(NO_LIMIT, limit(2000, 2000));
}

/* Rows that lie in the future by more than any charge could put them (left over from before the
 * clock's wrap, or from a larger burst of the same generation) count as full, not as empty. */
static void test_rows_from_before_the_wrap(void **state)
{
	struct sluice_listener_bucket row = {};
	uint32_t id = 1;
	int fd = bpf_map__fd(harness.dp->xdp->maps.listener_buckets);

	harness_listen(NO_LIMIT, NO_LIMIT, limit(1, 3));
	assert_int_equal(passed_of(&syn, 10), 3);
	assert_int_equal(bpf_map_lookup_elem(fd, &id, &row), 0);
	row.connections.full_at_gen += 1ull << 62;
	assert_int_equal(bpf_map_update_elem(fd, &id, &row, BPF_ANY), 0);
	assert_int_equal(passed_of(&syn, 10), 3);
}

enum { SOURCES = 50000, ROUND_MS = 50, ROUNDS = 80, LIMIT_PER_S = 20 };

/* 50,000 sources, each at half its limit, in random order: less than 0.1 % are refused although
 * they share the rows of one table. */
static void test_collisions_are_harmless(void **state)
{
	struct bench_wrap_bpf *wrap = bench_wrap_bpf__open_and_load();
	struct frame frame = packet_build(&syn);
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data, .data_size_in = 64,
		.repeat = SOURCES * LIMIT_PER_S / 2 * ROUND_MS / 1000);
	int program = harness_program();
	struct dp_counters counted;
	uint64_t begin = now_ns();
	uint32_t zero = 0;

	assert_non_null(wrap);
	harness_listen(limit(LIMIT_PER_S, LIMIT_PER_S), NO_LIMIT, NO_LIMIT);
	memcpy(wrap->bss->wrap_frame, frame.data, sizeof(wrap->bss->wrap_frame));
	wrap->bss->wrap_source_first = 0x0a000000;
	wrap->bss->wrap_source_count = SOURCES;
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(wrap->maps.wrap_target), &zero, &program, BPF_ANY),
		0);
	harness_count_from_here();
	for (uint64_t round = 0; round < ROUNDS; round++) {
		harness_alive(true);
		assert_int_equal(
			bpf_prog_test_run_opts(bpf_program__fd(wrap->progs.bench_wrap), &opts), 0);
		pace_until(begin + (round + 1) * ROUND_MS * 1000000);
	}
	counted = harness_counted();
	bench_wrap_bpf__destroy(wrap);
	print_message("%lu of %lu refused\n", counted.value[COUNTER_source_limit],
		counted.value[COUNTER_source_limit] + counted.value[COUNTER_syn]);
	assert_int_equal(counted.value[COUNTER_source_limit] + counted.value[COUNTER_syn],
		(uint64_t)opts.repeat * ROUNDS);
	assert_true(counted.value[COUNTER_source_limit] * 1000 < (uint64_t)opts.repeat * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_burst_per_source),
		cmocka_unit_test(test_v6_sources_share_a_64),
		cmocka_unit_test(test_changed_limit_counts_at_once),
		cmocka_unit_test(test_source_spares_syn),
		cmocka_unit_test(test_listener_limits),
		cmocka_unit_test(test_refused_source_spends_nothing),
		cmocka_unit_test(test_connections_spend_nothing),
		cmocka_unit_test(test_rate_per_source),
		cmocka_unit_test(test_rate_of_listener),
		cmocka_unit_test(test_rows_from_before_the_wrap),
		cmocka_unit_test(test_collisions_are_harmless),
	};

	return cmocka_run_group_tests_name("bpf/buckets", tests, harness_setup, harness_teardown);
}
