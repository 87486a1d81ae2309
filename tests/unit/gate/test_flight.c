/* Flights in pieces: whatever the order and overlap of segments, what is kept is the first copy. */
#include "gate/flights.h"
#include "gate_rig.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ISN = (int)0xfffffff0 }; /* sequence numbers wrap in every test */

static const struct flight_key any_key = {.ack = 1};

/* Payloads are bytes of one pattern, so that only wrong places differ. */
static uint8_t pattern(uint32_t at)
{
	return (uint8_t)(at * 31 + (at >> 8) * 17 + 22);
}

struct piece {
	uint32_t from, to;
	uint8_t flip; /* the last byte differs from the pattern by this */
	bool fin, stamped, blind; /* has a timestamp; its offset is not known */
	uint32_t tsval;
	uint8_t ecn;
};

static enum flight_added add(struct flight *flight, struct piece piece)
{
	static uint8_t payload[FLIGHT_BYTES_MAX + 8192], bytes[sizeof(payload) + 256];
	struct frame frame = {.bytes = bytes,
		.l2_bytes = 14,
		.ip_bytes = IPV4_BYTES,
		.tcp_bytes = TCP_BYTES,
		.flags = FRAME_ACK | (piece.fin ? FRAME_FIN : 0),
		.has_timestamp = piece.stamped,
		.tsval = piece.tsval,
		.ecn = piece.ecn,
		.seq = (uint32_t)ISN + piece.from,
		.payload_bytes = piece.to - piece.from};
	uint32_t i;

	memset(bytes, 0, 64);
	frame_put16(bytes + 14 + IPV4_ID, (uint16_t)piece.tsval);
	for (i = piece.from; i < piece.to; i++)
		frame_payload(&frame)[i - piece.from] = pattern(i);
	frame_payload(&frame)[piece.to - piece.from - 1] ^= piece.flip;
	return flight_add(flight, &frame, piece.blind ? NULL : &piece.from);
}

static struct flight *fresh(struct flights *flights)
{
	struct flight *flight;

	assert_int_equal(flights_init(flights, 4), 0);
	flight = flights_get(flights, &any_key);
	assert_non_null(flight);
	return flight;
}

static void holds(const struct flight *flight, uint32_t prefix)
{
	uint32_t i;

	assert_int_equal(flight_prefix(flight), prefix);
	for (i = 0; i < prefix; i++)
		assert_int_equal(flight->bytes[i], pattern(i));
}

static void in_order(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);

	assert_int_equal(add(flight, (struct piece){0, 100}), FLIGHT_GREW);
	holds(flight, 100);
	assert_true(flight->joined);
	assert_int_equal(add(flight, (struct piece){100, 150}), FLIGHT_GREW);
	assert_true(flight->joined);
	holds(flight, 150);
	assert_int_equal(add(flight, (struct piece){20, 120}), FLIGHT_REPEATED);
	assert_int_equal(add(flight, (struct piece){140, 160}), FLIGHT_GREW);
	holds(flight, 160);
	flights_fini(&flights);
}

static void swapped(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	uint32_t from, to;

	assert_int_equal(add(flight, (struct piece){100, 150}), FLIGHT_GREW);
	assert_false(flight->joined);
	holds(flight, 0);
	assert_true(flight_behind_gap(flight, &from, &to));
	assert_int_equal(from, (uint32_t)ISN + 100);
	assert_int_equal(to, (uint32_t)ISN + 150);
	assert_int_equal(add(flight, (struct piece){0, 100}), FLIGHT_GREW);
	holds(flight, 150);
	assert_false(flight_behind_gap(flight, &from, &to));
	flights_fini(&flights);
}

/* Without timestamps the lowest segment seen is the start. */
static void the_start_moves(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);

	assert_int_equal(add(flight, (struct piece){200, 300, .blind = true}), FLIGHT_GREW);
	assert_int_equal(flight_prefix(flight), 100);
	assert_false(flight_begins(flight)); /* not yet known where */
	assert_int_equal(add(flight, (struct piece){100, 200, .blind = true}), FLIGHT_GREW);
	assert_false(flight->joined);
	assert_int_equal(flight_prefix(flight), 200);
	assert_int_equal(add(flight, (struct piece){0, 90, .blind = true}), FLIGHT_GREW);
	holds(flight, 90);
	assert_int_equal(flight->start_seq, (uint32_t)ISN);
	assert_int_equal(add(flight, (struct piece){80, 110, .blind = true}), FLIGHT_GREW);
	holds(flight, 300);
	flights_fini(&flights);
}

static void what_may_begin_a_connection(void **state)
{
	assert_true(flight_may_begin((const uint8_t *)"\x16\3\1\0", 4));
	assert_true(flight_may_begin((const uint8_t *)"\x16", 1));
	assert_false(flight_may_begin((const uint8_t *)"\x16\2", 2));
	assert_true(flight_may_begin((const uint8_t *)"P", 1));
	assert_true(flight_may_begin((const uint8_t *)"PROXY TCP4 ", 11));
	assert_false(flight_may_begin((const uint8_t *)"POST / HTTP", 11));
	assert_true(flight_may_begin((const uint8_t *)"\r\n\r\n\0\r\nQUIT\n\x21", 13));
	assert_false(flight_may_begin((const uint8_t *)"\r\nGET", 5));
	assert_false(flight_may_begin((const uint8_t *)"", 0));
}

static void other_bytes_are_seen(void **state)
{
	static const struct piece rows[] = {
		{0, 100, .flip = 1}, /* the same place */
		{50, 60, .flip = 0x80}, /* inside */
		{150, 201, .flip = 1}, /* its last byte is the first of the next range */
		{99, 100, .flip = 1},
	};
	struct flights flights;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		struct flight *flight = fresh(&flights);

		assert_int_equal(add(flight, (struct piece){0, 100}), FLIGHT_GREW);
		assert_int_equal(add(flight, (struct piece){200, 300}), FLIGHT_GREW);
		assert_int_equal(add(flight, rows[i]), FLIGHT_OTHER_BYTES);
		flights_fini(&flights);
	}
}

static void pieces_with_gaps_are_bounded(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	uint32_t i;

	for (i = 0; i < FLIGHT_RANGES_MAX; i++)
		assert_int_equal(add(flight, (struct piece){100 * i, 100 * i + 50}), FLIGHT_GREW);
	assert_int_equal(add(flight, (struct piece){5000, 5050}), FLIGHT_NEEDS_LARGE);
	assert_int_equal(add(flight, (struct piece){2000, 2050}), FLIGHT_TOO_MANY_PIECES);
	flights_fini(&flights);
	flight = fresh(&flights);
	for (i = 0; i < FLIGHT_RANGES_MAX; i++)
		assert_int_equal(add(flight, (struct piece){100 * i, 100 * i + 50}), FLIGHT_GREW);
	for (i = 0; i < FLIGHT_RANGES_MAX - 1; i++)
		assert_int_equal(
			add(flight, (struct piece){100 * i + 40, 100 * i + 110}), FLIGHT_GREW);
	holds(flight, 100 * (FLIGHT_RANGES_MAX - 1) + 50);
	flights_fini(&flights);
}

static void one_segment_over_all_gaps(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	uint32_t i;

	for (i = 0; i < 5; i++)
		assert_int_equal(
			add(flight, (struct piece){100 * i + 10, 100 * i + 50}), FLIGHT_GREW);
	assert_int_equal(add(flight, (struct piece){0, 1000}), FLIGHT_GREW);
	holds(flight, 1000);
	assert_int_equal(flight->n_ranges, 1);
	flights_fini(&flights);
}

static void bytes_are_bounded(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);

	assert_int_equal(add(flight, (struct piece){0, 1000}), FLIGHT_GREW);
	assert_int_equal(add(flight, (struct piece){FLIGHT_BYTES_MAX - 10, FLIGHT_BYTES_MAX}),
		FLIGHT_NEEDS_LARGE);
	assert_true(flights_enlarge(&flights, flight));
	assert_int_equal(
		add(flight, (struct piece){FLIGHT_BYTES_MAX - 10, FLIGHT_BYTES_MAX}), FLIGHT_GREW);
	holds(flight, 1000);
	assert_int_equal(add(flight, (struct piece){FLIGHT_BYTES_MAX - 10, FLIGHT_BYTES_MAX + 1}),
		FLIGHT_TOO_LONG);
	assert_int_equal(add(flight, (struct piece){70000, 70010}), FLIGHT_ELSEWHERE);
	flights_fini(&flights);
	flight = fresh(&flights);
	assert_int_equal(add(flight, (struct piece){20000, 21000, .blind = true}), FLIGHT_GREW);
	assert_int_equal(add(flight, (struct piece){0, 100, .blind = true}), FLIGHT_NEEDS_LARGE);
	assert_true(flights_enlarge(&flights, flight));
	assert_int_equal(add(flight, (struct piece){0, 100, .blind = true}), FLIGHT_GREW);
	holds(flight, 100);
	assert_int_equal(flight->ranges[1].from, 20000);
	flights_fini(&flights);
}

/* A timestamp that proves another initial sequence number, or a number far away. */
static void another_connection_is_told_apart(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	struct frame frame = {
		.bytes = (uint8_t[200]){0}, .seq = (uint32_t)ISN + 50, .payload_bytes = 10};
	uint32_t offset = 0;

	assert_int_equal(add(flight, (struct piece){0, 100}), FLIGHT_GREW);
	assert_int_equal(flight_add(flight, &frame, &offset), FLIGHT_ELSEWHERE);
	frame.seq = (uint32_t)ISN - 1;
	assert_int_equal(flight_add(flight, &frame, NULL), FLIGHT_ELSEWHERE);
	frame.seq = (uint32_t)ISN + 0x80000000;
	assert_int_equal(flight_add(flight, &frame, NULL), FLIGHT_ELSEWHERE);
	flights_fini(&flights);
}

static void the_end_of_the_stream(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	struct iovec parts[2];

	assert_int_equal(add(flight, (struct piece){50, 100, .fin = true}), FLIGHT_GREW);
	assert_int_equal(add(flight, (struct piece){50, 100, .fin = true}), FLIGHT_REPEATED);
	assert_int_equal(add(flight, (struct piece){50, 100}), FLIGHT_REPEATED);
	assert_int_equal(add(flight, (struct piece){0, 40}), FLIGHT_GREW);
	flight_packet(flight, parts);
	assert_int_equal(flight->latest.flags, FRAME_ACK | FRAME_PSH);
	assert_int_equal(add(flight, (struct piece){40, 50}), FLIGHT_GREW);
	flight_packet(flight, parts);
	assert_int_equal(flight->latest.flags, FRAME_ACK | FRAME_PSH | FRAME_FIN);
	assert_int_equal(add(flight, (struct piece){90, 101}), FLIGHT_OTHER_BYTES);
	assert_int_equal(add(flight, (struct piece){60, 70, .fin = true}), FLIGHT_OTHER_BYTES);
	flights_fini(&flights);
}

/* The segment sent last has the newest timestamp; a mark of congestion is kept from any. */
static void headers_of_the_latest_segment(void **state)
{
	struct flights flights;
	struct flight *flight = fresh(&flights);
	struct iovec parts[2];
	const uint8_t *ip;

	add(flight, (struct piece){100, 200, .stamped = true, .tsval = 1, .ecn = 3});
	add(flight, (struct piece){200, 300, .stamped = true, .tsval = 0xfffffff0, .ecn = 2});
	add(flight, (struct piece){0, 100, .stamped = true, .tsval = 0, .ecn = 2});
	assert_int_equal(flight->latest.tsval, 1);
	assert_int_equal(flight_packet(flight, parts), IPV4_BYTES);
	ip = parts[0].iov_base;
	assert_int_equal(parts[0].iov_len, IPV4_BYTES + TCP_BYTES);
	assert_int_equal(parts[1].iov_len, 300);
	assert_int_equal(frame_get16(ip + IPV4_TOTAL_LENGTH), IPV4_BYTES + TCP_BYTES + 300);
	assert_int_equal(frame_get16(ip + IPV4_ID), 1);
	assert_int_equal(ip[IPV4_TOS], 3);
	assert_int_equal(frame_get32(ip + IPV4_BYTES + TCP_SEQ), (uint32_t)ISN);
	assert_int_equal(frame_fold(frame_sum(ip, IPV4_BYTES, 0)), 0xffff);
	flights_fini(&flights);
}

/* Every order of pieces that overlap: the same bytes. */
static void any_order(void **state)
{
	struct piece pieces[12], swap;
	struct flights flights;
	uint32_t random = 1, round, i, j;

	for (round = 0; round < 2000; round++) {
		struct flight *flight = fresh(&flights);
		bool blind = round & 1;

		for (i = 0; i < array_len(pieces); i++)
			pieces[i] = (struct piece){
				100 * i, 100 * i + 100 + (i * 37 + round) % 200, .blind = blind};
		for (i = array_len(pieces) - 1; i; i--) {
			random = random * 1664525 + 1013904223;
			j = (random >> 16) % (i + 1);
			swap = pieces[i];
			pieces[i] = pieces[j];
			pieces[j] = swap;
		}
		for (i = 0; i < array_len(pieces); i++)
			assert_true(add(flight, pieces[i]) <= FLIGHT_REPEATED);
		assert_int_equal(flight->n_ranges, 1);
		holds(flight, flight->ranges[0].to);
		assert_true(flight->ranges[0].to >= 1200);
		flights_fini(&flights);
	}
}

static void the_table_is_bounded(void **state)
{
	struct flight_key key = any_key;
	struct flight *got[40];
	struct flights flights;
	uint32_t i, round, large = 0;

	assert_int_equal(flights_init(&flights, 40), 0);
	for (round = 0; round < 3; round++) {
		for (i = 0; i < 40; i++) {
			key.ack = i;
			got[i] = flights_get(&flights, &key);
			assert_non_null(got[i]);
			assert_int_equal(flight_prefix(got[i]), 0);
		}
		key.ack = 99;
		assert_null(flights_get(&flights, &key));
		assert_null(flights_find(&flights, &key));
		assert_ptr_equal(flights_surplus(&flights, CROWD_OPEN), got[0]);
		for (i = 39; flights_enlarge(&flights, got[i]); i--)
			large++;
		assert_ptr_equal(flights_surplus(&flights, CROWD_LARGE), got[39]);
		for (i = 0; i < 40; i++) {
			key.ack = i;
			assert_ptr_equal(flights_find(&flights, &key), got[i]);
			flights_put(&flights, got[i]);
			assert_null(flights_find(&flights, &key));
		}
		assert_null(flights_surplus(&flights, CROWD_OPEN));
		assert_null(flights_surplus(&flights, CROWD_LARGE));
	}
	assert_int_equal(large, 3 * (40 / FLIGHTS_PER_LARGE + 4));
	flights_fini(&flights);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(in_order),
		cmocka_unit_test(swapped),
		cmocka_unit_test(the_start_moves),
		cmocka_unit_test(what_may_begin_a_connection),
		cmocka_unit_test(other_bytes_are_seen),
		cmocka_unit_test(pieces_with_gaps_are_bounded),
		cmocka_unit_test(one_segment_over_all_gaps),
		cmocka_unit_test(bytes_are_bounded),
		cmocka_unit_test(another_connection_is_told_apart),
		cmocka_unit_test(the_end_of_the_stream),
		cmocka_unit_test(headers_of_the_latest_segment),
		cmocka_unit_test(any_order),
		cmocka_unit_test(the_table_is_bounded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
