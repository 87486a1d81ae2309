/* Frames: what is taken for a segment of a first flight, and what is answered to it. */
#include "gate_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

/* On memory of exactly its length, at the odd place a driver leaves it. */
static int parse(const uint8_t *bytes, uint32_t len, struct frame *ret_frame)
{
	static uint8_t *copy;

	free(copy);
	copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return frame_parse(copy, len, ret_frame);
}

static struct rig_segment segment_v4(void)
{
	return (struct rig_segment){.from = rig_addr("192.0.2.7:40000"),
		.to = rig_addr("198.51.100.1:443"),
		.seq = 0x01020304,
		.ack = 0x0a0b0c0d,
		.payload = "hello",
		.payload_bytes = 5};
}

static struct rig_segment segment_v6(void)
{
	struct rig_segment segment = segment_v4();

	segment.from = rig_addr("[2001:db8::7]:40000");
	segment.to = rig_addr("[2001:db8::1]:443");
	return segment;
}

static void tells_what_it_is(struct rig_segment segment, const char *from, const char *to)
{
	uint8_t bytes[RIG_FRAME_BYTES];
	char text[ADDR_TEXT_BYTES];
	union addr client, local;
	struct frame frame;

	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	frame_addresses(&frame, &client, &local);
	assert_string_equal(addr_format(&client, text), from);
	assert_string_equal(addr_format(&local, text), to);
	assert_int_equal(frame.seq, 0x01020304);
	assert_int_equal(frame.ack, 0x0a0b0c0d);
	assert_int_equal(frame.partial, segment.partial);
	assert_int_equal(frame.has_timestamp, segment.has_timestamp);
	assert_int_equal(frame.payload_bytes, 5);
	assert_memory_equal(frame_payload(&frame), "hello", 5);
	if (!segment.has_timestamp)
		return;
	assert_int_equal(frame.tsval, segment.tsval);
	assert_int_equal(frame.tsecr, segment.tsecr);
}

static void every_shape_of_segment(void **state)
{
	struct rig_segment v4 = segment_v4(), v6 = segment_v6();
	int tags, partial, stamped;

	for (tags = 0; tags <= 2; tags++)
		for (partial = 0; partial < 2; partial++)
			for (stamped = 0; stamped < 2; stamped++) {
				v4.tags = v6.tags = tags;
				v4.partial = v6.partial = partial;
				v4.has_timestamp = v6.has_timestamp = stamped;
				v4.tsval = v6.tsval = 0xfffefdfc;
				v4.tsecr = v6.tsecr = 0x80818283;
				tells_what_it_is(v4, "192.0.2.7:40000", "198.51.100.1:443");
				tells_what_it_is(v6, "[2001:db8::7]:40000", "[2001:db8::1]:443");
			}
}

static void ethernet_padding_is_no_payload(void **state)
{
	struct rig_segment segment = segment_v4();
	uint8_t bytes[RIG_FRAME_BYTES] = {0};
	struct frame frame;

	segment.payload_bytes = 1;
	assert_true(rig_frame(&segment, bytes) < 60);
	assert_int_equal(parse(bytes, 60, &frame), 0);
	assert_int_equal(frame.payload_bytes, 1);
}

static void timestamps_wherever_they_stand(void **state)
{
	struct rig_segment segment = segment_v4();
	uint8_t bytes[RIG_FRAME_BYTES];
	struct frame frame;

	segment.options = "\x08\x0a\0\0\0\1\0\0\0\2\1\1";
	segment.options_bytes = 12;
	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	assert_true(frame.has_timestamp && frame.tsval == 1 && frame.tsecr == 2);
	segment.options = "\x05\x0a\0\0\0\1\0\0\0\2\1\x08\x0a\0\0\0\3\0\0\0\4\0";
	segment.options_bytes = 22;
	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	assert_true(frame.has_timestamp && frame.tsval == 3 && frame.tsecr == 4);
}

struct bad_options {
	const char *bytes;
	size_t len;
};

static void malformed_options(void **state)
{
	static const struct bad_options rows[] = {
		{"\x08\x09\0\0\0\1\0\0\0\1\1\1", 12},
		{"\x08\x0a\0\0\0\1\0\0", 8}, /* ends in the middle */
		{"\x08\0\1\1", 4}, {"\x08\1\1\1", 4}, {"\1\1\1\x08", 4},
		{"\x08\x0a\0\0\0\1\0\0\0\1\x08\x0a\0\0\0\2\0\0\0\2", 20}, /* which one counts? */
	};
	uint8_t bytes[RIG_FRAME_BYTES];
	struct frame frame;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		struct rig_segment segment = segment_v4();

		segment.options = rows[i].bytes;
		segment.options_bytes = rows[i].len;
		assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), -EPROTO);
	}
}

static void flags_that_do_not_belong(void **state)
{
	static const uint8_t rows[] = {FRAME_PSH, FRAME_FIN, FRAME_ACK | FRAME_SYN,
		FRAME_ACK | FRAME_RST, FRAME_ACK | FRAME_URG};
	struct rig_segment segment = segment_v4();
	uint8_t bytes[RIG_FRAME_BYTES];
	struct frame frame;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		segment.flags = rows[i];
		assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), -EPROTO);
	}
	segment.flags = FRAME_ACK | FRAME_FIN;
	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
}

/* One byte of the frame changed, checksums of the IP header made good again where asked. */
static int parse_changed(struct rig_segment segment, uint32_t at, uint8_t value, bool mend)
{
	uint8_t bytes[RIG_FRAME_BYTES];
	uint32_t len = rig_frame(&segment, bytes);
	struct frame frame;
	uint16_t sum;

	bytes[at] = value;
	if (mend) {
		memset(bytes + 14 + IPV4_CHECKSUM, 0, 2);
		sum = (uint16_t)~frame_fold(frame_sum(bytes + 14, IPV4_BYTES, 0));
		memcpy(bytes + 14 + IPV4_CHECKSUM, &sum, 2);
	}
	return parse(bytes, len, &frame);
}

static void what_xdp_would_not_let_through(void **state)
{
	struct rig_segment v4 = segment_v4(), v6 = segment_v6();

	assert_int_equal(parse_changed(v4, 12, 0x08, false), 0); /* as it is */
	assert_int_equal(parse_changed(v4, 13, 0x06, false), -EPROTO); /* ARP */
	assert_int_equal(parse_changed(v4, 14, 0x46, true), -EPROTO); /* IP options */
	assert_int_equal(parse_changed(v4, 14, 0x65, true), -EPROTO);
	assert_int_equal(parse_changed(v4, 14 + IPV4_FRAGMENT, 0x20, true), -EPROTO);
	assert_int_equal(parse_changed(v4, 14 + IPV4_FRAGMENT + 1, 1, true), -EPROTO);
	assert_int_equal(parse_changed(v4, 14 + IPV4_FRAGMENT, 0x40, true), 0); /* DF */
	assert_int_equal(parse_changed(v4, 14 + IPV4_PROTOCOL, 17, true), -EPROTO);
	assert_int_equal(parse_changed(v4, 14 + IPV4_TOTAL_LENGTH, 1, true), -EPROTO);
	assert_int_equal(
		parse_changed(v4, 14 + IPV4_TOTAL_LENGTH + 1, 40, true), -EPROTO); /* no payload */
	assert_int_equal(parse_changed(v4, 14 + IPV4_TTL, 1, false), -EPROTO); /* IP checksum */
	assert_int_equal(parse_changed(v4, 14 + 20 + TCP_DATA_OFFSET, 4 << 4, false), -EPROTO);
	assert_int_equal(parse_changed(v4, 14 + 20 + TCP_DATA_OFFSET, 15 << 4, false), -EPROTO);
	assert_int_equal(parse_changed(v6, 14, 0x45, false), -EPROTO);
	assert_int_equal(parse_changed(v6, 14 + IPV6_NEXT_HEADER, 44, false), -EPROTO);
	assert_int_equal(parse_changed(v6, 14 + IPV6_PAYLOAD_LENGTH, 1, false), -EPROTO);
	v4.tags = 3;
	assert_int_equal(parse_changed(v4, 0, 2, false), -EPROTO);
}

static void wrong_checksums(void **state)
{
	struct rig_segment v4 = segment_v4(), v6 = segment_v6();

	v4.payload_bytes = v6.payload_bytes = 4;
	assert_int_equal(parse_changed(v4, 14 + 20 + 20, 'j', false), -EBADMSG);
	assert_int_equal(parse_changed(v6, 14 + 40 + 20, 'j', false), -EBADMSG);
	v4.bad_checksum = v6.bad_checksum = v4.partial = true;
	assert_int_equal(parse_changed(v4, 0, 2, false), -EBADMSG);
	assert_int_equal(parse_changed(v6, 0, 2, false), -EBADMSG);
}

static void every_shorter_frame_is_refused(void **state)
{
	struct rig_segment rows[] = {segment_v4(), segment_v6()};
	uint8_t bytes[RIG_FRAME_BYTES];
	struct frame frame;
	uint32_t len, cut;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		rows[i].has_timestamp = true;
		rows[i].tags = 2;
		len = rig_frame(&rows[i], bytes);
		for (cut = 0; cut < len; cut++)
			assert_int_equal(parse(bytes, cut, &frame), -EPROTO);
	}
}

static void sums_of_every_length(void **state)
{
	uint8_t bytes[64];
	uint32_t len, i, plain;

	for (i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(0xff - i * 7);
	for (len = 0; len <= sizeof(bytes); len++) {
		plain = 0;
		for (i = 0; i < len; i++)
			plain += i & 1 ? bytes[i] : (uint32_t)bytes[i] << 8;
		while (plain >> 16)
			plain = (plain & 0xffff) + (plain >> 16);
		assert_int_equal(ntohs(frame_fold(frame_sum(bytes, len, 0))), plain);
	}
	assert_int_equal(frame_fold(0xffffffffffffffff), 0xffff);
	assert_int_equal(frame_fold(0x1ffff0000ffffull), 1);
}

/* The checksums of a frame that the gate made are whole, whatever those of the client's were. */
static void check_reply(struct rig_segment segment, uint8_t flags)
{
	uint8_t bytes[RIG_FRAME_BYTES], answer[REPLY_BYTES_MAX];
	struct frame frame, back;
	union addr client, local;
	struct reply reply = {.to = &frame, .flags = flags, .window = 250, .ack = 0x01020309};
	uint32_t len;

	/* A payload, so that frame_parse takes it for a segment. */
	reply.payload = "alert!!";
	reply.payload_bytes = 7;
	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	len = reply_write(&reply, answer);
	assert_int_equal(frame_parse(answer, len, &back), 0);
	assert_false(back.partial);
	frame_addresses(&back, &client, &local);
	assert_true(addr_eq(&client, &segment.to) && addr_eq(&local, &segment.from));
	assert_memory_equal(answer, "\x02\0\0\0\0\2\x02\0\0\0\0\1", 12);
	assert_memory_equal(answer + 12, bytes + 12, back.l2_bytes - 12u); /* the same tags */
	assert_int_equal(back.l2_bytes, 14 + 4 * segment.tags);
	assert_int_equal(back.seq, segment.ack);
	assert_int_equal(back.ack, 0x01020309);
	assert_int_equal(back.flags, flags);
	assert_int_equal(frame_get16(frame_tcp(&back) + TCP_WINDOW), 250);
	assert_int_equal(back.has_timestamp, segment.has_timestamp);
	if (segment.has_timestamp) {
		assert_int_equal(back.tsval, segment.tsecr);
		assert_int_equal(back.tsecr, segment.tsval);
	}
	assert_memory_equal(frame_payload(&back), "alert!!", 7);
	assert_int_equal(back.payload_bytes, 7);
}

static void replies_turn_the_frame_round(void **state)
{
	struct rig_segment rows[] = {segment_v4(), segment_v6()};
	int tags, stamped;
	size_t i;

	for (i = 0; i < array_len(rows); i++)
		for (tags = 0; tags <= 2; tags++)
			for (stamped = 0; stamped < 2; stamped++) {
				rows[i].tags = tags;
				rows[i].partial = tags == 1;
				rows[i].has_timestamp = stamped;
				rows[i].tsval = 77;
				rows[i].tsecr = 0xabcdef01;
				check_reply(rows[i], FRAME_ACK | FRAME_PSH | FRAME_FIN);
				check_reply(rows[i], FRAME_ACK);
			}
}

static void a_reset_says_nothing_but_its_place(void **state)
{
	struct rig_segment segment = segment_v4();
	uint8_t bytes[RIG_FRAME_BYTES], answer[REPLY_BYTES_MAX];
	struct frame frame;
	struct reply reply = {.to = &frame, .flags = FRAME_RST};
	const uint8_t *tcp = answer + 14 + 20;

	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	assert_int_equal(reply_write(&reply, answer), 14 + 20 + 20);
	assert_int_equal(frame_get32(tcp + TCP_SEQ), segment.ack);
	assert_int_equal(frame_get32(tcp + TCP_ACK), 0);
	assert_int_equal(tcp[TCP_FLAGS], FRAME_RST);
}

static void a_selective_acknowledgement(void **state)
{
	struct rig_segment segment = segment_v6();
	uint8_t bytes[RIG_FRAME_BYTES], answer[REPLY_BYTES_MAX];
	struct frame frame;
	struct reply reply = {.to = &frame,
		.flags = FRAME_ACK,
		.window = 1,
		.ack = 100,
		.has_sack = true,
		.sack_from = 0x11223344,
		.sack_to = 0x11223355};
	const uint8_t *tcp = answer + 14 + 40;

	segment.has_timestamp = true;
	assert_int_equal(parse(bytes, rig_frame(&segment, bytes), &frame), 0);
	assert_int_equal(reply_write(&reply, answer), 14 + 40 + 44);
	assert_int_equal(tcp[TCP_DATA_OFFSET], 11 << 4);
	assert_memory_equal(tcp + 32, "\1\1\5\x0a\x11\x22\x33\x44\x11\x22\x33\x55", 12);
	assert_int_equal(
		frame_fold(frame_sum(tcp, 44, frame_sum_pseudo(answer + 14, true, 44))), 0xffff);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_shape_of_segment),
		cmocka_unit_test(ethernet_padding_is_no_payload),
		cmocka_unit_test(timestamps_wherever_they_stand),
		cmocka_unit_test(malformed_options),
		cmocka_unit_test(flags_that_do_not_belong),
		cmocka_unit_test(what_xdp_would_not_let_through),
		cmocka_unit_test(wrong_checksums),
		cmocka_unit_test(every_shorter_frame_is_refused),
		cmocka_unit_test(sums_of_every_length),
		cmocka_unit_test(replies_turn_the_frame_round),
		cmocka_unit_test(a_reset_says_nothing_but_its_place),
		cmocka_unit_test(a_selective_acknowledgement),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
