/* Token buckets: rate, burst, generations, whose tokens are spent, who is spared, what sharing rows
 * does. The kernel answers SYNs here (no cookies): a SYN is a connection, an ACK a mere packet. */
#include "cookies.h"
#include "harness.h"

#include "bpf/bench_wrap.skel.h"
#include "dataplane/dp_deny.h"

#include <time.h>

static const struct packet_spec syn = {.flags = PKT_SYN}, ack = {.flags = PKT_ACK};

/* Runs the frame and returns how many got through. The whole takes far less than a token's time
 * in the tests that expect an exact number. */
static uint64_t passed_of(const struct packet_spec *spec, int count)
{
	struct frame frame = packet_build(spec);
	struct dp_counters all;

	harness_alive(true);
	harness_count_from_here();
	harness_run_repeat(frame.data, frame.len, count);
	all = harness_counted();
	return (uint64_t)count - harness_sum(&all, COUNTER_DROP);
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

struct limits {
	struct dp_limit of[LISTENER_LIMITS];
	bool dry_run;
};

/* The usual two listeners under these limits, and another on port 444. */
static void limits(const struct limits *limits)
{
	struct dp_listener listeners[] = {
		{.id = 1, .socket_row = 1, .name = "web", .protocol = IPPROTO_TCP},
		{.id = 1, .socket_row = 2, .name = "web6", .protocol = IPPROTO_TCP},
		{.id = 2, .socket_row = 3, .name = "other", .protocol = IPPROTO_TCP},
	};

	listeners[0].address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	listeners[1].address = harness_address(PKT_V6_LISTENER, PKT_PORT);
	listeners[2].address = harness_address(PKT_V4_LISTENER, PKT_PORT + 1);
	for (size_t i = 0; i < array_len(listeners); i++) {
		memcpy(listeners[i].limits, limits->of, sizeof(limits->of));
		listeners[i].dry_run = limits->dry_run;
	}
	harness_listeners(listeners, array_len(listeners));
}

/* One limit alone. */
static void limit_only(enum listener_limit kind, uint32_t rate, uint32_t burst)
{
	struct limits one = {};

	one.of[kind] = limit(rate, burst);
	limits(&one);
}

static uint64_t counted(enum sluice_counter id)
{
	return harness_counted().value[id];
}

static struct packet_spec from(const char *src, const struct packet_spec *like)
{
	struct packet_spec spec = *like;

	spec.src = src;
	spec.v6 = strchr(src, ':') != NULL;
	return spec;
}

static uint64_t passed_from(const char *src, const struct packet_spec *like, int count)
{
	struct packet_spec spec = from(src, like);

	return passed_of(&spec, count);
}

static void test_packets_per_source(void **state)
{
	struct packet_spec other_listener = {.flags = PKT_ACK, .dport = PKT_PORT + 1};

	limit_only(LIMIT_SOURCE_PACKETS, 1, 7);
	assert_int_equal(passed_of(&ack, 100), 7);
	assert_int_equal(counted(COUNTER_source_packet_limit), 93);
	assert_int_equal(passed_from("198.51.100.8", &ack, 100), 7);
	assert_int_equal(passed_of(&other_listener, 100), 7);
	assert_int_equal(passed_of(&syn, 100), 100); /* its address may be forged */
	assert_int_equal(passed_of(&ack, 100), 0);
}

static void test_connections_per_source(void **state)
{
	limit_only(LIMIT_SOURCE_CONNECTIONS, 1, 7);
	assert_int_equal(passed_of(&syn, 100), 7);
	assert_int_equal(counted(COUNTER_source_connection_limit), 93);
	assert_int_equal(passed_from("198.51.100.8", &syn, 100), 7);
	assert_int_equal(passed_of(&ack, 100), 100);
}

static void test_v6_sources_share_a_64(void **state)
{
	limit_only(LIMIT_SOURCE_PACKETS, 1, 11);
	assert_int_equal(passed_from("2001:db8:2:3::1", &ack, 50), 11);
	assert_int_equal(passed_from("2001:db8:2:3:4::2", &ack, 50), 0);
	assert_int_equal(passed_from("2001:db8:2:4::1", &ack, 50), 11);
}

static void test_sources_of_a_prefix_share(void **state)
{
	limit_only(LIMIT_PREFIX_PACKETS, 1, 13);
	assert_int_equal(passed_from("198.51.100.0", &ack, 10), 10);
	assert_int_equal(passed_from("198.51.100.255", &ack, 10), 3);
	assert_int_equal(counted(COUNTER_prefix_packet_limit), 7);
	assert_int_equal(passed_from("198.51.101.0", &ack, 10), 10);
	assert_int_equal(passed_from("2001:db8:2:300::1", &ack, 10), 10);
	assert_int_equal(passed_from("2001:db8:2:3ff::1", &ack, 10), 3);
	assert_int_equal(passed_from("2001:db8:2:400::1", &ack, 10), 10);
	limit_only(LIMIT_PREFIX_CONNECTIONS, 1, 13);
	assert_int_equal(passed_from("198.51.100.0", &syn, 10), 10);
	assert_int_equal(passed_from("198.51.100.255", &syn, 10), 3);
	assert_int_equal(counted(COUNTER_prefix_connection_limit), 7);
}

static void test_changed_limit_counts_at_once(void **state)
{
	limit_only(LIMIT_SOURCE_PACKETS, 1, 5);
	assert_int_equal(passed_of(&ack, 50), 5);
	limit_only(LIMIT_SOURCE_PACKETS, 1, 5);
	assert_int_equal(passed_of(&ack, 50), 0);
	limit_only(LIMIT_SOURCE_PACKETS, 1, 9);
	assert_int_equal(passed_of(&ack, 50), 9);
	limits(&(struct limits){});
	assert_int_equal(passed_of(&ack, 50), 50);
}

/* The budget of the listener: all sources together; packets and new connections apart. */
static void test_listener_limits(void **state)
{
	uint64_t passed = 0;

	limit_only(LIMIT_CONNECTIONS, 1, 20);
	for (int i = 0; i < 30; i++) {
		char src[32];

		snprintf(src, sizeof(src), "198.51.100.%d", i);
		passed += passed_from(src, &syn, 1);
	}
	assert_int_equal(passed, 20);
	assert_int_equal(counted(COUNTER_listener_connection_limit), 1);
	assert_int_equal(passed_of(&ack, 30), 30);
	limit_only(LIMIT_PACKETS, 1, 12);
	assert_int_equal(passed_of(&ack, 10), 10);
	assert_int_equal(passed_of(&syn, 10), 2);
	assert_int_equal(counted(COUNTER_listener_packet_limit), 8);
}

/* A source that is refused spends nothing of what it shares with others. */
static void test_refused_source_spends_nothing(void **state)
{
	struct limits all = {};

	all.of[LIMIT_SOURCE_CONNECTIONS] = limit(1, 2);
	all.of[LIMIT_PREFIX_CONNECTIONS] = limit(1, 4);
	all.of[LIMIT_CONNECTIONS] = limit(1, 6);
	limits(&all);
	assert_int_equal(passed_from("198.51.100.1", &syn, 100), 2);
	assert_int_equal(passed_from("198.51.100.2", &syn, 100), 2);
	assert_int_equal(passed_from("198.51.100.3", &syn, 100), 0);
	assert_int_equal(passed_from("198.51.101.1", &syn, 100), 2);
	assert_int_equal(passed_from("198.51.102.1", &syn, 100), 0);
	assert_int_equal(counted(COUNTER_listener_connection_limit), 2);
}

/* A flood of SYNs that are answered with cookies spends no token of the client it pretends to be. */
static void test_forged_syns_spend_nothing(void **state)
{
	struct packet_spec odd = syn;

	cookies_on(SYN_ALWAYS, false);
	limit_only(LIMIT_SOURCE_CONNECTIONS, 1, 3);
	passed_of(&syn, 100);
	assert_int_equal(counted(COUNTER_source_connection_limit), 0);
	odd.ip_options = 4; /* those are not answered with a cookie, and prove as little */
	assert_int_equal(passed_of(&odd, 100), 100);
	assert_int_equal(counted(COUNTER_source_connection_limit), 0);
	cookies_settings()->handover = HANDOVER_NONE;
	assert_int_equal(passed_of(&syn, 100), 3);
}

static void test_dry_run_only_counts(void **state)
{
	struct limits all = {.dry_run = true};

	for (int kind = 0; kind < LISTENER_LIMITS; kind++)
		all.of[kind] = limit(1, (uint32_t)(30 + kind));
	limits(&all);
	assert_int_equal(passed_of(&ack, 100), 100);
	assert_int_equal(counted(COUNTER_dry_source_packet_limit), 70 - LIMIT_SOURCE_PACKETS);
	assert_int_equal(counted(COUNTER_dry_prefix_packet_limit), 70 - LIMIT_PREFIX_PACKETS);
	assert_int_equal(counted(COUNTER_dry_listener_packet_limit), 70 - LIMIT_PACKETS);
	assert_int_equal(passed_of(&syn, 100), 100);
	assert_int_equal(
		counted(COUNTER_dry_source_connection_limit), 70 - LIMIT_SOURCE_CONNECTIONS);
	assert_int_equal(
		counted(COUNTER_dry_prefix_connection_limit), 70 - LIMIT_PREFIX_CONNECTIONS);
	assert_int_equal(counted(COUNTER_dry_listener_connection_limit), 70 - LIMIT_CONNECTIONS);
}

static void allow(const char *text)
{
	struct dp_lists_spec spec = {};
	struct dp_prefix prefix;
	struct err err = {};

	if (text) {
		harness_ok(dp_prefix_parse(slice_of(text), &prefix, &err), &err);
		spec.allow = &prefix;
		spec.allow_count = 1;
	}
	harness_ok(dp_lists_set(harness.dp, &spec, &err), &err);
}

/* Whoever is on the allow list has no limit of its own, but shares the listener's. */
static void test_allow_list_spares(void **state)
{
	struct limits all = {};

	all.of[LIMIT_SOURCE_PACKETS] = limit(1, 3);
	all.of[LIMIT_PREFIX_PACKETS] = limit(1, 4);
	all.of[LIMIT_SOURCE_CONNECTIONS] = limit(1, 3);
	all.of[LIMIT_PREFIX_CONNECTIONS] = limit(1, 4);
	limits(&all);
	allow("198.51.100.7");
	assert_int_equal(passed_from("198.51.100.7", &ack, 50), 50);
	assert_int_equal(counted(COUNTER_allow_list), 47);
	assert_int_equal(passed_from("198.51.100.7", &syn, 50), 50);
	assert_int_equal(passed_from("198.51.100.8", &ack, 50), 1);
	allow("2001:db8:2:3::/64");
	assert_int_equal(passed_from("2001:db8:2:3::1", &ack, 50), 50);
	assert_int_equal(passed_from("2001:db8:2:4::1", &ack, 50), 1);
	allow("198.51.100.0/24");
	all.of[LIMIT_PACKETS] = limit(1, 20);
	limits(&all);
	assert_int_equal(passed_from("198.51.100.9", &ack, 50), 20);
	assert_int_equal(counted(COUNTER_listener_packet_limit), 30);
	allow(NULL);
	limits(&all);
	assert_true(passed_from("198.51.100.9", &ack, 50) < 20);
}

/* A packet that is judged twice, since its source is spared, spends one token of the listener's, and
 * counts once. */
static void test_spared_packets_spend_once(void **state)
{
	struct dp_listener_counts before, after;
	struct limits all = {};
	struct err err = {};

	all.of[LIMIT_SOURCE_CONNECTIONS] = limit(1, 2);
	all.of[LIMIT_PACKETS] = limit(1, 40);
	all.of[LIMIT_CONNECTIONS] = limit(1, 41);
	limits(&all);
	allow("198.51.100.77");
	harness_ok(dp_listener_counts(harness.dp, 1, &before, &err), &err);
	assert_int_equal(passed_from("198.51.100.77", &syn, 60), 40);
	assert_int_equal(counted(COUNTER_allow_list), 38);
	assert_int_equal(counted(COUNTER_syn), 40);
	assert_int_equal(counted(COUNTER_listener_packet_limit), 20);
	harness_ok(dp_listener_counts(harness.dp, 1, &after, &err), &err);
	assert_int_equal(after.dropped - before.dropped, 20);
	assert_int_equal(after.syn - before.syn, 40);
	allow(NULL);
}

/* Keys of limits with other bursts and kinds that come to share a row: neither refills the other's
 * bucket, however far the larger burst lets it run ahead. */
static void test_limits_share_rows(void **state)
{
	uint32_t mask = harness.dp->settings->source_mask;
	struct limits all = {};

	all.of[LIMIT_SOURCE_PACKETS] = limit(1, 5);
	all.of[LIMIT_PREFIX_PACKETS] = limit(1, 1000);
	all.of[LIMIT_SOURCE_CONNECTIONS] = limit(1, 900);
	limits(&all);
	harness.dp->settings->source_mask = 0;
	assert_true(passed_of(&ack, 100) <= 5);
	assert_true(passed_of(&syn, 500) >= 400);
	assert_int_equal(passed_of(&ack, 100), 0);
	harness.dp->settings->source_mask = mask;
}

static struct sluice_listener_bucket listener_row_get(void)
{
	struct sluice_listener_bucket row = {};
	uint32_t id = 1;

	assert_int_equal(
		bpf_map_lookup_elem(bpf_map__fd(harness.dp->xdp->maps.listener_buckets), &id, &row),
		0);
	return row;
}

static void listener_row_set(const struct sluice_listener_bucket *row)
{
	uint32_t id = 1;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness.dp->xdp->maps.listener_buckets),
				 &id, row, BPF_ANY),
		0);
}

/* Cookies go on for ten seconds after the budget was last empty, and then end. */
static void test_attack_ends_late(void **state)
{
	struct dp_listener listener = {.id = 1,
		.socket_row = 1,
		.name = "web",
		.protocol = IPPROTO_TCP,
		.syn_mode = SYN_UNDER_ATTACK,
		.limits = {[LIMIT_SYNS] = {.rate_per_s = 1, .burst = 5}}};
	struct sluice_listener_bucket row = {};
	uint64_t ten_s = 10ull * dp_jiffies_per_s();

	listener_row_set(&row);
	cookies_on(SYN_UNDER_ATTACK, false);
	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	harness_listeners(&listener, 1);
	passed_of(&syn, 20);
	assert_int_equal(counted(COUNTER_syn), 5);
	assert_int_equal(counted(COUNTER_attack_began), 1);
	row = listener_row_get();
	row.syns.full_at_gen = 0; /* full again */
	row.attack_until -= ten_s - dp_jiffies_per_s() * 5; /* nine seconds have passed, or five */
	listener_row_set(&row);
	passed_of(&syn, 5);
	assert_int_equal(counted(COUNTER_syn), 0);
	row.attack_until -= ten_s;
	listener_row_set(&row);
	passed_of(&syn, 5);
	assert_int_equal(counted(COUNTER_syn), 5);
	cookies_settings()->handover = HANDOVER_NONE;
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
		.limits = {[LIMIT_SOURCE_PACKETS] = {.rate_per_s = 1, .burst = 1},
			[LIMIT_PACKETS] = {.rate_per_s = 1, .burst = 1}},
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
	struct dp_counters all;

	listener.address = harness_address(host, 4434);
	harness_listeners(&listener, 1);
	stranger.sport = 1;
	assert_int_equal(passed_of(&stranger, 10), 1);
	assert_int_equal(passed_of(&own, 1000), 1000);
	own.flags = PKT_SYN;
	assert_int_equal(passed_of(&own, 10), 10);
	all = harness_counted();
	for (int row = 0; row < COUNTER_COUNT; row++)
		assert_int_equal(all.value[row], 0);
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

/* At 2000 per second. */
static uint64_t due(uint64_t ns)
{
	return 2000 * ns / 1000000000u;
}

/* Over half a second, ten packets for each that may pass. The burst is a second's worth, so that
 * no token is lost when this process is held up for less; what has gathered is spent in the end.
 * False: it was held up for longer. */
static bool rate_is_kept(enum listener_limit kind)
{
	struct frame frame = packet_build(&syn);
	uint64_t begin, end, step_begin, passed, pause = 0;

	limit_only(kind, 2000, 2000);
	harness_alive(true);
	passed_of(&syn, 5000); /* the burst */
	begin = end = now_ns();
	harness_count_from_here();
	for (uint64_t step = 1; step <= 50; step++) {
		pace_until(begin + step * 10000000);
		harness_alive(true);
		step_begin = now_ns();
		harness_run_repeat(frame.data, frame.len, step < 50 ? 200 : 5000);
		pause = now_ns() - end > pause ? now_ns() - end : pause;
		end = now_ns();
	}
	passed = counted(COUNTER_syn);
	if (passed > due(end - begin) + 60)
		fail_msg("%lu passed in %lu ms", passed, (end - begin) / 1000000);
	if (passed + 60 >= due(step_begin - begin))
		return true;
	if (pause < 900000000)
		fail_msg("no more than %lu passed in %lu ms", passed, (end - begin) / 1000000);
	return false;
}

static void rate_check(enum listener_limit kind)
{
	int tries = 0;

	while (!rate_is_kept(kind))
		assert_int_not_equal(++tries, 10);
}

static void test_rates(void **state)
{
	rate_check(LIMIT_SOURCE_CONNECTIONS);
	rate_check(LIMIT_PREFIX_CONNECTIONS);
	rate_check(LIMIT_CONNECTIONS);
}

/* Rows that lie in the future by more than any charge could put them (left over from before the
 * clock's wrap, or from a larger burst of the same generation) count as full, not as empty. */
static void test_rows_from_before_the_wrap(void **state)
{
	struct sluice_listener_bucket row;

	limit_only(LIMIT_CONNECTIONS, 1, 3);
	assert_int_equal(passed_of(&syn, 10), 3);
	row = listener_row_get();
	row.connections.full_at_gen += 1ull << 62;
	listener_row_set(&row);
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
	uint64_t begin = now_ns(), refused;
	uint32_t zero = 0;

	assert_non_null(wrap);
	limit_only(LIMIT_SOURCE_CONNECTIONS, LIMIT_PER_S, LIMIT_PER_S);
	memcpy(wrap->bss->wrap_frame, frame.data, sizeof(wrap->bss->wrap_frame));
	wrap->bss->wrap_source_first = 0x0a000000;
	wrap->bss->wrap_source_count = SOURCES;
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(wrap->maps.wrap_target), &zero, &program, BPF_ANY),
		0);
	harness_count_from_here();
	for (uint64_t round = 0; round < ROUNDS; round++) {
		harness_alive(true);
		opts.data_size_out = 0; /* else what the last one left is a limit for this one */
		assert_int_equal(
			bpf_prog_test_run_opts(bpf_program__fd(wrap->progs.bench_wrap), &opts), 0);
		pace_until(begin + (round + 1) * ROUND_MS * 1000000);
	}
	refused = counted(COUNTER_source_connection_limit);
	bench_wrap_bpf__destroy(wrap);
	print_message("%lu of %lu refused\n", refused, refused + counted(COUNTER_syn));
	assert_int_equal(refused + counted(COUNTER_syn), (uint64_t)opts.repeat * ROUNDS);
	assert_true(refused * 1000 < (uint64_t)opts.repeat * ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_packets_per_source),
		cmocka_unit_test(test_connections_per_source),
		cmocka_unit_test(test_v6_sources_share_a_64),
		cmocka_unit_test(test_sources_of_a_prefix_share),
		cmocka_unit_test(test_changed_limit_counts_at_once),
		cmocka_unit_test(test_listener_limits),
		cmocka_unit_test(test_refused_source_spends_nothing),
		cmocka_unit_test(test_forged_syns_spend_nothing),
		cmocka_unit_test(test_dry_run_only_counts),
		cmocka_unit_test(test_allow_list_spares),
		cmocka_unit_test(test_spared_packets_spend_once),
		cmocka_unit_test(test_limits_share_rows),
		cmocka_unit_test(test_attack_ends_late),
		cmocka_unit_test(test_connections_spend_nothing),
		cmocka_unit_test(test_rates),
		cmocka_unit_test(test_rows_from_before_the_wrap),
		cmocka_unit_test(test_collisions_are_harmless),
	};

	return cmocka_run_group_tests_name("bpf/buckets", tests, harness_setup, harness_teardown);
}
