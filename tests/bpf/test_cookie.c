/* SYN cookies: what a SYN is answered with, and what becomes of the ACKs. */
#include "cookies.h"

#include "dataplane/dp_parts.h"

#define OPTIONS(layout) .options = layout, .tcp_options = sizeof(layout)
#define SYN_OF(layout)  .flags = PKT_SYN, OPTIONS(layout)

static const struct packet_spec syn_linux = {SYN_OF(cookies_linux), .checksum = PKT_SUM_GOOD};
static const struct packet_spec syn_windows = {SYN_OF(cookies_windows), .checksum = PKT_SUM_GOOD};
static const struct packet_spec syn_linux_v6 = {
	.v6 = true, SYN_OF(cookies_linux), .checksum = PKT_SUM_GOOD};

struct answer_row {
	const char *name;
	struct packet_spec spec;
	uint16_t mss; /* offered */
	bool timestamp, sack, scale, ecn;
};

static const struct answer_row answer_rows[] = {
	{"linux", {SYN_OF(cookies_linux)}, 1460, true, true, true},
	{"linux v6", {.v6 = true, SYN_OF(cookies_linux)}, 1440, true, true, true},
	{"linux, one tag", {.vlans = 1, SYN_OF(cookies_linux)}, 1460, true, true, true},
	{"linux v6, two tags", {.vlans = 2, .v6 = true, SYN_OF(cookies_linux)}, 1440, true, true,
		true},
	{"windows", {SYN_OF(cookies_windows)}, 1460, false, true, true},
	{"windows v6", {.v6 = true, SYN_OF(cookies_windows)}, 1440, false, true, true},
	{"macos", {SYN_OF(cookies_macos)}, 1460, true, true, true},
	{"macos v6, one tag", {.vlans = 1, .v6 = true, SYN_OF(cookies_macos)}, 1440, true, true,
		true},
	{"ecn", {.flags = PKT_SYN | 0xc0, OPTIONS(cookies_linux)}, 1460, true, true, true, true},
	{"half of ecn", {.flags = PKT_SYN | 0x40, OPTIONS(cookies_linux)}, 1460, true, true, true},
	{"no options", {.flags = PKT_SYN}, 1460},
	{"no options v6", {.v6 = true, .flags = PKT_SYN}, 1440},
	{"forty NOPs", {.flags = PKT_SYN, .tcp_options = 40}, 1460},
	{"data is not taken", {SYN_OF(cookies_linux), .payload = 1000}, 1460, true, true, true},
	{"odd data v6", {.v6 = true, SYN_OF(cookies_macos), .payload = 777}, 1440, true, true,
		true},
};

static void answer_check(const struct answer_row *row, const struct packet_spec *spec)
{
	struct segment answer = cookies_syn(spec);

	assert_int_equal(answer.flags, PKT_SYN | PKT_ACK | (row->ecn ? 0x40 : 0));
	assert_int_equal(answer.ack_seq, PKT_SEQ + 1);
	assert_int_equal(answer.mss, row->mss);
	assert_true(answer.window > 0);
	assert_int_equal(answer.sack, row->sack);
	assert_int_equal(answer.scale, row->scale ? SLUICE_RCV_WSCALE : SLUICE_COOKIE_NO_SCALE);
	assert_int_equal(answer.has_timestamp, row->timestamp);
	if (row->timestamp)
		assert_int_equal(answer.tsecr, COOKIES_TSVAL);
}

static void test_answers(void **state)
{
	static const enum pkt_checksum sums[] = {PKT_SUM_GOOD, PKT_SUM_PSEUDO};

	cookies_on(SYN_ALWAYS, true);
	for (size_t i = 0; i < array_len(answer_rows); i++)
		for (int j = 0; j < 2; j++) {
			struct packet_spec spec = answer_rows[i].spec;

			spec.checksum = sums[j];
			cookies_expect(answer_rows[i].name, &spec, XDP_TX, COUNTER_syn_cookie);
			assert_int_equal(
				harness_counted().value[COUNTER_syn_data], spec.payload != 0);
			answer_check(&answer_rows[i], &spec);
		}
}

/* Nothing is offered that the kernel would not make a socket with. */
static void test_host_settings_bound_the_offer(void **state)
{
	struct packet_spec spec = {
		.flags = PKT_SYN | 0xc0, OPTIONS(cookies_linux), .checksum = PKT_SUM_GOOD};
	struct segment answer;

	cookies_on(SYN_ALWAYS, true);
	cookies_settings()->flags = 0;
	answer = cookies_syn(&spec);
	assert_false(answer.sack || answer.has_timestamp);
	assert_int_equal(answer.scale, SLUICE_COOKIE_NO_SCALE);
	assert_int_equal(answer.flags, PKT_SYN | PKT_ACK);
	cookies_settings()->flags = SETTINGS_SACK;
	answer = cookies_syn(&spec);
	assert_true(answer.sack && !answer.has_timestamp);
	cookies_settings()->flags = SETTINGS_TIMESTAMPS | SETTINGS_WINDOW_SCALING;
	answer = cookies_syn(&spec);
	assert_true(!answer.sack && answer.has_timestamp);
	assert_int_equal(answer.scale, SLUICE_RCV_WSCALE);
}

static void test_interface_mtu_bounds_the_mss(void **state)
{
	uint32_t ifindex = if_nametoindex("lo"), row = ifindex % SLUICE_INTERFACE_ROWS;
	int map = bpf_map__fd(harness.dp->xdp->maps.interface_slots);
	struct sluice_interface_slots slots = {.ifindex = ifindex, .mtu = 1280}, none = {};

	cookies_on(SYN_ALWAYS, true);
	assert_int_equal(bpf_map_update_elem(map, &row, &slots, BPF_ANY), 0);
	assert_int_equal(cookies_syn(&syn_linux).mss, 1240);
	assert_int_equal(cookies_syn(&syn_linux_v6).mss, 1220);
	slots.mtu = 9000;
	assert_int_equal(bpf_map_update_elem(map, &row, &slots, BPF_ANY), 0);
	assert_int_equal(cookies_syn(&syn_linux).mss, 1460);
	assert_int_equal(bpf_map_update_elem(map, &row, &none, BPF_ANY), 0);
}

static void test_bad_syns(void **state)
{
	static const uint8_t cut[4] = {2, 4, 5, 0xb4}, too_short[4] = {8, 1, 1, 1},
			     beyond[4] = {1, 1, 1, 8};
	static const struct {
		const char *name;
		struct packet_spec spec;
		enum sluice_counter counter;
	} rows[] = {
		{"checksum", {SYN_OF(cookies_linux), .checksum = PKT_SUM_BAD},
			COUNTER_syn_checksum},
		{"checksum v6", {.v6 = true, SYN_OF(cookies_windows), .checksum = PKT_SUM_BAD},
			COUNTER_syn_checksum},
		{"checksum of no options", {.flags = PKT_SYN, .checksum = PKT_SUM_BAD},
			COUNTER_syn_checksum},
		{"checksum of data",
			{SYN_OF(cookies_linux), .payload = 501, .checksum = PKT_SUM_BAD},
			COUNTER_syn_checksum},
		{"option of length 1", {SYN_OF(too_short), .checksum = PKT_SUM_GOOD},
			COUNTER_syn_options},
		{"option beyond the header", {SYN_OF(beyond), .checksum = PKT_SUM_GOOD},
			COUNTER_syn_options},
	};
	struct packet_spec whole = {SYN_OF(cut), .checksum = PKT_SUM_GOOD};

	cookies_on(SYN_ALWAYS, true);
	for (size_t i = 0; i < array_len(rows); i++)
		cookies_expect(rows[i].name, &rows[i].spec, XDP_DROP, rows[i].counter);
	cookies_expect("whole option", &whole, XDP_TX, COUNTER_syn_cookie);
}

/* The client's options come back out of the cookie alone. */
static void test_cookie_remembers(void **state)
{
	struct segment answer;

	cookies_on(SYN_ALWAYS, true);
	answer = cookies_syn(&syn_linux);
	assert_int_equal(answer.seq & COOKIE_SCALE_MASK, 7);
	assert_true(answer.seq & COOKIE_SACK);
	assert_false(answer.seq & COOKIE_ECN);
	assert_int_equal(sluice_cookie_mss(answer.seq, false), 1300);
	assert_int_equal(answer.tsval >> 8, PKT_SEQ & 0xffffff);
	answer = cookies_syn(&syn_windows);
	assert_int_equal(answer.seq & COOKIE_SCALE_MASK, 8);
	assert_int_equal(sluice_cookie_mss(answer.seq, false), 1460);
}

/* A verdict on the ACK, for each listener and each kind of client. */
static void test_good_acks(void **state)
{
	const struct packet_spec *syns[] = {&syn_linux, &syn_windows, &syn_linux_v6};

	for (size_t i = 0; i < array_len(syns); i++) {
		struct packet_spec ack;
		struct segment answer;
		uint8_t bytes[12];

		cookies_on(SYN_ALWAYS, true);
		answer = cookies_syn(syns[i]);
		ack = cookies_ack(syns[i], &answer, bytes, 0, 0);
		cookies_expect("gated, bare", &ack, XDP_DROP, COUNTER_cookie_ack);
		ack.flags = PKT_FIN | PKT_ACK;
		cookies_expect("gated, FIN", &ack, XDP_TX, COUNTER_cookie_fin_rst);
		assert_int_equal(segment_answer(&ack).flags, PKT_RST);
		assert_int_equal(segment_answer(&ack).seq, ack.ack_seq);
		ack = cookies_ack(syns[i], &answer, bytes, 1400, 517);
		cookies_expect("gated, data, no gate", &ack, XDP_PASS, COUNTER_gate_bypassed);
		cookies_check_marked(&ack);

		cookies_on(SYN_ALWAYS, false);
		cookies_next_batch();
		answer = cookies_syn(syns[i]);
		ack = cookies_ack(syns[i], &answer, bytes, 0, 0);
		cookies_expect("open, bare", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_marked(&ack);
		cookies_next_batch();
		ack = cookies_ack(syns[i], &answer, bytes, 0, 300);
		cookies_expect("open, data", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_marked(&ack);
		cookies_next_batch();
		ack = cookies_ack(syns[i], &answer, bytes, 300, 300);
		cookies_expect("open, second segment", &ack, XDP_DROP,
			answer.has_timestamp ? COUNTER_segment_early : COUNTER_cookie_bad);
	}
}

/* The gate is switched while a handshake is under way: it goes on, with and without timestamps, for
 * as long as its cookie lives. Without them it is what it was when the SYN was answered. */
static void test_gate_is_switched(void **state)
{
	const struct packet_spec *syns[] = {&syn_linux, &syn_windows, &syn_linux_v6};

	for (size_t i = 0; i < array_len(syns) * 2; i++) {
		const struct packet_spec *syn = syns[i / 2];
		bool gated = i % 2;
		struct segment answer;
		struct packet_spec ack;
		uint8_t bytes[12];

		cookies_next_batch();
		cookies_on(SYN_ALWAYS, gated);
		answer = cookies_syn(syn);
		harness_listen_as(SYN_ALWAYS, !gated);
		ack = cookies_ack(syn, &answer, bytes, 0, 0);
		if (answer.has_timestamp && !gated) {
			cookies_expect("on", &ack, XDP_DROP, COUNTER_cookie_ack);
		} else {
			cookies_expect("bare", &ack, XDP_PASS, COUNTER_COUNT);
			cookies_check_marked(&ack);
		}
		cookies_next_batch();
		ack = cookies_ack(syn, &answer, bytes, 0, 300);
		cookies_expect("data", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_marked(&ack);
		cookies_next_batch();
		ack.ack_seq ^= 1u << 20;
		cookies_expect("another cookie", &ack, XDP_DROP, COUNTER_cookie_bad);
		ack.ack_seq ^= 1u << 20;
		if (answer.has_timestamp)
			continue;
		cookies_settings()->epoch += 2;
		cookies_expect("too old", &ack, XDP_TX, COUNTER_cookie_stale_rst);
		/* believed no longer: a listener that was what it is for long */
		harness_listeners(NULL, 0);
		harness_listen_as(SYN_ALWAYS, !gated);
		cookies_settings()->epoch -= 2;
		cookies_expect("never switched", &ack, XDP_DROP, COUNTER_cookie_bad);
	}
}

/* What comes in the same batch as the first segment passes, and asks for no second socket. */
static void test_batches(void **state)
{
	const struct packet_spec *syns[] = {&syn_linux, &syn_windows, &syn_linux_v6};

	for (size_t i = 0; i < array_len(syns); i++) {
		struct packet_spec ack, other;
		struct segment answer;
		uint8_t bytes[12], more[12];

		cookies_on(SYN_ALWAYS, false);
		cookies_next_batch();
		answer = cookies_syn(syns[i]);
		ack = cookies_ack(syns[i], &answer, bytes, 0, 0);
		cookies_expect("bare", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_marked(&ack);
		ack = cookies_ack(syns[i], &answer, bytes, 0, 300);
		cookies_expect("data", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_unmarked(&ack);
		ack = cookies_ack(syns[i], &answer, bytes, 300, 300);
		cookies_expect("more data", &ack, XDP_PASS, COUNTER_COUNT);
		cookies_check_unmarked(&ack);
		ack.flags = PKT_RST | PKT_ACK;
		cookies_expect("RST", &ack, XDP_PASS, COUNTER_COUNT);
		/* nobody else gains by it */
		other = *syns[i];
		other.sport += 256; /* the same row of the table */
		ack = cookies_ack(&other, &answer, more, 0, 300);
		cookies_expect("another client", &ack, XDP_DROP, COUNTER_cookie_bad);
		other = *syns[i];
		other.src = other.v6 ? "2001:db8:2::8" : "198.51.100.8";
		ack = cookies_ack(&other, &answer, more, 0, 300);
		cookies_expect("the same in another name", &ack, XDP_DROP, COUNTER_cookie_bad);
		ack.flags = PKT_RST | PKT_ACK;
		cookies_expect("RST in another name", &ack, XDP_DROP, COUNTER_reset_unknown);
		cookies_next_batch();
		ack = cookies_ack(syns[i], &answer, bytes, 0, 0);
		ack.flags = PKT_RST | PKT_ACK;
		cookies_expect("RST, later", &ack, XDP_DROP, COUNTER_reset_unknown);
	}
}

static void test_epochs(void **state)
{
	static const struct {
		int later;
		int verdict;
		enum sluice_counter counter;
	} rows[] = {
		{-3, XDP_DROP, COUNTER_cookie_bad},
		{-1, XDP_PASS, COUNTER_gate_bypassed},
		{0, XDP_PASS, COUNTER_gate_bypassed},
		{1, XDP_PASS, COUNTER_gate_bypassed},
		{2, XDP_TX, COUNTER_cookie_stale_rst},
		{3, XDP_DROP, COUNTER_cookie_bad},
		{4, XDP_DROP, COUNTER_cookie_bad},
		{6, XDP_DROP, COUNTER_cookie_bad},
	};
	struct segment answer;
	struct packet_spec ack;
	uint8_t bytes[12];

	cookies_on(SYN_ALWAYS, true);
	answer = cookies_syn(&syn_linux);
	for (size_t i = 0; i < array_len(rows); i++) {
		ack = cookies_ack(&syn_linux, &answer, bytes, 0, 100);
		cookies_settings()->epoch = COOKIES_EPOCH + (uint32_t)rows[i].later;
		cookies_expect("epoch", &ack, rows[i].verdict, rows[i].counter);
	}
	cookies_settings()->epoch = COOKIES_EPOCH + 2;
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 0);
	cookies_expect("stale and bare", &ack, XDP_DROP, COUNTER_cookie_bad);
	ack.flags = PKT_FIN | PKT_ACK;
	cookies_expect("stale FIN", &ack, XDP_TX, COUNTER_cookie_stale_rst);
}

/* A rotated secret: the old one is believed while it is second, and no longer. */
static void test_two_keys(void **state)
{
	struct sluice_settings *settings = cookies_settings();
	struct segment answer;
	struct packet_spec ack;
	uint8_t bytes[12];

	cookies_on(SYN_ALWAYS, true);
	answer = cookies_syn(&syn_linux);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 100);
	memcpy(settings->cookie_secrets[0].keys[1], settings->cookie_secrets[0].keys[0], 16);
	settings->cookie_secrets[0].keys[0][0] = 42;
	cookies_expect("old key", &ack, XDP_PASS, COUNTER_gate_bypassed);
	assert_int_not_equal(cookies_syn(&syn_linux).seq, answer.seq);
	memset(settings->cookie_secrets[0].keys[1], 0, 16);
	cookies_expect("forgotten key", &ack, XDP_DROP, COUNTER_cookie_bad);
}

/* Every field that the cookie binds, changed alone. */
static void test_forgeries(void **state)
{
	struct packet_spec ack, forged;
	struct segment answer;
	uint8_t bytes[12];

	cookies_on(SYN_ALWAYS, true);
	answer = cookies_syn(&syn_linux);
	ack = cookies_ack(&syn_linux, &answer, bytes, 0, 100);
	for (int bit = 0; bit < 32; bit++) {
		forged = ack;
		forged.ack_seq ^= 1u << bit;
		cookies_expect("cookie", &forged, XDP_DROP, COUNTER_cookie_bad);
	}
	for (int bit = 0; bit < 32; bit++) {
		bytes[8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
		cookies_expect("echoed timestamp", &ack, XDP_DROP, COUNTER_cookie_bad);
		bytes[8 + bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
	for (int bit = 16; bit < 24; bit++) {
		forged = ack;
		forged.seq += 1u << bit;
		cookies_expect("place in the stream", &forged, XDP_DROP, COUNTER_cookie_bad);
	}
	forged = ack;
	forged.tcp_options = 0;
	forged.options = NULL;
	cookies_expect("timestamps left out", &forged, XDP_DROP, COUNTER_cookie_bad);
	forged = ack;
	forged.src = "198.51.100.8";
	cookies_expect("address", &forged, XDP_DROP, COUNTER_cookie_bad);
	forged = ack;
	forged.sport = 40001;
	cookies_expect("port", &forged, XDP_DROP, COUNTER_cookie_bad);
	cookies_expect("unchanged", &ack, XDP_PASS, COUNTER_gate_bypassed);
}

/* A few segments of nothing are answered a second, the rest is dropped. */
static void test_resets_are_bounded(void **state)
{
	static const struct packet_spec stray = {.flags = PKT_ACK, .ack_seq = 7, .payload = 10};
	struct frame frame = packet_build(&stray);
	struct dp_counters counted;

	cookies_on(SYN_ALWAYS, true);
	cookies_settings()->resets =
		dp_limit_ticks(&(struct dp_limit){.rate_per_s = 1, .burst = 20});
	cookies_expect("stray", &stray, XDP_TX, COUNTER_cookie_bad_rst);
	assert_int_equal(segment_answer(&stray).seq, 7);
	assert_int_equal(segment_answer(&stray).flags, PKT_RST);
	harness_count_from_here();
	for (int i = 0; i < 100; i++)
		harness_run_repeat(frame.data, frame.len, 1);
	counted = harness_counted();
	assert_int_equal(counted.value[COUNTER_cookie_bad_rst], 19);
	assert_int_equal(counted.value[COUNTER_cookie_bad], 81);
}

static void test_modes(void **state)
{
	struct dp_listener listener = {.id = 1,
		.name = "web",
		.protocol = IPPROTO_TCP,
		.syn_mode = SYN_UNDER_ATTACK,
		.limits = {[LIMIT_SYNS] = {.rate_per_s = 1, .burst = 5}}};

	cookies_on(SYN_KERNEL, true);
	cookies_expect("off", &syn_linux, XDP_PASS, COUNTER_syn);
	cookies_on(SYN_ALWAYS, true);
	cookies_settings()->handover = HANDOVER_KERNEL_COOKIES;
	cookies_expect("kernel cookies", &syn_linux, XDP_PASS, COUNTER_syn);
	cookies_settings()->handover = HANDOVER_NONE;
	cookies_expect("no cookies", &syn_linux, XDP_PASS, COUNTER_syn);
	cookies_settings()->handover = HANDOVER_OWN_COOKIES;
	listener.address = harness_address(PKT_V4_LISTENER, PKT_PORT);
	harness_listeners(&listener, 1);
	for (int i = 0; i < 5; i++)
		cookies_expect("peace", &syn_linux, XDP_PASS, COUNTER_syn);
	cookies_expect("attack", &syn_linux, XDP_TX, COUNTER_syn_cookie);
	assert_int_equal(harness_counted().value[COUNTER_attack_began], 1);
	cookies_expect("attack", &syn_linux, XDP_TX, COUNTER_syn_cookie);
	assert_int_equal(harness_counted().value[COUNTER_attack_began], 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_host_settings_bound_the_offer),
		cmocka_unit_test(test_interface_mtu_bounds_the_mss),
		cmocka_unit_test(test_bad_syns),
		cmocka_unit_test(test_cookie_remembers),
		cmocka_unit_test(test_good_acks),
		cmocka_unit_test(test_gate_is_switched),
		cmocka_unit_test(test_batches),
		cmocka_unit_test(test_epochs),
		cmocka_unit_test(test_two_keys),
		cmocka_unit_test(test_forgeries),
		cmocka_unit_test(test_resets_are_bounded),
		cmocka_unit_test(test_modes),
	};

	return cmocka_run_group_tests_name("bpf/cookie", tests, harness_setup, harness_teardown);
}
