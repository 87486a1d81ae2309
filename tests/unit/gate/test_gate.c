/* The gate between a fake AF_XDP socket and a fake TUN device: what gets in, what is answered. */
#define LOG_MODULE "test"
#include "core/log.h"
#include "gate_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static struct rig rig;
static struct rig_client client;
static struct hello_bytes hello, message;
static uint8_t frame[RIG_FRAME_BYTES];

/* `padding` makes it longer than one segment. */
static void make_hello(const char *name, size_t padding, size_t record_len)
{
	struct hello_raw raw = {.name = name,
		.extensions = padding ? "0,a,d,2b,33,15" : "0,a,d,2b,33",
		.padding_len = padding};

	hello_message(&raw, &message);
	hello_records(&message, record_len, &hello);
}

static void start(int client_flags, size_t padding)
{
	make_hello("www.test", padding, 16384);
	rig_init(&rig, NULL, 0);
	rig_client_init(&client, &rig, RIG_CLIENT, RIG_LOCAL, client_flags, &hello);
}

static int stop(void **state)
{
	rig_fini(&rig);
	return 0;
}

static void say(size_t from, size_t to)
{
	rig_client_send(&client, &rig, from, to);
}

static uint64_t count(enum gate_reason reason)
{
	return rig_count(&rig, reason);
}

/* One packet came out: the client's stream from its first byte, and checksums that hold. */
static void check_released(size_t times, size_t bytes)
{
	const struct rig_packet *packet;
	const uint8_t *tcp;
	uint32_t tcp_len, header;
	uint16_t field;

	assert_int_equal(rig.n_released, times);
	assert_int_equal(count(GATE_released), times);
	packet = rig_last_released(&rig);
	tcp = packet->bytes + packet->ip_bytes;
	tcp_len = packet->len - packet->ip_bytes;
	header = (uint32_t)(tcp[TCP_DATA_OFFSET] >> 4) * 4;
	assert_int_equal(tcp_len - header, bytes);
	assert_memory_equal(tcp + header, client.stream, bytes);
	assert_int_equal(frame_get32(tcp + TCP_SEQ), client.isn + 1);
	assert_int_equal(frame_get32(tcp + TCP_ACK), client.segment.ack);
	if (packet->ip_bytes == IPV4_BYTES) {
		assert_int_equal(frame_get16(packet->bytes + IPV4_TOTAL_LENGTH), packet->len);
		assert_int_equal(frame_fold(frame_sum(packet->bytes, IPV4_BYTES, 0)), 0xffff);
	} else {
		assert_int_equal(frame_get16(packet->bytes + IPV6_PAYLOAD_LENGTH), tcp_len);
	}
	memcpy(&field, tcp + TCP_CHECKSUM, 2);
	if (packet->partial)
		assert_int_equal(field, frame_fold(frame_sum_pseudo(packet->bytes,
						packet->ip_bytes == IPV6_BYTES, tcp_len)));
	else
		assert_int_equal(frame_fold(frame_sum(tcp, tcp_len,
					 frame_sum_pseudo(packet->bytes,
						 packet->ip_bytes == IPV6_BYTES, tcp_len))),
			0xffff);
}

static bool was_released(void)
{
	return gate_released_take(
		rig.node.released, &client.segment.from, rig.policy->spec.listener_id, rig.now_us);
}

/* The TCP header of the latest reply. */
static const uint8_t *reply_tcp(void)
{
	const struct rig_packet *packet = rig_last_sent(&rig);
	uint32_t at = 12;

	while (frame_get16(packet->bytes + at) == 0x8100 ||
		frame_get16(packet->bytes + at) == 0x88a8)
		at += 4;
	at += 2;
	return packet->bytes + at + (frame_get16(packet->bytes + at - 2) == 0x86dd ? 40 : 20);
}

static void check_rst(size_t sent)
{
	assert_int_equal(rig.n_sent, sent);
	assert_int_equal(reply_tcp()[TCP_FLAGS], FRAME_RST);
	assert_int_equal(frame_get32(reply_tcp() + TCP_SEQ), client.segment.ack);
}

static void check_ack(size_t sent, size_t bytes)
{
	assert_int_equal(rig.n_sent, sent);
	assert_int_equal(reply_tcp()[TCP_FLAGS], FRAME_ACK);
	assert_int_equal(frame_get32(reply_tcp() + TCP_SEQ), client.segment.ack);
	assert_int_equal(frame_get32(reply_tcp() + TCP_ACK), client.isn + 1 + (uint32_t)bytes);
}

/* --- whole in one frame */
static void a_hello_in_one_frame(
	const char *from, const char *to, int flags, int tags, bool partial)
{
	uint32_t len;

	make_hello("www.test", 0, 16384);
	rig_init(&rig, NULL, 0);
	rig_listen(&rig, to);
	rig_client_init(&client, &rig, from, to, flags, &hello);
	client.segment.tags = tags;
	client.segment.partial = partial;
	assert_false(was_released());
	len = rig_client_frame(&client, 0, hello.len, FRAME_ACK | FRAME_PSH | FRAME_FIN, frame);
	rig_take(&rig, frame, len);
	check_released(1, hello.len);
	assert_int_equal(rig_last_released(&rig)->partial, partial);
	assert_memory_equal(
		rig_last_released(&rig)->bytes, frame + 14 + 4 * tags, len - 14 - 4u * tags);
	assert_int_equal(rig.n_sent, 0);
	assert_int_equal(rig.worker.counts.frames, 1);
	assert_int_equal(rig.worker.counts.flights_open, 0);
	assert_true(was_released());
	rig_fini(&rig);
}

static void whole_in_one_frame(void **state)
{
	int flags, tags;

	for (flags = 0; flags < 4; flags++) /* timestamps, the kernel's cookie */
		for (tags = 0; tags <= 2; tags++) {
			a_hello_in_one_frame(RIG_CLIENT, RIG_LOCAL, flags, tags, tags == 1);
			a_hello_in_one_frame(
				"[2001:db8::7]:40000", "[2001:db8::1]:443", flags, tags, tags == 1);
		}
}

/* --- in pieces */
static void two_segments(int flags, bool swapped, bool v6)
{
	size_t cut = 1400;

	make_hello("www.test", 1400, 16384);
	assert_true(hello.len > 1500);
	rig_init(&rig, NULL, 0);
	if (v6)
		rig_listen(&rig, "[2001:db8::1]:443");
	rig_client_init(&client, &rig, v6 ? "[2001:db8::7]:40000" : RIG_CLIENT,
		v6 ? "[2001:db8::1]:443" : RIG_LOCAL, flags, &hello);
	say(swapped ? cut : 0, swapped ? hello.len : cut);
	assert_int_equal(rig.n_released, 0);
	assert_int_equal(rig.worker.counts.flights_open, 1);
	say(swapped ? 0 : cut, swapped ? cut : hello.len);
	check_released(1, hello.len);
	assert_true(rig_last_released(&rig)->partial);
	assert_int_equal(rig.n_sent, 0);
	assert_int_equal(rig.worker.counts.flights_open, 0);
	assert_int_equal(count(GATE_partial), 1);
	assert_int_equal(count(GATE_reordered), swapped);
	rig_pass_ms(&rig, 20000);
	assert_int_equal(rig.n_sent, 0);
	rig_fini(&rig);
}

static void in_two_segments(void **state)
{
	int flags, swapped, v6;

	for (flags = 0; flags < 4; flags++)
		for (swapped = 0; swapped < 2; swapped++)
			for (v6 = 0; v6 < 2; v6++)
				two_segments(flags, swapped, v6);
}

/* Without timestamps, a second segment that looks like the first of a far longer flight. */
static void a_second_segment_like_a_first(void **state)
{
	static const uint8_t head[] = {0, 2, 0x13, 1, 1, 0, 0x2f, 0xd1, 0xfa, 0xfa, 0x2f, 0xcd};
	uint8_t body[1400] = "\x16\3\1\x30\0\1\0\x2f\xfc\3\3";
	struct hello_raw raw = {.name = "www.test",
		.extensions = "0,a,d,2b,33,ffa5",
		.own_type = 0xffa5,
		.own_body = {(const char *)body, sizeof(body)}};
	size_t cut;

	memcpy(body + 44, head, sizeof(head));
	start(0, 0);
	hello_stream(&raw, &hello);
	cut = hello.len - sizeof(body);
	say(cut, hello.len);
	assert_int_equal(rig.n_sent + rig.n_released, 0);
	say(0, cut);
	check_released(1, hello.len);
}

static void a_fin_is_kept(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	rig_take(&rig, frame,
		rig_client_frame(&client, 1000, hello.len, FRAME_ACK | FRAME_FIN, frame));
	say(0, 1000);
	check_released(1, hello.len);
	assert_int_equal(
		rig_last_released(&rig)->bytes[20 + TCP_FLAGS], FRAME_ACK | FRAME_PSH | FRAME_FIN);
}

static void segments_of_one_byte(int flags, size_t record_len, bool backwards)
{
	size_t i, at;

	make_hello("www.test", 700, record_len);
	rig_init(&rig, NULL, 0);
	rig_client_init(&client, &rig, RIG_CLIENT, RIG_LOCAL, flags, &hello);
	for (i = 0; i < hello.len; i++) {
		at = backwards ? hello.len - 1 - i : i;
		assert_int_equal(rig.n_released, 0);
		say(at, at + 1);
	}
	check_released(1, hello.len);
	assert_int_equal(count(GATE_partial), hello.len - 1);
	assert_int_equal(rig.worker.counts.frames, hello.len);
	if (!backwards) /* or the client's window would stay shut */
		assert_true(rig.n_sent >= hello.len / 8 - 1);
	rig_fini(&rig);
}

static void in_segments_of_one_byte(void **state)
{
	segments_of_one_byte(RIG_TIMESTAMPS, 16384, false);
	segments_of_one_byte(RIG_TIMESTAMPS, 1, false); /* and records of one byte */
	segments_of_one_byte(RIG_TIMESTAMPS, 1, true);
	segments_of_one_byte(0, 1, false);
	segments_of_one_byte(0, 16384, true);
}

static void a_lost_segment(void **state)
{
	start(RIG_TIMESTAMPS, 2800);
	say(0, 1400);
	say(2800, hello.len); /* the second is lost */
	rig_pass_ms(&rig, 10);
	check_ack(1, 1400);
	assert_memory_equal(reply_tcp() + 32, "\1\1\5\x0a", 4); /* and says so */
	assert_int_equal(frame_get32(reply_tcp() + 36), client.isn + 1 + 2800);
	assert_int_equal(frame_get32(reply_tcp() + 40), client.isn + 1 + (uint32_t)hello.len);
	rig_pass_ms(&rig, 40);
	say(1400, 2800);
	check_released(1, hello.len);
	assert_int_equal(rig.n_sent, 1);
}

/* --- acknowledgements of what is there */
static void acknowledged_after_10_ms(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	rig_pass_ms(&rig, 9);
	assert_int_equal(rig.n_sent, 0);
	rig_pass_ms(&rig, 1);
	check_ack(1, 1000);
	assert_int_equal(count(GATE_partial_acked), 1);
	assert_int_equal(frame_get16(reply_tcp() + TCP_WINDOW), 64240 >> 8);
	assert_int_equal(frame_get32(reply_tcp() + 24), client.segment.tsecr);
	assert_int_equal(frame_get32(reply_tcp() + 28), client.segment.tsval - 1);
	rig_pass_ms(&rig, 300); /* once, until there is more */
	assert_int_equal(rig.n_sent, 1);
	say(1000, hello.len);
	check_released(1, hello.len);
}

static void acknowledged_at_once_when_repeated(void **state)
{
	start(0, 1400);
	say(0, 1000);
	say(0, 1000);
	check_ack(1, 1000);
	assert_int_equal(count(GATE_duplicate), 1);
	assert_int_equal(reply_tcp()[TCP_DATA_OFFSET], 5 << 4);
	rig_pass_ms(&rig, 50);
	assert_int_equal(rig.n_sent, 1);
	say(200, 800);
	check_ack(2, 1000);
}

static void windows(void **state)
{
	static const struct {
		int flags;
		uint16_t window;
	} rows[] = {{0, 250}, {RIG_NO_SCALE, 64240}, {RIG_KERNEL_COOKIE, 4096}};
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		start(rows[i].flags, 1400);
		say(0, 1000);
		say(0, 1000);
		assert_int_equal(frame_get16(reply_tcp() + TCP_WINDOW), rows[i].window);
		rig_fini(&rig);
	}
	start(0, 0);
}

/* Where the start is not known there is nothing to acknowledge. */
static void not_acknowledged_before_the_start(void **state)
{
	start(RIG_NO_SACK, 1400);
	say(1000, hello.len);
	say(1000, hello.len);
	rig_pass_ms(&rig, 100);
	assert_int_equal(rig.n_sent, 0);
	say(0, 1000);
	check_released(1, hello.len);
}

static void no_sack_for_who_has_none(void **state)
{
	start(RIG_NO_SACK | RIG_TIMESTAMPS, 1400);
	say(1000, hello.len);
	rig_pass_ms(&rig, 10);
	check_ack(1, 0);
	assert_int_equal(reply_tcp()[TCP_DATA_OFFSET], 8 << 4);
}

/* The timers are the loop's. */
static void loop_ends(struct timer *timer)
{
	loop_stop(rig.io.loop);
}

static void timers_of_the_loop(void **state)
{
	struct timer deadline = {.fire = loop_ends};

	start(RIG_TIMESTAMPS, 1400);
	rig.on_loop = true;
	say(0, 1000);
	timer_set(rig.io.loop, &deadline, 50);
	loop_run(rig.io.loop);
	check_ack(1, 1000);
	assert_int_equal(rig.n_flushed, 1);
}

/* --- refusals */
static void a_name_nobody_knows(void **state)
{
	struct gate_policy_spec spec = {.refuse_unknown_name = true, .refuse_by_alert = true};
	int by_alert, cut;

	for (by_alert = 0; by_alert < 2; by_alert++)
		for (cut = 0; cut < 2; cut++) {
			spec.refuse_by_alert = by_alert;
			make_hello("other.test", 0, 16384);
			rig_init(&rig, &spec, 0);
			rig_client_init(&client, &rig, RIG_CLIENT, RIG_LOCAL, cut, &hello);
			if (cut)
				say(0, 50);
			say(cut ? 50 : 0, hello.len);
			assert_int_equal(count(GATE_name_unknown), 1);
			assert_int_equal(rig.n_released, 0);
			assert_int_equal(rig.worker.counts.flights_open, 0);
			if (by_alert) {
				const uint8_t *tcp = reply_tcp();

				assert_int_equal(tcp[TCP_FLAGS], FRAME_ACK | FRAME_PSH | FRAME_FIN);
				assert_int_equal(frame_get32(tcp + TCP_ACK),
					client.isn + 1 + (uint32_t)hello.len);
				assert_memory_equal(tcp + (tcp[TCP_DATA_OFFSET] >> 4) * 4,
					"\x15\3\3\0\2\2\x70", 7);
			} else {
				check_rst(1);
			}
			rig_fini(&rig);
		}
	start(0, 0);
}

static void a_copy_with_other_bytes(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	hello.at[700] ^= 1;
	say(600, hello.len);
	assert_int_equal(count(GATE_overlap_mismatch), 1);
	check_rst(1);
	assert_int_equal(rig.n_released, 0);
	assert_int_equal(rig.worker.counts.flights_open, 0);
}

/* What was judged and what the kernel gets are the same bytes, also of a hello whose second half
 * came twice before its first. */
static void the_first_copy_is_judged(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(1000, hello.len);
	hello.at[hello.len - 1] ^= 1;
	say(1000, hello.len);
	assert_int_equal(count(GATE_overlap_mismatch), 1);
	hello.at[hello.len - 1] ^= 1;
	say(0, 1000); /* begins again */
	assert_int_equal(rig.n_released, 0);
	say(1000, hello.len);
	check_released(1, hello.len);
}

static void too_many_gaps(void **state)
{
	size_t i;

	start(RIG_TIMESTAMPS, 1400);
	for (i = 0; i < FLIGHT_RANGES_MAX; i++)
		say(i * 20 + 1, i * 20 + 2);
	assert_int_equal(count(GATE_flight_pieces), 0);
	say(i * 20 + 1, i * 20 + 2);
	assert_int_equal(count(GATE_flight_pieces), 1);
	check_rst(rig.n_sent);
}

static void too_long(void **state)
{
	size_t at;

	start(RIG_TIMESTAMPS, 14000);
	hello_records(&message, 1, &hello); /* 84 KB */
	client.stream_bytes = hello.len;
	for (at = 0; at < 60000 && !count(GATE_flight_too_long); at += 1400)
		say(at, at + 1400);
	assert_int_equal(count(GATE_flight_too_long), 1);
	assert_int_equal(at / 1400, FLIGHT_BYTES_MAX / 1400 + 1);
	check_rst(rig.n_sent);
	assert_int_equal(rig.worker.counts.flights_open, 0);
}

static void a_hello_of_16_kib(void **state)
{
	size_t at;

	start(RIG_TIMESTAMPS, 16000);
	for (at = 0; at < hello.len; at += 1400)
		say(at, at + 1400 < hello.len ? at + 1400 : hello.len);
	check_released(1, hello.len);
}

static void what_is_not_tls(void **state)
{
	static const char request[] = "GET / HTTP/1.1\r\nHost: www.test\r\n\r\n";

	start(RIG_TIMESTAMPS, 0);
	client.stream = (const uint8_t *)request;
	say(0, sizeof(request) - 1);
	assert_int_equal(count(GATE_not_tls), 1);
	check_rst(1);
	/* Without timestamps it might be the second segment: until its time is up. */
	rig_client_init(&client, &rig, "192.0.2.8:1024", RIG_LOCAL, 0, &hello);
	client.stream = (const uint8_t *)request;
	say(0, sizeof(request) - 1);
	assert_int_equal(rig.n_sent, 1);
	rig_pass_ms(&rig, 5000);
	assert_int_equal(count(GATE_flight_timeout), 1);
	check_rst(2);
}

static void frames_that_are_none(void **state)
{
	uint32_t len;

	start(RIG_TIMESTAMPS, 0);
	rig_take(&rig, "", 0);
	len = rig_client_frame(&client, 0, hello.len, 0, frame);
	rig_take(&rig, frame, len - 1);
	assert_int_equal(count(GATE_bad_frame), 2);
	frame[len - 1] ^= 1;
	rig_take(&rig, frame, len);
	assert_int_equal(count(GATE_bad_checksum), 1);
	assert_int_equal(rig.worker.counts.frames, 3);
	assert_int_equal(rig.n_sent + rig.n_released, 0);
}

/* --- time and room */
static void incomplete_for_too_long(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	rig_pass_ms(&rig, 10);
	rig_pass_ms(&rig, 4989);
	assert_int_equal(count(GATE_flight_timeout), 0);
	rig_pass_ms(&rig, 1);
	assert_int_equal(count(GATE_flight_timeout), 1);
	check_rst(2);
	assert_int_equal(rig.worker.counts.flights_open, 0);
	say(0, 1000); /* nothing is remembered */
	say(1000, hello.len);
	check_released(1, hello.len);
}

/* Copies of a flight that was released: nothing may be answered to them. */
static void a_late_second_segment(void **state)
{
	int flags;

	for (flags = 0; flags <= RIG_TIMESTAMPS; flags++) {
		start(flags, 1400);
		say(0, 1000);
		say(1000, hello.len);
		say(1000, hello.len);
		say(1300, hello.len);
		assert_int_equal(count(GATE_duplicate), 2);
		assert_int_equal(rig.worker.counts.flights_open, 0);
		assert_int_equal(rig.n_sent, 0);
		say(0, 1000); /* the kernel did not take it: once more */
		say(1000, hello.len);
		check_released(2, hello.len);
		client.isn -= 500; /* bytes before those */
		say(0, 500);
		assert_int_equal(count(GATE_duplicate), 2);
		rig_fini(&rig);
	}
	start(RIG_TIMESTAMPS, 1400);
}

/* Where the first was never seen there is nothing to reset. */
static void only_a_second_segment(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(1000, hello.len);
	rig_pass_ms(&rig, 10);
	rig_pass_ms(&rig, 5000);
	assert_int_equal(count(GATE_flight_timeout), 1);
	check_ack(1, 0);
	assert_int_equal(rig.worker.counts.flights_open, 0);
}

static void open_from_port(uint16_t port)
{
	char from[ADDR_TEXT_BYTES];

	snprintf(from, sizeof(from), "192.0.2.7:%u", port);
	rig_client_init(&client, &rig, from, RIG_LOCAL, RIG_TIMESTAMPS, &hello);
	say(0, 1000);
}

static void the_oldest_goes_when_there_is_no_room(void **state)
{
	make_hello("www.test", 1400, 16384);
	rig_init(&rig, NULL, 4);
	open_from_port(1000);
	open_from_port(1001);
	open_from_port(1002);
	open_from_port(1003);
	assert_int_equal(count(GATE_flights_full), 0);
	open_from_port(1004);
	assert_int_equal(count(GATE_flights_full), 1);
	assert_int_equal(rig.worker.counts.flights_open, 4);
	assert_int_equal(rig.n_sent, 0); /* it will send again */
	rig_pass_ms(&rig, 10);
	assert_int_equal(rig.n_sent, 4);
	open_from_port(1005);
	assert_int_equal(count(GATE_flights_full), 2);
	assert_int_equal(rig.n_sent, 5); /* it would not */
	assert_int_equal(reply_tcp()[TCP_FLAGS], FRAME_RST);
	assert_int_equal(frame_get16(reply_tcp() + TCP_TO_PORT), 1001);
	say(1000, hello.len);
	check_released(1, hello.len);
}

static void large_buffers_are_bounded(void **state)
{
	uint16_t port;

	make_hello("www.test", 8000, 16384);
	rig_init(&rig, NULL, 16); /* five large ones */
	for (port = 1000; port < 1006; port++) {
		open_from_port(port);
		say(7000, 8000);
	}
	assert_int_equal(count(GATE_flights_full), 1);
	assert_int_equal(rig.worker.counts.flights_open, 5);
}

/* Without timestamps the cookie of the same minute is the same. */
static void a_new_connection_from_the_same_port(void **state)
{
	int flags;

	for (flags = 0; flags <= RIG_TIMESTAMPS; flags++) {
		start(flags, 1400);
		say(0, 1000);
		rig_pass_ms(&rig, 10); /* it is acknowledged */
		assert_int_equal(rig.n_sent, 1);
		client.isn += 77777;
		rig_client_stamp(&client, &rig);
		say(0, 1000);
		assert_int_equal(count(GATE_flight_replaced), !flags);
		assert_int_equal(rig.n_sent, 1); /* no RST, which would end the new one */
		assert_int_equal(rig.worker.counts.flights_open, flags ? 2 : 1);
		say(1000, hello.len);
		check_released(1, hello.len);
		rig_fini(&rig);
	}
	start(0, 0);
}

static void replies_without_a_free_frame(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	rig.no_tx = true;
	say(0, 1000);
	say(0, 1000);
	assert_int_equal(count(GATE_reply_lost), 1);
	assert_int_equal(rig.n_sent, 0);
}

static void the_tun_device_fails(void **state)
{
	start(RIG_TIMESTAMPS, 0);
	log_level_set(LOG_LEVEL_ERROR);
	rig.release_result = -EIO;
	say(0, hello.len);
	assert_int_equal(count(GATE_tun_failed), 1);
	assert_int_equal(count(GATE_released), 0);
	assert_int_equal(rig.n_sent, 0);
	rig.release_result = 0;
	say(0, hello.len);
	check_released(1, hello.len);
	log_level_set(LOG_LEVEL_INFO);
}

/* --- PROXY header first */
static void behind_a_proxy_header(const void *header, size_t len, size_t cut)
{
	static struct hello_bytes stream;
	struct gate_policy_spec spec = {.proxy_in = GATE_PROXY_REQUIRE};

	make_hello("www.test", 0, 16384);
	stream.len = 0;
	hello_put(&stream, header, len);
	hello_put(&stream, hello.at, hello.len);
	rig_init(&rig, &spec, 0);
	rig_client_init(&client, &rig, RIG_CLIENT, RIG_LOCAL, cut & 1, &stream);
	if (cut)
		say(0, cut);
	say(cut, stream.len);
	check_released(1, stream.len);
	rig_fini(&rig);
}

static void proxy_headers(void **state)
{
	static const char v1[] = "PROXY TCP4 203.0.113.9 203.0.113.7 56324 443\r\n",
			  v2[] = "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xcb\0\x71\x09\xcb\0\x71\7"
				 "\xdc\x04\x01\xbb";
	size_t cut;

	for (cut = 0; cut < 90; cut++) {
		behind_a_proxy_header(v1, sizeof(v1) - 1, cut);
		behind_a_proxy_header(v2, sizeof(v2) - 1, cut);
	}
	start(0, 0);
}

/* --- listeners */
static void listeners_of_a_snapshot(void **state)
{
	struct gate_policy_spec refuse = {.name = "refuse", .refuse_unknown_name = true};
	static const struct gate_name names[] = {{{"other.test", 10}, 1}};
	struct gate_listener rows[3];
	struct gate_policy *other;
	struct err err;

	start(0, 0);
	refuse.names = names;
	refuse.n_names = 1;
	assert_int_equal(gate_policy_new(&refuse, 1, &other, &err), 0);
	rows[0] = (struct gate_listener){rig_addr("0.0.0.0:443"), rig.policy, 1000};
	rows[1] = (struct gate_listener){rig_addr(RIG_LOCAL), other, 1000};
	rows[2] = (struct gate_listener){rig_addr("[::]:8443"), rig.policy, 1000};
	gate_set_listeners(rig.gate, rows, 3);
	say(0, hello.len); /* the exact one */
	assert_int_equal(count(GATE_name_unknown), 1);
	rig_client_init(&client, &rig, RIG_CLIENT, "198.51.100.2:443", 0, &hello);
	say(0, hello.len);
	check_released(1, hello.len);
	rig_client_init(&client, &rig, RIG_CLIENT, "198.51.100.2:8443", 0, &hello);
	say(0, hello.len); /* :: is not for IPv4 */
	assert_int_equal(count(GATE_no_listener), 1);
	check_rst(2);
	rig_client_init(&client, &rig, "[2001:db8::7]:40000", "[2001:db8::1]:8443", 0, &hello);
	say(0, hello.len);
	check_released(2, hello.len);
	rig_client_init(&client, &rig, "[2001:db8::7]:40000", "[2001:db8::1]:443", 0, &hello);
	say(0, hello.len);
	assert_int_equal(count(GATE_no_listener), 2);
	gate_set_listeners(rig.gate, NULL, 0);
	shared_put(&other->shared);
	say(0, hello.len);
	assert_int_equal(count(GATE_no_listener), 3);
}

static void a_listener_that_went_away(void **state)
{
	start(RIG_TIMESTAMPS, 1400);
	say(0, 1000);
	gate_set_listeners(rig.gate, NULL, 0);
	rig_pass_ms(&rig, 10);
	check_ack(1, 1000);
	rig_pass_ms(&rig, 5000);
	assert_int_equal(count(GATE_no_listener), 1);
	assert_int_equal(count(GATE_flight_timeout), 0);
	check_rst(2);
}

/* --- turns */
static void a_turn_is_bounded(void **state)
{
	size_t i;

	start(RIG_TIMESTAMPS, 1400);
	for (i = 0; i < RIG_FRAMES; i++)
		rig_queue(&rig, frame, rig_client_frame(&client, 0, 1000, 0, frame));
	gate_serve(rig.gate, 0);
	assert_int_equal(rig.worker.counts.frames, 256);
	gate_serve(rig.gate, 0);
	gate_serve(rig.gate, 0);
	assert_int_equal(rig.worker.counts.frames, RIG_FRAMES);
	make_hello("www.test", 0, 16384);
	rig_client_init(&client, &rig, "192.0.2.9:1", RIG_LOCAL, RIG_TIMESTAMPS, &hello);
	for (i = 0; i < RIG_FRAMES; i++)
		rig_queue(&rig, frame, rig_client_frame(&client, 0, hello.len, 0, frame));
	gate_serve(rig.gate, 0);
	assert_int_equal(rig.n_released, 64); /* which cost more */
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(whole_in_one_frame),
		cmocka_unit_test(in_two_segments),
		cmocka_unit_test_teardown(a_second_segment_like_a_first, stop),
		cmocka_unit_test_teardown(a_fin_is_kept, stop),
		cmocka_unit_test(in_segments_of_one_byte),
		cmocka_unit_test_teardown(a_lost_segment, stop),
		cmocka_unit_test_teardown(acknowledged_after_10_ms, stop),
		cmocka_unit_test_teardown(acknowledged_at_once_when_repeated, stop),
		cmocka_unit_test_teardown(windows, stop),
		cmocka_unit_test_teardown(not_acknowledged_before_the_start, stop),
		cmocka_unit_test_teardown(no_sack_for_who_has_none, stop),
		cmocka_unit_test_teardown(timers_of_the_loop, stop),
		cmocka_unit_test_teardown(a_name_nobody_knows, stop),
		cmocka_unit_test_teardown(a_copy_with_other_bytes, stop),
		cmocka_unit_test_teardown(the_first_copy_is_judged, stop),
		cmocka_unit_test_teardown(too_many_gaps, stop),
		cmocka_unit_test_teardown(too_long, stop),
		cmocka_unit_test_teardown(a_hello_of_16_kib, stop),
		cmocka_unit_test_teardown(what_is_not_tls, stop),
		cmocka_unit_test_teardown(frames_that_are_none, stop),
		cmocka_unit_test_teardown(incomplete_for_too_long, stop),
		cmocka_unit_test_teardown(a_late_second_segment, stop),
		cmocka_unit_test_teardown(only_a_second_segment, stop),
		cmocka_unit_test_teardown(the_oldest_goes_when_there_is_no_room, stop),
		cmocka_unit_test_teardown(large_buffers_are_bounded, stop),
		cmocka_unit_test_teardown(a_new_connection_from_the_same_port, stop),
		cmocka_unit_test_teardown(replies_without_a_free_frame, stop),
		cmocka_unit_test_teardown(the_tun_device_fails, stop),
		cmocka_unit_test_teardown(proxy_headers, stop),
		cmocka_unit_test_teardown(listeners_of_a_snapshot, stop),
		cmocka_unit_test_teardown(a_listener_that_went_away, stop),
		cmocka_unit_test_teardown(a_turn_is_bounded, stop),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
