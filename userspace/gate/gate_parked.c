/* Incomplete first flights that change gates: see parked.h. */
#include "gate/parked.h"

#include "core/mem.h"
#include "gate/gate_parts.h"

#include <stdlib.h>
#include <string.h>

struct parked_flight {
	struct flight_key key;
	uint64_t deadline_ms, ack_due_ms;
	uint32_t place; /* of its source */
	uint32_t judge_at, unacked_segments, start_seq, fin_at, latest_from;
	bool anchored, joined, congestion, own_cookie, acknowledged;
	uint8_t n_ranges;
	struct flight_range ranges[FLIGHT_RANGES_MAX];
	struct frame latest;
	uint8_t header[FRAME_HEADER_BYTES_MAX];
	uint32_t n_bytes; /* they follow */
};

/* In front of them all; what differs is of another version. */
struct parked_head {
	uint32_t version, row_bytes, small_bytes, n_flights;
};

enum { VERSION = 1 };

static const struct parked_head head_ours = {
	VERSION, sizeof(struct parked_flight), FLIGHT_SMALL_BYTES, 0};

static uint32_t bytes_of(const struct flight *flight)
{
	return flight->n_ranges ? flight->ranges[flight->n_ranges - 1].to : 0;
}

static void pack(const struct flight *flight, uint32_t place, struct parked_flight *ret_row)
{
	memset(ret_row, 0, sizeof(*ret_row));
	ret_row->key = flight->key;
	ret_row->deadline_ms = flight->deadline_ms;
	ret_row->ack_due_ms = flight->ack_due_ms;
	ret_row->place = place;
	ret_row->judge_at = flight->judge_at;
	ret_row->unacked_segments = flight->unacked_segments;
	ret_row->start_seq = flight->start_seq;
	ret_row->fin_at = flight->fin_at;
	ret_row->latest_from = flight->latest_from;
	ret_row->anchored = flight->anchored;
	ret_row->joined = flight->joined;
	ret_row->congestion = flight->congestion;
	ret_row->own_cookie = flight->own_cookie;
	ret_row->acknowledged = flight->acknowledged;
	ret_row->n_ranges = flight->n_ranges;
	memcpy(ret_row->ranges, flight->ranges, sizeof(ret_row->ranges));
	ret_row->latest = flight->latest;
	ret_row->latest.bytes = NULL;
	memcpy(ret_row->header, flight->header, sizeof(ret_row->header));
	ret_row->n_bytes = bytes_of(flight);
}

static void unpack(const struct parked_flight *row, struct flight *flight)
{
	flight->deadline_ms = row->deadline_ms;
	flight->ack_due_ms = row->ack_due_ms;
	flight->judge_at = row->judge_at;
	flight->unacked_segments = row->unacked_segments;
	flight->start_seq = row->start_seq;
	flight->fin_at = row->fin_at;
	flight->latest_from = row->latest_from;
	flight->anchored = row->anchored;
	flight->joined = row->joined;
	flight->congestion = row->congestion;
	flight->own_cookie = row->own_cookie;
	flight->acknowledged = row->acknowledged;
	flight->n_ranges = row->n_ranges;
	memcpy(flight->ranges, row->ranges, sizeof(flight->ranges));
	memcpy(flight->header, row->header, sizeof(flight->header));
	flight->latest = row->latest;
	flight->latest.bytes = flight->header;
}

void gate_park(struct gate *gate, const uint32_t *places, struct gate_parked *ret_parked)
{
	struct parked_head head = head_ours;
	size_t len = sizeof(head);
	struct parked_flight row;
	struct flight *flight;
	struct list *link;
	uint8_t *at;

	list_for_each(link, &gate->flights.open)
		len += sizeof(row) + bytes_of(container_of(link, struct flight, open));
	head.n_flights = gate->flights.n_open;
	ret_parked->bytes = at = mem_alloc(len);
	ret_parked->len = len;
	memcpy(at, &head, sizeof(head));
	at += sizeof(head);
	list_for_each(link, &gate->flights.open) {
		flight = container_of(link, struct flight, open);
		pack(flight, places[flight->source], &row);
		memcpy(at, &row, sizeof(row));
		memcpy(at + sizeof(row), flight->bytes, row.n_bytes);
		at += sizeof(row) + row.n_bytes;
	}
}

/* Written by another program: its numbers are looked at before they are indices. */
static bool is_sound(const struct parked_flight *row, size_t len_left)
{
	uint32_t i, from = 0;

	if (row->n_bytes > FLIGHT_BYTES_MAX || row->n_bytes > len_left || !row->n_ranges ||
		row->n_ranges > FLIGHT_RANGES_MAX ||
		frame_header_bytes(&row->latest) > FRAME_HEADER_BYTES_MAX)
		return false;
	for (i = 0; i < row->n_ranges; i++) {
		if (row->ranges[i].from < from || row->ranges[i].to <= row->ranges[i].from)
			return false;
		from = row->ranges[i].to;
	}
	return from == row->n_bytes;
}

static bool find_source(
	const struct gate *gate, const uint32_t *places, uint32_t place, uint32_t *ret_source)
{
	uint32_t i;

	for (i = 0; i < gate->n_sources; i++)
		if (places[i] == place) {
			*ret_source = i;
			return true;
		}
	return false;
}

static bool add(
	struct gate *gate, const struct parked_flight *row, const uint8_t *bytes, uint32_t source)
{
	struct flight *flight = flights_find(&gate->flights, &row->key);

	if (flight)
		return false;
	flight = flights_get(&gate->flights, &row->key);
	if (!flight)
		return false;
	if (row->n_bytes > flight->size && !flights_enlarge(&gate->flights, flight)) {
		flights_put(&gate->flights, flight);
		return false;
	}
	unpack(row, flight);
	memcpy(flight->bytes, bytes, row->n_bytes);
	flight->source = source;
	gate_watch_flight(gate, flight);
	return true;
}

uint32_t gate_unpark(struct gate *gate, const uint32_t *places, const struct gate_parked *parked)
{
	const uint8_t *at = parked->bytes;
	size_t left = parked->len;
	struct parked_head head;
	struct parked_flight row;
	uint32_t source, added = 0;

	if (left < sizeof(head))
		return 0;
	memcpy(&head, at, sizeof(head));
	if (memcmp(&head, &head_ours, offsetof(struct parked_head, n_flights)) != 0)
		return 0;
	at += sizeof(head);
	left -= sizeof(head);
	for (; head.n_flights && left >= sizeof(row); head.n_flights--) {
		memcpy(&row, at, sizeof(row));
		at += sizeof(row);
		left -= sizeof(row);
		if (!is_sound(&row, left))
			return added;
		if (find_source(gate, places, row.place, &source))
			added += add(gate, &row, at, source);
		at += row.n_bytes;
		left -= row.n_bytes;
	}
	return added;
}
