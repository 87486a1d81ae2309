/* A gated listener: what goes to the gate, and that nothing else of TCP reaches the kernel. */
#include "cookies.h"

#include "dataplane/dp_parts.h"

#include <linux/if_xdp.h>

static const struct packet_spec syn_linux = {
	.flags = PKT_SYN, .options = cookies_linux, .tcp_options = 20, .checksum = PKT_SUM_GOOD};

struct row {
	const char *name;
	struct packet_spec spec;
	int verdict; /* towards a gated listener */
	enum sluice_counter counter;
	int open_verdict; /* towards one without a gate */
	enum sluice_counter open_counter;
};

#define NOTHING COUNTER_COUNT

static const struct row rows[] = {
	{"first fragment", {.flags = PKT_ACK, .frag_off = 0x2000}, XDP_DROP, COUNTER_gated_fragment,
		XDP_PASS, COUNTER_first_fragment},
	{"first fragment of a SYN", {.flags = PKT_SYN, .frag_off = 0x2000}, XDP_DROP,
		COUNTER_gated_fragment, XDP_PASS, COUNTER_first_fragment},
	{"tiny first fragment", {.flags = PKT_ACK, .frag_off = 0x2000, .ip_len_delta = -12},
		XDP_DROP, COUNTER_tcp_truncated, XDP_DROP, COUNTER_tcp_truncated},
	{"later fragment", {.flags = PKT_ACK, .frag_off = 0x2010}, XDP_DROP, COUNTER_gated_fragment,
		XDP_PASS, COUNTER_fragment},
	{"last fragment", {.flags = PKT_ACK, .frag_off = 0x0010}, XDP_DROP, COUNTER_gated_fragment,
		XDP_PASS, COUNTER_fragment},
	{"fragment for somebody else", {.dst = "203.0.113.2", .frag_off = 0x0010}, XDP_PASS,
		COUNTER_fragment, XDP_PASS, COUNTER_fragment},
	{"fragment of UDP", {.protocol = IPPROTO_UDP, .frag_off = 0x0010}, XDP_PASS, NOTHING,
		XDP_PASS, NOTHING},
	{"tagged fragment", {.vlans = 2, .flags = PKT_ACK, .frag_off = 0x0010}, XDP_DROP,
		COUNTER_gated_fragment, XDP_PASS, COUNTER_fragment},
	{"first fragment v6", {.v6 = true, .flags = PKT_ACK, .ext = {44}, .ext_frag = 1}, XDP_DROP,
		COUNTER_gated_fragment, XDP_PASS, COUNTER_first_fragment},
	{"atomic fragment v6", {.v6 = true, .flags = PKT_ACK, .ext = {44}}, XDP_DROP,
		COUNTER_gated_options, XDP_PASS, COUNTER_ip_options},
	{"later fragment v6", {.v6 = true, .ext = {44}, .ext_frag = 0x0100}, XDP_DROP,
		COUNTER_gated_fragment, XDP_PASS, COUNTER_fragment},
	{"later fragment v6 behind options", {.v6 = true, .ext = {60, 44}, .ext_frag = 0x0100},
		XDP_DROP, COUNTER_gated_fragment, XDP_PASS, COUNTER_fragment},
	{"fragment v6 of UDP",
		{.v6 = true, .ext = {44}, .ext_frag = 0x100, .protocol = IPPROTO_UDP}, XDP_PASS,
		NOTHING, XDP_PASS, NOTHING},
	{"IP options", {.flags = PKT_ACK, .ip_options = 4}, XDP_DROP, COUNTER_gated_options,
		XDP_PASS, COUNTER_ip_options},
	{"IP options on a SYN", {.flags = PKT_SYN, .ip_options = 40}, XDP_DROP,
		COUNTER_gated_options, XDP_PASS, COUNTER_ip_options},
	{"hop-by-hop", {.v6 = true, .flags = PKT_ACK, .ext = {0xff}}, XDP_DROP,
		COUNTER_gated_options, XDP_PASS, COUNTER_ip_options},
	{"routing header on a SYN", {.v6 = true, .flags = PKT_SYN, .ext = {43}}, XDP_DROP,
		COUNTER_gated_options, XDP_PASS, COUNTER_ip_options},
	{"authentication header", {.v6 = true, .flags = PKT_ACK, .ext = {51}}, XDP_DROP,
		COUNTER_gated_options, XDP_PASS, COUNTER_ip_options},
	{"three tags", {.vlans = 3, .flags = PKT_ACK}, XDP_DROP, COUNTER_gated_vlan, XDP_PASS,
		NOTHING},
	{"simultaneous open", {.flags = PKT_SYN | PKT_ACK}, XDP_DROP, COUNTER_syn_ack_unknown,
		XDP_DROP, COUNTER_syn_ack_unknown},
	{"RST", {.flags = PKT_RST}, XDP_DROP, COUNTER_reset_unknown, XDP_DROP,
		COUNTER_reset_unknown},
	{"RST with ACK", {.flags = PKT_RST | PKT_ACK}, XDP_DROP, COUNTER_reset_unknown, XDP_DROP,
		COUNTER_reset_unknown},
	{"SYN to port 0", {.flags = PKT_SYN, .dport_zero = true}, XDP_DROP, COUNTER_tcp_port_zero,
		XDP_PASS, NOTHING},
	{"no flags", {.flags = PKT_PSH}, XDP_DROP, COUNTER_tcp_no_flags, XDP_DROP,
		COUNTER_tcp_no_flags},
	{"SYN and FIN", {.flags = PKT_SYN | PKT_FIN | PKT_ACK}, XDP_DROP, COUNTER_tcp_syn_fin,
		XDP_DROP, COUNTER_tcp_syn_fin},
	{"SYN with a wrong checksum", {.flags = PKT_SYN, .checksum = PKT_SUM_BAD}, XDP_DROP,
		COUNTER_syn_checksum, XDP_DROP, COUNTER_syn_checksum},
	{"SYN with data", {.flags = PKT_SYN, .payload = 200, .checksum = PKT_SUM_GOOD}, XDP_TX,
		COUNTER_syn_cookie, XDP_TX, COUNTER_syn_cookie},
	{"data without a cookie", {.flags = PKT_ACK, .payload = 200}, XDP_DROP, COUNTER_cookie_bad,
		XDP_DROP, COUNTER_cookie_bad},
	{"one byte without a cookie", {.v6 = true, .flags = PKT_ACK, .payload = 1}, XDP_DROP,
		COUNTER_cookie_bad, XDP_DROP, COUNTER_cookie_bad},
	{"FIN without a cookie", {.flags = PKT_FIN | PKT_ACK}, XDP_DROP, COUNTER_cookie_bad,
		XDP_DROP, COUNTER_cookie_bad},
	{"UDP to the port", {.protocol = IPPROTO_UDP}, XDP_PASS, NOTHING, XDP_PASS, NOTHING},
	{"another port", {.flags = PKT_ACK, .dport = 444, .ip_options = 4}, XDP_PASS, NOTHING,
		XDP_PASS, NOTHING},
};

static void test_rows(void **state)
{
	cookies_on(SYN_ALWAYS, true);
	for (size_t i = 0; i < array_len(rows); i++)
		cookies_expect(rows[i].name, &rows[i].spec, rows[i].verdict, rows[i].counter);
	cookies_on(SYN_ALWAYS, false);
	for (size_t i = 0; i < array_len(rows); i++)
		cookies_expect(
			rows[i].name, &rows[i].spec, rows[i].open_verdict, rows[i].open_counter);
}

static void lo_row_set(const struct sluice_interface_slots *slots)
{
	uint32_t row = if_nametoindex("lo") % SLUICE_INTERFACE_ROWS;

	assert_int_equal(bpf_map_update_elem(bpf_map__fd(harness.dp->xdp->maps.interface_slots),
				 &row, slots, BPF_ANY),
		0);
}

static __u64 mac_of(const uint8_t bytes[6])
{
	__u64 mac = 0;

	memcpy(&mac, bytes, 6);
	return mac;
}

/* Mirrored or flooded frames of another machine's, broadcast, multicast: not answered and nothing is
 * made of them; what is refused anyway is. */
static void test_frames_for_others(void **state)
{
	static const struct packet_spec data = {.flags = PKT_ACK, .payload = 10},
					scan = {.flags = 0},
					data_v6 = {.v6 = true,
						.flags = PKT_ACK | PKT_FIN,
						.payload = 10};
	static const uint8_t macs[][6] = {{2, 0, 0, 0, 0, 1}, {2, 0, 0, 0, 0, 9},
		{2, 0, 0, 0, 1, 1}, {0xff, 0xff, 0xff, 0xff, 0xff, 0xff}, {1, 0, 0x5e, 0, 0, 1}};
	struct sluice_interface_slots slots = {.ifindex = if_nametoindex("lo"), .mac_count = 2};

	for (int i = 0; i < SLUICE_INTERFACE_MACS; i++)
		slots.macs[i] = mac_of(macs[i == 1]);
	for (size_t i = 0; i < array_len(macs); i++) {
		struct segment answer;
		struct packet_spec ack;
		bool ours = i < 2;
		uint8_t bytes[12];

		cookies_on(SYN_ALWAYS, false);
		cookies_settings()->resets = dp_limit_ticks(&(struct dp_limit){.rate_per_s = 200});
		cookies_next_batch();
		answer = cookies_syn(&syn_linux);
		ack = cookies_ack(&syn_linux, &answer, bytes, 0, 0);
		memcpy(pkt_destination, macs[i], 6);
		slots.mac_count = 2;
		lo_row_set(&slots);
		cookies_expect("SYN", &syn_linux, ours ? XDP_TX : XDP_PASS,
			ours ? COUNTER_syn_cookie : COUNTER_other_host);
		cookies_expect("data", &data, ours ? XDP_TX : XDP_PASS,
			ours ? COUNTER_cookie_bad_rst : COUNTER_other_host);
		cookies_expect("data v6", &data_v6, ours ? XDP_TX : XDP_PASS,
			ours ? COUNTER_cookie_bad_rst : COUNTER_other_host);
		cookies_expect("cookie", &ack, XDP_PASS, ours ? NOTHING : COUNTER_other_host);
		if (ours)
			cookies_check_marked(&ack);
		else
			cookies_check_unmarked(&ack);
		harness_alive(false);
		assert_int_equal(harness_run(&syn_linux), ours ? XDP_TX : XDP_PASS);
		cookies_expect("scan", &scan, XDP_DROP, COUNTER_tcp_no_flags);
		/* where the addresses are not known all are ours */
		slots.mac_count = 0;
		lo_row_set(&slots);
		cookies_expect("SYN", &syn_linux, XDP_TX, COUNTER_syn_cookie);
		lo_row_set(&(struct sluice_interface_slots){});
		memcpy(pkt_destination, macs[0], 6);
	}
}

/* Headers outside the linear part of the buffer, wherever the cut is. */
static void test_not_linear(void **state)
{
	static const struct packet_spec specs[] = {
		{.flags = PKT_ACK, .payload = 3000},
		{.vlans = 2, .flags = PKT_SYN, .payload = 3000},
		{.flags = PKT_ACK, .ip_options = 8, .payload = 3000},
		{.v6 = true, .flags = PKT_ACK, .payload = 3000},
		{.v6 = true, .ext = {60}, .flags = PKT_ACK, .payload = 3000},
	};

	for (int gated = 0; gated < 2; gated++) {
		cookies_on(SYN_ALWAYS, gated);
		for (size_t i = 0; i < array_len(specs); i++) {
			struct frame frame = packet_build(&specs[i]);
			size_t headers = frame.len - 3000;

			for (uint32_t linear = 14; linear < headers; linear += 4) {
				struct xdp_md ctx = {.data_end = linear};
				LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = frame.data,
					.data_size_in = (uint32_t)frame.len, .ctx_in = &ctx,
					.ctx_size_in = sizeof(ctx), .repeat = 1);

				harness_count_from_here();
				assert_int_equal(
					bpf_prog_test_run_opts(harness_program(), &opts), 0);
				assert_int_equal(opts.retval, gated ? XDP_DROP : XDP_PASS);
				assert_int_equal(
					harness_counted().value[gated ? COUNTER_gated_not_linear
								      : COUNTER_headers_not_linear],
					1);
			}
		}
	}
}

/* Gives queue `queue` of the loopback device, which test runs come from, a socket of worker 0. */
static int gate_open(uint32_t queue)
{
	const struct sluice_xdp_bpf *xdp = harness.dp->xdp;
	uint32_t ifindex = if_nametoindex("lo"), row = ifindex % SLUICE_INTERFACE_ROWS;
	uint32_t slot = 100 + queue, fd = (uint32_t)socket(AF_XDP, SOCK_RAW, 0), ring = 8;
	struct sluice_interface_slots slots = {
		.ifindex = ifindex, .first = 100, .queues = queue + 1, .mtu = 1500};
	struct sluice_gate_slot owner = {.worker = 0, .ifindex = ifindex, .queue = queue};

	/* Newer kernels take no socket without a ring into the map. */
	assert_int_equal(setsockopt((int)fd, SOL_XDP, XDP_RX_RING, &ring, sizeof(ring)), 0);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(xdp->maps.interface_slots), &row, &slots, BPF_ANY),
		0);
	assert_int_equal(
		bpf_map_update_elem(bpf_map__fd(xdp->maps.gate_slots), &slot, &owner, BPF_ANY), 0);
	assert_int_equal(bpf_map_update_elem(bpf_map__fd(xdp->maps.xsks), &slot, &fd, BPF_ANY), 0);
	cookies_settings()->gate_frame_bytes = 2048;
	return (int)fd;
}

static void gate_close(int fd, uint32_t queue)
{
	uint32_t slot = 100 + queue;

	bpf_map_delete_elem(bpf_map__fd(harness.dp->xdp->maps.xsks), &slot);
	close(fd);
}

static void test_first_flights_go_to_the_gate(void **state)
{
	struct packet_spec ack;
	struct segment answer;
	uint8_t bytes[12];
	int fd;

	cookies_on(SYN_ALWAYS, true);
	fd = gate_open(0);
	answer = cookies_syn(&syn_linux);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 517);
	cookies_expect("data", &ack, XDP_REDIRECT, COUNTER_gate_frames);
	ack = cookies_ack(&syn_linux, &answer, bytes, 1400, 1);
	cookies_expect("later byte", &ack, XDP_REDIRECT, COUNTER_gate_frames);
	ack.flags = PKT_FIN | PKT_ACK;
	cookies_expect("data and FIN", &ack, XDP_REDIRECT, COUNTER_gate_frames);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 0);
	cookies_expect("bare ACK", &ack, XDP_DROP, COUNTER_cookie_ack);
	gate_close(fd, 0);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 517);
	cookies_expect("socket gone", &ack, XDP_PASS, COUNTER_gate_bypassed);
	cookies_check_marked(&ack);
}

/* Whoever cannot be given to the gate gets its connection all the same. */
static void test_around_the_gate(void **state)
{
	struct packet_spec ack;
	struct segment answer;
	uint8_t bytes[12];
	int fd;

	cookies_on(SYN_ALWAYS, true);
	cookies_next_batch();
	fd = gate_open(0);
	answer = cookies_syn(&syn_linux);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 517);
	harness_alive(false);
	harness_count_from_here();
	assert_int_equal(harness_run(&ack), XDP_PASS);
	assert_int_equal(harness_counted().value[COUNTER_gate_bypassed], 1);
	cookies_check_marked(&ack);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 2048);
	cookies_expect("frame too long", &ack, XDP_PASS, COUNTER_gate_too_long);
	cookies_settings()->gate_frame_bytes = 0;
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 517);
	cookies_expect("no gate", &ack, XDP_PASS, COUNTER_gate_bypassed);
	gate_close(fd, 0);
}

/* Limits of a source begin where its address is proven; the allow list knows exceptions. */
static void test_limits_charge_proven_sources(void **state)
{
	struct dp_listener listener = {.id = 7,
		.name = "web",
		.protocol = IPPROTO_TCP,
		.gated = true,
		.limits = {[LIMIT_SOURCE_PACKETS] = {.rate_per_s = 1, .burst = 3}}};
	static const struct packet_spec forged = {.flags = PKT_ACK, .payload = 9};
	struct packet_spec ack;
	struct segment answer;
	uint8_t bytes[12];

	cookies_on(SYN_ALWAYS, true);
	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	harness_listeners(&listener, 1);
	for (int i = 0; i < 50; i++) {
		cookies_expect("forged", &forged, XDP_DROP, COUNTER_cookie_bad);
		answer = cookies_syn(&syn_linux);
	}
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 100);
	for (int i = 0; i < 3; i++)
		cookies_expect("within", &ack, XDP_PASS, COUNTER_gate_bypassed);
	cookies_expect("beyond", &ack, XDP_DROP, COUNTER_source_packet_limit);
}

/* Whatever comes: one verdict, counted once, and no answer that cannot be written. */
static void test_random_frames(void **state)
{
	uint64_t verdicts[XDP_REDIRECT + 1] = {};
	struct dp_counters counted;
	struct segment answer;
	uint8_t bytes[12];
	int fd;

	cookies_on(SYN_ALWAYS, true);
	cookies_settings()->resets =
		(struct sluice_limit){.ticks_per_token = 1, .ticks_burst = 1ull << 40};
	fd = gate_open(0);
	answer = cookies_syn(&syn_linux);
	harness_count_from_here();
	srandom(2);
	for (int i = 0; i < 20000; i++) {
		struct packet_spec spec = rows[(size_t)random() % array_len(rows)].spec;
		struct frame frame;
		int verdict;

		if (random() % 3 == 0)
			spec = random() % 2
				       ? syn_linux
				       : cookies_ack(&syn_linux, &answer, bytes, 0, random() % 700);
		frame = packet_build(&spec);
		for (long edits = random() % 4; edits > 0; edits--)
			frame.data[12 + (size_t)random() % (frame.len - 12)] = (uint8_t)random();
		if (i % 1000 == 0)
			harness_alive(true);
		verdict = harness_run_repeat(frame.data,
			random() % 4 ? frame.len : 14 + (size_t)random() % (frame.len - 13), 1);
		assert_in_range(verdict, XDP_DROP, XDP_REDIRECT);
		verdicts[verdict]++;
	}
	counted = harness_counted();
	assert_int_equal(verdicts[XDP_DROP], harness_sum(&counted, COUNTER_DROP));
	assert_int_equal(verdicts[XDP_TX], harness_sum(&counted, COUNTER_TX));
	assert_int_equal(verdicts[XDP_REDIRECT], counted.value[COUNTER_gate_frames]);
	for (int verdict = XDP_DROP; verdict <= XDP_REDIRECT; verdict++)
		assert_true(verdicts[verdict] > 100);
	assert_int_equal(counted.value[COUNTER_reply_failed], 0);
	gate_close(fd, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_frames_for_others),
		cmocka_unit_test(test_not_linear),
		cmocka_unit_test(test_first_flights_go_to_the_gate),
		cmocka_unit_test(test_around_the_gate),
		cmocka_unit_test(test_limits_charge_proven_sources),
		cmocka_unit_test(test_random_frames),
	};

	return cmocka_run_group_tests_name("bpf/gated", tests, harness_setup, harness_teardown);
}
