/* One first flight in pieces: see flight.h. */
#include "gate/flight.h"

#include <string.h>

/* Where a segment lies in a flight. */
struct place {
	uint32_t from, to;
	uint32_t shift; /* it comes before what is there, which has to move so far */
};

void flight_start(struct flight *flight, const struct flight_key *key)
{
	/* All but the bytes: most of the page need not be touched. */
	memset(flight, 0, offsetof(struct flight, header));
	flight->key = *key;
	flight->fin_at = UINT32_MAX;
	flight->size = FLIGHT_SMALL_BYTES;
	flight->bytes = flight->small;
}

uint32_t flight_prefix(const struct flight *flight)
{
	return flight->n_ranges && flight->ranges[0].from == 0 ? flight->ranges[0].to : 0;
}

static uint32_t end(const struct flight *flight)
{
	return flight->n_ranges ? flight->ranges[flight->n_ranges - 1].to : 0;
}

static bool starts_like(const uint8_t *bytes, size_t len, const char *sign, size_t sign_len)
{
	return memcmp(bytes, sign, len < sign_len ? len : sign_len) == 0;
}

bool flight_may_begin(const uint8_t *bytes, size_t len)
{
	static const char tls[] = {22, 3}, proxy_v1[] = "PROXY ",
			  proxy_v2[] = "\r\n\r\n\0\r\nQUIT\n";

	return len > 0 && (starts_like(bytes, len, tls, sizeof(tls)) ||
				  starts_like(bytes, len, proxy_v1, sizeof(proxy_v1) - 1) ||
				  starts_like(bytes, len, proxy_v2, sizeof(proxy_v2) - 1));
}

bool flight_begins(const struct flight *flight)
{
	uint32_t prefix = flight_prefix(flight);

	return prefix && (flight->anchored || flight_may_begin(flight->bytes, prefix));
}

static enum flight_added find_place(struct flight *flight, const struct frame *frame,
	const uint32_t *offset, struct place *ret_place)
{
	int32_t from;
	uint32_t len = frame->payload_bytes;

	if (!flight->n_ranges) {
		flight->start_seq = frame->seq - (offset ? *offset : 0);
		flight->anchored = offset;
	} else if (flight->anchored && offset && frame->seq - *offset != flight->start_seq) {
		return FLIGHT_ELSEWHERE;
	}
	from = (int32_t)(frame->seq - flight->start_seq);
	if (from >= (int32_t)SLUICE_FLIGHT_BYTES_MAX || from <= -(int32_t)SLUICE_FLIGHT_BYTES_MAX ||
		(from < 0 && flight->anchored))
		return FLIGHT_ELSEWHERE;
	*ret_place = (struct place){.from = from < 0 ? 0 : (uint32_t)from,
		.to = from < 0 ? len : (uint32_t)from + len,
		.shift = from < 0 ? (uint32_t)-from : 0};
	if (ret_place->to > FLIGHT_BYTES_MAX || ret_place->shift + end(flight) > FLIGHT_BYTES_MAX)
		return FLIGHT_TOO_LONG;
	return FLIGHT_GREW;
}

/* Makes room for bytes in front of those that are there. */
static void shift(struct flight *flight, uint32_t by)
{
	uint32_t i, len = end(flight);

	memmove(flight->bytes + by, flight->bytes, len);
	for (i = 0; i < flight->n_ranges; i++) {
		flight->ranges[i].from += by;
		flight->ranges[i].to += by;
	}
	if (flight->fin_at != UINT32_MAX)
		flight->fin_at += by;
	flight->start_seq -= by;
	flight->judge_at = 0;
}

/* Bytes after the end of the stream, or two ends. */
static bool fin_differs(const struct flight *flight, const struct place *place, bool fin)
{
	if (flight->fin_at != UINT32_MAX)
		return place->to > flight->fin_at || (fin && place->to != flight->fin_at);
	return fin && place->to < end(flight);
}

static bool bytes_differ(
	const struct flight *flight, const struct place *place, const uint8_t *payload)
{
	const struct flight_range *range = flight->ranges;
	uint32_t from, to;

	for (; range < flight->ranges + flight->n_ranges; range++) {
		from = range->from > place->from ? range->from : place->from;
		to = range->to < place->to ? range->to : place->to;
		if (from < to && memcmp(flight->bytes + from, payload + (from - place->from),
					 to - from) != 0)
			return true;
	}
	return false;
}

static bool is_there(const struct flight *flight, const struct place *place)
{
	const struct flight_range *range = flight->ranges;

	for (; range < flight->ranges + flight->n_ranges; range++)
		if (range->from <= place->from && place->to <= range->to)
			return true;
	return false;
}

/* Enters the place into the ranges, which stay in order and apart. False: too many. */
static bool merge(struct flight *flight, const struct place *place)
{
	struct flight_range *ranges = flight->ranges, merged = {place->from, place->to};
	uint32_t first = 0, after;

	while (first < flight->n_ranges && ranges[first].to < place->from)
		first++;
	for (after = first; after < flight->n_ranges && ranges[after].from <= place->to; after++) {
		if (ranges[after].from < merged.from)
			merged.from = ranges[after].from;
		if (ranges[after].to > merged.to)
			merged.to = ranges[after].to;
	}
	if (first == after && flight->n_ranges == FLIGHT_RANGES_MAX)
		return false;
	memmove(ranges + first + 1, ranges + after, (flight->n_ranges - after) * sizeof(*ranges));
	flight->n_ranges = (uint8_t)(flight->n_ranges - (after - first) + 1);
	ranges[first] = merged;
	return true;
}

/* Headers of the segment that was sent last, which a reordered one is not. */
static void keep_headers(struct flight *flight, const struct frame *frame)
{
	bool has_one = flight->latest.bytes;

	flight->congestion |= frame->ecn == FRAME_ECN_CE;
	if (has_one && frame->has_timestamp && flight->latest.has_timestamp &&
		(int32_t)(frame->tsval - flight->latest.tsval) < 0)
		return;
	flight->latest = *frame;
	flight->latest.bytes = flight->header;
	memcpy(flight->header, frame->bytes, frame_header_bytes(frame));
}

enum flight_added flight_add(
	struct flight *flight, const struct frame *frame, const uint32_t *offset)
{
	const uint8_t *payload = frame_payload(frame);
	bool fin = frame->flags & FRAME_FIN;
	enum flight_added added;
	struct place place;

	added = find_place(flight, frame, offset, &place);
	if (added != FLIGHT_GREW)
		return added;
	if (place.to > flight->size || place.shift + end(flight) > flight->size)
		return FLIGHT_NEEDS_LARGE;
	if (place.shift)
		shift(flight, place.shift);
	if (fin_differs(flight, &place, fin) || bytes_differ(flight, &place, payload))
		return FLIGHT_OTHER_BYTES;
	keep_headers(flight, frame);
	flight->latest_from = place.from;
	flight->joined = place.from <= flight_prefix(flight) && !place.shift;
	if (is_there(flight, &place) && (!fin || flight->fin_at != UINT32_MAX))
		return FLIGHT_REPEATED;
	if (!merge(flight, &place))
		return FLIGHT_TOO_MANY_PIECES;
	if (fin)
		flight->fin_at = place.to;
	memcpy(flight->bytes + place.from, payload, frame->payload_bytes);
	return FLIGHT_GREW;
}

bool flight_behind_gap(const struct flight *flight, uint32_t *ret_from, uint32_t *ret_to)
{
	const struct flight_range *range, *found = NULL, *last = flight->ranges + flight->n_ranges;

	for (range = flight->ranges + (flight_prefix(flight) ? 1 : 0); range < last; range++)
		if (!found || range->from <= flight->latest_from)
			found = range;
	if (!found)
		return false;
	*ret_from = flight->start_seq + found->from;
	*ret_to = flight->start_seq + found->to;
	return true;
}

static void mark_congestion(const struct frame *frame)
{
	uint8_t *ip = frame_ip(frame);

	if (frame->v6)
		ip[1] |= FRAME_ECN_CE << 4;
	else
		ip[IPV4_TOS] |= FRAME_ECN_CE;
}

uint32_t flight_packet(struct flight *flight, struct iovec ret_parts[static 2])
{
	struct frame *frame = &flight->latest;
	uint32_t prefix = flight_prefix(flight);
	uint8_t flags = FRAME_ACK | FRAME_PSH;

	if (flight->fin_at == prefix)
		flags |= FRAME_FIN;
	if (flight->congestion)
		mark_congestion(frame);
	frame_restate(frame, flight->start_seq, prefix, flags);
	ret_parts[0] = (struct iovec){frame_ip(frame), (size_t)frame->ip_bytes + frame->tcp_bytes};
	ret_parts[1] = (struct iovec){flight->bytes, prefix};
	return frame->ip_bytes;
}
