/*
 * SYN cookies in tests: what the packet plane answers SYNs with is taken apart, and ACKs are made
 * that bring it back. The secret and the epoch are the test's own.
 */
#ifndef TESTS_BPF_COOKIES_H
#define TESTS_BPF_COOKIES_H

#include "harness.h"

#include <sluice/cookie.h>

#define COOKIES_EPOCH 28000000u
#define COOKIES_TSVAL 0x11223344u
#define COOKIES_ALL_FLAGS                                                                          \
	(SETTINGS_WINDOW_SCALING | SETTINGS_SACK | SETTINGS_TIMESTAMPS | SETTINGS_ECN)

/* What Linux sends: MSS 1400, SACK, timestamps, scale 7. */
static const uint8_t cookies_linux[20] = {
	2, 4, 0x05, 0x78, 4, 2, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 1, 3, 3, 7};
/* Windows: MSS 1460, scale 8, SACK. */
static const uint8_t cookies_windows[12] = {2, 4, 0x05, 0xb4, 1, 3, 3, 8, 1, 1, 4, 2};
/* macOS: MSS 1460, scale 6, timestamps, SACK, end. */
static const uint8_t cookies_macos[24] = {
	2, 4, 0x05, 0xb4, 1, 3, 3, 6, 1, 1, 8, 10, 0x11, 0x22, 0x33, 0x44, 0, 0, 0, 0, 4, 2, 0, 0};

static inline struct sluice_settings *cookies_settings(void)
{
	return harness.dp->settings;
}

/* From here on XDP answers SYNs. */
static inline void cookies_on(enum listener_syn_mode mode, bool gated)
{
	struct sluice_settings *settings = cookies_settings();

	harness_listen_as(mode, gated);
	settings->handover = HANDOVER_OWN_COOKIES;
	settings->flags = COOKIES_ALL_FLAGS;
	settings->epoch = COOKIES_EPOCH;
	settings->cookie_slot = 0;
	settings->cookie_secrets[0] =
		(struct sluice_cookie_secret){.keys[0] = {0x0123456789abcdef, 0xfedcba9876543210}};
	settings->meta_magic = 0x5a5a5a5a12345678;
	settings->meta_missing = 0;
	memset(&settings->resets, 0, sizeof(settings->resets));
	harness_alive(true);
}

static inline uint32_t cookies_u32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* A TCP segment that came out of the program. */
struct segment {
	const uint8_t *tcp;
	uint32_t seq, ack_seq;
	uint16_t window, mss;
	uint8_t flags, options_len;
	bool has_timestamp, sack;
	uint8_t scale; /* SLUICE_COOKIE_NO_SCALE: none */
	uint32_t tsval, tsecr;
};

static inline void segment_options(struct segment *segment)
{
	const uint8_t *at = segment->tcp + 20, *end = at + segment->options_len;

	while (at < end && *at) {
		if (*at == 1) {
			at++;
			continue;
		}
		assert_true(at + 1 < end && at[1] >= 2 && at + at[1] <= end);
		if (*at == 2)
			segment->mss = (uint16_t)(at[2] << 8 | at[3]);
		else if (*at == 3)
			segment->scale = at[2];
		else if (*at == 4)
			segment->sack = true;
		else if (*at == 8) {
			segment->has_timestamp = true;
			segment->tsval = cookies_u32(at + 2);
			segment->tsecr = cookies_u32(at + 6);
		} else {
			fail_msg("option %u", *at);
		}
		at += at[1];
	}
}

/* The answer to `spec` in harness.out: checks lengths, addresses, ports and checksums. */
static inline struct segment segment_answer(const struct packet_spec *spec)
{
	struct frame sent = packet_build(spec);
	size_t l3 = packet_l3(spec), ip_len = spec->v6 ? 40 : 20, at = spec->v6 ? 8 : 12;
	size_t address = spec->v6 ? 16 : 4;
	const uint8_t *out = harness.out.data, *ip = out + l3, *sent_ip = sent.data + l3;
	const uint8_t *old = sent.data + sent.len - pkt_tcp_len(spec);
	size_t tcp_len =
		spec->v6 ? (size_t)(ip[4] << 8 | ip[5]) : (size_t)(ip[2] << 8 | ip[3]) - 20;
	struct segment segment = {.tcp = ip + ip_len, .scale = SLUICE_COOKIE_NO_SCALE};

	assert_memory_equal(out, sent.data + 6, 6);
	assert_memory_equal(out + 6, sent.data, 6);
	assert_memory_equal(out + 12, sent.data + 12, l3 - 12);
	assert_memory_equal(ip + at, sent_ip + at + address, address);
	assert_memory_equal(ip + at + address, sent_ip + at, address);
	assert_true(harness.out.len >= l3 + ip_len + tcp_len);
	assert_true(harness.out.len <= (l3 + ip_len + tcp_len < 60 ? 60 : l3 + ip_len + tcp_len));
	if (!spec->v6)
		assert_int_equal(pkt_fold(pkt_sum(ip, 20)), 0);
	assert_int_equal(
		pkt_fold(pkt_sum(segment.tcp, tcp_len) + pkt_pseudo_sum(spec, ip, tcp_len)), 0);
	assert_memory_equal(segment.tcp, old + 2, 2);
	assert_memory_equal(segment.tcp + 2, old, 2);
	segment.seq = cookies_u32(segment.tcp + 4);
	segment.ack_seq = cookies_u32(segment.tcp + 8);
	segment.flags = segment.tcp[13];
	segment.window = (uint16_t)(segment.tcp[14] << 8 | segment.tcp[15]);
	segment.options_len = (uint8_t)((segment.tcp[12] >> 4) * 4 - 20);
	assert_int_equal(tcp_len, 20u + segment.options_len);
	segment_options(&segment);
	return segment;
}

/* Sends the SYN and takes the SYN-ACK. */
static inline struct segment cookies_syn(const struct packet_spec *spec)
{
	assert_int_equal(harness_run(spec), XDP_TX);
	return segment_answer(spec);
}

/* The options of every later segment of a connection with timestamps. */
static inline const uint8_t *cookies_echo(const struct segment *syn_ack, uint8_t bytes[12])
{
	static const uint8_t head[4] = {1, 1, 8, 10};

	memcpy(bytes, head, 4);
	for (int i = 0; i < 4; i++) {
		bytes[4 + i] = (uint8_t)((COOKIES_TSVAL + 1) >> (24 - 8 * i));
		bytes[8 + i] = (uint8_t)(syn_ack->tsval >> (24 - 8 * i));
	}
	return bytes;
}

/* The ACK of `syn_ack` by the client that sent `syn`, `offset` bytes into its stream. */
static inline struct packet_spec cookies_ack(const struct packet_spec *syn,
	const struct segment *syn_ack, uint8_t bytes[12], uint32_t offset, uint16_t payload)
{
	struct packet_spec ack = *syn;

	ack.flags = payload ? PKT_ACK | PKT_PSH : PKT_ACK;
	ack.options = syn_ack->has_timestamp ? cookies_echo(syn_ack, bytes) : NULL;
	ack.tcp_options = syn_ack->has_timestamp ? 12 : 0;
	ack.seq = (syn->seq ? syn->seq : PKT_SEQ) + 1 + offset;
	ack.ack_seq = syn_ack->seq + 1;
	ack.payload = payload;
	return ack;
}

/* As if longer than any batch had gone by (bpf/recent.h). */
static inline void cookies_next_batch(void)
{
	int fd = bpf_map__fd(harness.dp->xdp->maps.recent), cpus = libbpf_num_possible_cpus();
	__u32 rows = bpf_map__max_entries(harness.dp->xdp->maps.recent);
	uint8_t *zeros = calloc((size_t)cpus, bpf_map__value_size(harness.dp->xdp->maps.recent));

	assert_non_null(zeros);
	for (__u32 row = 0; row < rows; row++)
		assert_int_equal(bpf_map_update_elem(fd, &row, zeros, BPF_ANY), 0);
	free(zeros);
}

/* Runs the frame: the verdict, and exactly one counter of those that tell what became of it. */
static inline void cookies_expect(
	const char *name, const struct packet_spec *spec, int verdict, enum sluice_counter counter)
{
	struct dp_counters counted;
	int got;

	harness_alive(true);
	harness_count_from_here();
	got = harness_run(spec);
	counted = harness_counted();
	if (got != verdict)
		fail_msg("%s: verdict %d, not %d", name, got, verdict);
	if (counter != COUNTER_COUNT && counted.value[counter] != 1)
		fail_msg("%s: not counted as %s", name, dp_counter_describe(counter)->name);
	assert_int_equal(harness_sum(&counted, COUNTER_DROP), verdict == XDP_DROP);
	assert_int_equal(harness_sum(&counted, COUNTER_TX), verdict == XDP_TX);
}

/* The frame passed as it came. */
static inline void cookies_check_unmarked(const struct packet_spec *spec)
{
	struct frame frame = packet_build(spec);

	assert_int_equal(harness.out.len, frame.len);
	assert_memory_equal(harness.out.data, frame.data, frame.len);
}

/* The frame passed, marked for the tc program: metadata in front of it, otherwise untouched. */
static inline void cookies_check_marked(const struct packet_spec *spec)
{
	struct frame frame = packet_build(spec);

	assert_int_equal(harness.out.len, frame.len + sizeof(struct sluice_meta));
	assert_memory_equal(harness.out.data, &cookies_settings()->meta_magic, 8);
	assert_memory_equal(harness.out.data + 8, frame.data, frame.len);
}

#endif
