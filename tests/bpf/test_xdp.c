/* The XDP program, frame by frame: what goes in, the verdict, what is counted, what comes out. */
#include "harness.h"

#define NOTHING COUNTER_COUNT

struct row {
	const char *name;
	struct packet_spec spec;
	int verdict;
	enum sluice_counter counter;
};

static const struct row rows[] = {
	{"syn v4", {.flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"syn v6", {.v6 = true, .flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"syn, one tag", {.vlans = 1, .flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"syn, two tags", {.vlans = 2, .flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"syn v6, two tags", {.vlans = 2, .v6 = true, .flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"syn with options", {.flags = PKT_SYN, .tcp_options = 40}, XDP_PASS, COUNTER_syn},
	{"syn, ECN", {.flags = PKT_SYN | 0xc0}, XDP_PASS, COUNTER_syn},
	{"three tags are not looked behind", {.vlans = 3, .flags = 0}, XDP_PASS, NOTHING},
	{"stray ack", {.flags = PKT_ACK}, XDP_PASS, COUNTER_no_connection},
	{"stray rst", {.flags = PKT_RST}, XDP_DROP, COUNTER_reset_unknown},
	{"stray syn+ack", {.flags = PKT_SYN | PKT_ACK}, XDP_DROP, COUNTER_syn_ack_unknown},
	{"another port", {.flags = 0, .dport = 444}, XDP_PASS, NOTHING},
	{"another address", {.flags = 0, .dst = "203.0.113.2"}, XDP_PASS, NOTHING},
	{"another v6 address", {.v6 = true, .dst = "2001:db8:1::2"}, XDP_PASS, NOTHING},
	{"udp to the port", {.protocol = IPPROTO_UDP}, XDP_PASS, NOTHING},
	{"udp v6 to the port", {.v6 = true, .protocol = IPPROTO_UDP}, XDP_PASS, NOTHING},
	{"icmp", {.protocol = IPPROTO_ICMP}, XDP_PASS, COUNTER_icmp},
	{"icmpv6", {.v6 = true, .protocol = IPPROTO_ICMPV6}, XDP_PASS, COUNTER_icmp},
	{"arp", {.ether_type = 0x0806}, XDP_PASS, NOTHING},
	{"null scan", {.flags = 0}, XDP_DROP, COUNTER_tcp_no_flags},
	{"psh+urg only", {.flags = PKT_PSH | PKT_URG}, XDP_DROP, COUNTER_tcp_no_flags},
	{"fin scan", {.flags = PKT_FIN}, XDP_DROP, COUNTER_tcp_fin_without_ack},
	{"xmas", {.flags = PKT_FIN | PKT_PSH | PKT_URG}, XDP_DROP, COUNTER_tcp_fin_without_ack},
	{"syn+fin", {.flags = PKT_SYN | PKT_FIN}, XDP_DROP, COUNTER_tcp_syn_fin},
	{"syn+rst", {.flags = PKT_SYN | PKT_RST}, XDP_DROP, COUNTER_tcp_syn_rst},
	{"syn+fin v6", {.v6 = true, .flags = PKT_SYN | PKT_FIN}, XDP_DROP, COUNTER_tcp_syn_fin},
	{"source port 0", {.flags = PKT_SYN, .sport_zero = true}, XDP_DROP, COUNTER_tcp_port_zero},
	{"offset 4", {.flags = PKT_SYN, .doff = 4}, XDP_DROP, COUNTER_tcp_header_length},
	{"offset beyond", {.flags = PKT_SYN, .doff = 6}, XDP_DROP, COUNTER_tcp_header_length},
	{"ip length cuts tcp", {.flags = PKT_SYN, .ip_len_delta = -1}, XDP_DROP,
		COUNTER_tcp_truncated},
	{"ip length below header", {.flags = PKT_SYN, .ip_len_delta = -21}, XDP_PASS,
		COUNTER_ip_malformed},
	{"payload length cuts tcp v6", {.v6 = true, .flags = PKT_SYN, .ip_len_delta = -1}, XDP_DROP,
		COUNTER_tcp_truncated},
	{"later fragment", {.flags = PKT_SYN, .frag_off = 0x0010}, XDP_PASS, COUNTER_fragment},
	{"last fragment v6", {.v6 = true, .ext = {44}, .ext_frag = 0x0100}, XDP_PASS,
		COUNTER_fragment},
	{"first fragment", {.flags = PKT_SYN, .frag_off = 0x2000}, XDP_PASS,
		COUNTER_first_fragment},
	{"first fragment v6", {.v6 = true, .flags = PKT_SYN, .ext = {44}, .ext_frag = 1}, XDP_PASS,
		COUNTER_first_fragment},
	{"do not fragment", {.flags = PKT_SYN, .frag_off = 0x4000}, XDP_PASS, COUNTER_syn},
	{"ip options", {.flags = PKT_SYN, .ip_options = 4}, XDP_PASS, COUNTER_ip_options},
	{"all ip options", {.flags = PKT_SYN, .ip_options = 40}, XDP_PASS, COUNTER_syn},
	{"null scan behind ip options", {.flags = 0, .ip_options = 40}, XDP_DROP,
		COUNTER_tcp_no_flags},
	{"ext: hop-by-hop", {.v6 = true, .ext = {0xff}, .flags = PKT_SYN}, XDP_PASS, COUNTER_syn},
	{"ext: chain", {.v6 = true, .ext = {0xff, 60, 43, 44, 51, 60}, .flags = PKT_SYN | PKT_FIN},
		XDP_DROP, COUNTER_tcp_syn_fin},
	{"ext: eight", {.v6 = true, .ext = {60, 60, 60, 60, 60, 60, 60, 60}, .flags = 0}, XDP_DROP,
		COUNTER_tcp_no_flags},
	{"ext: nine", {.v6 = true, .ext = {60, 60, 60, 60, 60, 60, 60, 60, 60}, .flags = PKT_SYN},
		XDP_DROP, COUNTER_ipv6_chain_too_long},
	{"ext: udp behind", {.v6 = true, .ext = {60}, .protocol = IPPROTO_UDP}, XDP_PASS, NOTHING},
	{"ext: icmpv6 behind", {.v6 = true, .ext = {60}, .protocol = IPPROTO_ICMPV6}, XDP_PASS,
		COUNTER_icmp},
	{"esp", {.v6 = true, .protocol = IPPROTO_ESP}, XDP_PASS, NOTHING},
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < array_len(rows); i++) {
		struct dp_counters counted;
		int verdict;

		harness_alive(true);
		harness_count_from_here();
		verdict = harness_run(&rows[i].spec);
		counted = harness_counted();
		if (verdict != rows[i].verdict)
			fail_msg("%s: verdict %d, not %d", rows[i].name, verdict, rows[i].verdict);
		for (int id = 0; id < COUNTER_COUNT && rows[i].counter == NOTHING; id++)
			if (counted.value[id])
				fail_msg("%s: counted as %s", rows[i].name,
					dp_counter_describe((enum sluice_counter)id)->name);
		if (rows[i].counter != NOTHING && counted.value[rows[i].counter] != 1)
			fail_msg("%s: not counted as %s", rows[i].name,
				dp_counter_describe(rows[i].counter)->name);
		assert_int_equal(harness_sum(&counted, COUNTER_DROP), verdict == XDP_DROP);
	}
}

/* A frame that passes or is dropped is not touched. */
static void test_frames_unchanged(void **state)
{
	for (size_t i = 0; i < array_len(rows); i++) {
		struct frame frame = packet_build(&rows[i].spec);

		harness_alive(true);
		harness_run(&rows[i].spec);
		assert_int_equal(harness.out.len, frame.len);
		assert_memory_equal(harness.out.data, frame.data, frame.len);
	}
}

static void test_every_truncation(void **state)
{
	static const struct packet_spec specs[] = {
		{.flags = PKT_SYN, .tcp_options = 20},
		{.vlans = 2, .flags = PKT_SYN, .ip_options = 12, .tcp_options = 20},
		{.v6 = true, .vlans = 1, .flags = PKT_SYN, .tcp_options = 20},
		{.v6 = true, .flags = PKT_SYN, .ext = {0xff, 60, 43, 44, 51, 60}},
	};

	for (size_t i = 0; i < array_len(specs); i++) {
		struct frame frame = packet_build(&specs[i]);
		size_t tcp = frame.len - pkt_tcp_len(&specs[i]);

		for (size_t len = 14; len <= frame.len; len++) {
			struct dp_counters counted;
			int verdict;

			harness_alive(true);
			harness_count_from_here();
			verdict = harness_run_repeat(frame.data, len, 1);
			counted = harness_counted();
			if (len < tcp + 4) {
				assert_int_equal(verdict, XDP_PASS);
				assert_int_equal(counted.value[COUNTER_frame_truncated], 1);
			} else if (len < tcp + 20) {
				assert_int_equal(verdict, XDP_DROP);
				assert_int_equal(counted.value[COUNTER_tcp_truncated], 1);
			} else {
				assert_int_equal(verdict, XDP_PASS);
				assert_int_equal(counted.value[COUNTER_syn], 1);
			}
		}
	}
}

/* Headers outside the linear part (multi-buffer frames): passed, counted, never taken for short. */
static void test_headers_not_linear(void **state)
{
	struct packet_spec spec = {.flags = PKT_SYN, .payload = 3000};
	struct frame frame = packet_build(&spec);

	for (uint32_t linear = 14; linear < 54; linear += 8) {
		struct xdp_md ctx = {.data_end = linear};
		LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data,
			.data_size_in = (uint32_t)frame.len, .ctx_in = &ctx,
			.ctx_size_in = sizeof(ctx), .repeat = 1);

		harness_count_from_here();
		assert_int_equal(bpf_prog_test_run_opts(harness_program(), &opts), 0);
		assert_int_equal(opts.retval, XDP_PASS);
		assert_int_equal(harness_counted().value[COUNTER_headers_not_linear], 1);
	}
}

static void test_random_frames(void **state)
{
	uint64_t verdicts[XDP_REDIRECT + 1] = {};
	struct dp_counters counted;

	harness_alive(true);
	harness_count_from_here();
	srandom(1);
	for (int i = 0; i < 20000; i++) {
		struct packet_spec spec = rows[(size_t)random() % array_len(rows)].spec;
		struct frame frame = packet_build(&spec);
		size_t len = 14 + (size_t)random() % (frame.len - 13);
		int verdict;

		for (long edits = random() % 4; edits > 0; edits--)
			frame.data[12 + (size_t)random() % (frame.len - 12)] = (uint8_t)random();
		if (i % 5000 == 4999)
			harness_alive(i < 10000);
		verdict = harness_run_repeat(frame.data, random() % 2 ? len : frame.len, 1);
		assert_in_range(verdict, XDP_DROP, XDP_TX);
		verdicts[verdict]++;
	}
	counted = harness_counted();
	assert_int_equal(verdicts[XDP_DROP], harness_sum(&counted, COUNTER_DROP));
	assert_int_equal(verdicts[XDP_TX], harness_sum(&counted, COUNTER_TX));
	assert_true(verdicts[XDP_DROP] > 100 && verdicts[XDP_TX] > 100 && verdicts[XDP_PASS] > 100);
	assert_int_equal(counted.value[COUNTER_reply_failed], 0);
}

static void rst_check_ip(const struct packet_spec *spec, const uint8_t *sent, const uint8_t *got)
{
	size_t at = spec->v6 ? 8 : 12, len = spec->v6 ? 16 : 4;

	assert_memory_equal(got + at, sent + at + len, len);
	assert_memory_equal(got + at + len, sent + at, len);
	if (spec->v6) {
		assert_int_equal(got[0] >> 4, 6);
		assert_int_equal(got[4] << 8 | got[5], 20);
		assert_int_equal(got[6], IPPROTO_TCP);
	} else {
		assert_int_equal(got[0], 0x45);
		assert_int_equal(got[2] << 8 | got[3], 40);
		assert_int_equal(pkt_fold(pkt_sum(got, 20)), 0);
	}
}

static void rst_check(const struct packet_spec *spec)
{
	struct frame sent = packet_build(spec);
	size_t l3 = packet_l3(spec), ip = spec->v6 ? 40 : 20, at = spec->v6 ? 8 : 12;
	const uint8_t *got = harness.out.data, *tcp = got + l3 + ip;
	const uint8_t *old = sent.data + sent.len - pkt_tcp_len(spec);
	uint32_t ack = (uint32_t)tcp[8] << 24 | tcp[9] << 16 | tcp[10] << 8 | tcp[11];

	assert_int_equal(harness.out.len, l3 + ip + 20);
	assert_memory_equal(got, sent.data + 6, 6);
	assert_memory_equal(got + 6, sent.data, 6);
	assert_memory_equal(got + 12, sent.data + 12, l3 - 12);
	rst_check_ip(spec, sent.data + l3, got + l3);
	assert_memory_equal(tcp, old + 2, 2);
	assert_memory_equal(tcp + 2, old, 2);
	assert_int_equal(ack, PKT_SEQ + 1 + spec->payload);
	assert_int_equal(tcp[12], 0x50);
	assert_int_equal(tcp[13], PKT_RST | PKT_ACK);
	assert_int_equal(pkt_fold(pkt_sum(tcp, 20) + pkt_sum(got + l3 + at, spec->v6 ? 32 : 8) +
				  IPPROTO_TCP + 20),
		0);
}

static const struct packet_spec rst_specs[] = {
	{.flags = PKT_SYN},
	{.flags = PKT_SYN, .tcp_options = 20},
	{.flags = PKT_SYN, .vlans = 1, .tcp_options = 40},
	{.flags = PKT_SYN, .vlans = 2, .ip_options = 40, .tcp_options = 12},
	{.flags = PKT_SYN, .payload = 1200},
	{.v6 = true, .flags = PKT_SYN},
	{.v6 = true, .flags = PKT_SYN, .vlans = 2, .tcp_options = 20, .payload = 5},
	{.v6 = true, .flags = PKT_SYN, .ext = {0xff, 60}, .tcp_options = 20},
};

static void test_stale_workers_refuse(void **state)
{
	static const struct packet_spec ack = {.flags = PKT_ACK}, other = {.dport = 80};
	struct dp_counters counted;

	harness_alive(false);
	for (size_t i = 0; i < array_len(rst_specs); i++) {
		harness_count_from_here();
		assert_int_equal(harness_run(&rst_specs[i]), XDP_TX);
		assert_int_equal(harness_counted().value[COUNTER_workers_stale_rst], 1);
		rst_check(&rst_specs[i]);
	}
	harness_count_from_here();
	assert_int_equal(harness_run(&ack), XDP_PASS);
	assert_int_equal(harness_run(&other), XDP_PASS);
	counted = harness_counted();
	assert_int_equal(harness_sum(&counted, COUNTER_TX), 0);
	harness_alive(true);
	assert_int_equal(harness_run(&rst_specs[0]), XDP_PASS);
}

/* One live worker is enough, whichever it is; a stopping one does not count. */
static void test_any_worker_counts(void **state)
{
	static const struct packet_spec syn = {.flags = PKT_SYN};
	struct dp_heartbeat last;
	struct err err = {};

	harness_ok(dataplane_set_workers(harness.dp, SLUICE_MAX_WORKERS, &err), &err);
	harness_ok(dp_heartbeat_open(harness.dp, SLUICE_MAX_WORKERS - 1, &last, &err), &err);
	harness_alive(false);
	assert_int_equal(harness_run(&syn), XDP_PASS);
	dp_heartbeat_stamp(&last, dp_heartbeat_now_ns() - SLUICE_STALE_NS + 100000000);
	assert_int_equal(harness_run(&syn), XDP_PASS);
	dp_heartbeat_stamp(&last, dp_heartbeat_now_ns() - SLUICE_STALE_NS);
	assert_int_equal(harness_run(&syn), XDP_TX);
	dp_heartbeat_stamp(&last, dp_heartbeat_now_ns());
	assert_int_equal(harness_run(&syn), XDP_PASS);
	dp_heartbeat_stop(&last);
	assert_int_equal(harness_run(&syn), XDP_TX);
	harness_ok(dataplane_set_workers(harness.dp, 2, &err), &err);
	harness_alive(true);
}

static void test_wildcards(void **state)
{
	static const struct packet_spec v4 = {.dst = "192.0.2.9"};
	static const struct packet_spec v6 = {.v6 = true, .dst = "2001:db8:9::9"};
	struct dp_listener any4 = {.id = 5, .name = "any4", .protocol = IPPROTO_TCP};
	struct dp_listener any6 = {.id = 6, .name = "any6", .protocol = IPPROTO_TCP};

	any4.address = harness_address("0.0.0.0", PKT_PORT);
	any6.address = harness_address("::", PKT_PORT);
	harness_listeners(&any4, 1);
	assert_int_equal(harness_run(&v4), XDP_DROP);
	assert_int_equal(harness_run(&v6), XDP_PASS);
	harness_listeners(&any6, 1);
	assert_int_equal(harness_run(&v4), XDP_PASS);
	assert_int_equal(harness_run(&v6), XDP_DROP);
	harness_listeners(NULL, 0);
	assert_int_equal(harness_run(&v4), XDP_PASS);
	assert_int_equal(harness_run(&v6), XDP_PASS);
	harness_listen(NO_LIMIT, NO_LIMIT, NO_LIMIT);
}

static void test_listener_counters(void **state)
{
	static const struct packet_spec syn = {.flags = PKT_SYN}, null = {.flags = 0};
	struct dp_listener_counts before, after;
	struct err err = {};

	harness_alive(true);
	harness_ok(dp_listener_counts(harness.dp, 1, &before, &err), &err);
	harness_run(&syn);
	harness_run(&null);
	harness_ok(dp_listener_counts(harness.dp, 1, &after, &err), &err);
	assert_int_equal(after.syn - before.syn, 1);
	assert_int_equal(after.dropped - before.dropped, 1);
}

static void test_bad_listeners_change_nothing(void **state)
{
	static const struct packet_spec null = {.flags = 0};
	struct dp_listener bad[2] = {
		{.id = 1, .name = "one", .protocol = IPPROTO_TCP},
		{.id = 2, .name = "two", .protocol = IPPROTO_TCP},
	};
	struct err err = {};

	bad[0].address = harness_address("192.0.2.1", 1);
	bad[1].address = harness_address("192.0.2.1", 1);
	assert_int_equal(dp_listeners_set(harness.dp, bad, 2, &err), -EINVAL);
	assert_non_null(strstr(err.text, "both on 192.0.2.1:1"));
	bad[1].id = SLUICE_MAX_LISTENERS;
	bad[1].address = harness_address("192.0.2.1", 2);
	assert_int_equal(dp_listeners_set(harness.dp, bad, 2, &err), -E2BIG);
	assert_int_equal(harness_run(&null), XDP_DROP);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_frames_unchanged),
		cmocka_unit_test(test_every_truncation),
		cmocka_unit_test(test_headers_not_linear),
		cmocka_unit_test(test_random_frames),
		cmocka_unit_test(test_stale_workers_refuse),
		cmocka_unit_test(test_any_worker_counts),
		cmocka_unit_test(test_wildcards),
		cmocka_unit_test(test_listener_counters),
		cmocka_unit_test(test_bad_listeners_change_nothing),
	};

	return cmocka_run_group_tests_name("bpf/xdp", tests, harness_setup, harness_teardown);
}
