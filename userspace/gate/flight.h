/*
 * A first flight that came, or comes, in several segments: its bytes in one buffer, which of them
 * are there, and the headers of its latest segment, from which the one packet is made that enters
 * the kernel. The first copy of a byte counts; a copy that differs refuses the flight. Owned by the
 * gate of one worker; memory comes from its struct flights.
 *
 * The place of a segment is known where the client sends timestamps (see <sluice/cookie.h>).
 * Without them the lowest sequence number seen is taken for the start, and a lower one that comes
 * later moves it; flight_begins() says whether what stands there looks like a start.
 */
#ifndef SLUICE_GATE_FLIGHT_H
#define SLUICE_GATE_FLIGHT_H

#include "core/list.h"
#include "core/loop.h"
#include "gate/crowds.h"
#include "gate/frame.h"
#include <sys/uio.h>

enum {
	/* A ClientHello of 16 KiB, a PROXY header and the headers of a thousand records. */
	FLIGHT_BYTES_MAX = 32 * 1024,
	FLIGHT_SMALL_BYTES = 3584, /* nearly all there are; with the rest of a flight, one page */
	FLIGHT_RANGES_MAX = 9, /* eight gaps */
};

struct flight_key {
	struct sluice_cookie_tuple tuple;
	uint32_t ack; /* our cookie: another one is another connection */
};

struct flight_range {
	uint32_t from, to; /* offsets, [from, to) */
};

struct flights;

struct flight {
	struct list open; /* of struct flights, oldest first */
	struct crowd *crowd; /* of its client */
	struct list shares[CROWD_SHARES]; /* of the crowd; [CROWD_LARGE]: has a large buffer */
	struct flight *chain; /* same cell of the hash, or next free one */
	struct flights *flights;
	struct timer timer;
	struct flight_key key;
	uint64_t deadline_ms, ack_due_ms; /* on the gate's clock; ack_due 0: none */
	uint32_t source; /* queue it came from, and replies go to */
	uint32_t judge_at; /* length of the prefix below which the verdict stays open */
	uint32_t unacked_segments;
	uint32_t start_seq; /* of bytes[0] */
	uint32_t fin_at; /* offset, UINT32_MAX: none */
	uint32_t latest_from; /* offset of the latest segment */
	bool anchored; /* start_seq is proven */
	bool joined; /* the latest segment had no gap in front of it */
	bool congestion; /* a segment bore the mark CE */
	bool own_cookie; /* its options are those of this connection */
	bool acknowledged; /* the client was told to send these bytes no more */
	uint8_t n_ranges;
	struct flight_range ranges[FLIGHT_RANGES_MAX];
	struct frame latest; /* its bytes are header[] */
	uint8_t header[FRAME_HEADER_BYTES_MAX];
	uint32_t size; /* of bytes[] */
	uint8_t *bytes; /* small[], or one of the large buffers of struct flights */
	uint8_t small[FLIGHT_SMALL_BYTES];
};

enum flight_added {
	FLIGHT_GREW,
	FLIGHT_REPEATED, /* every byte was there */
	FLIGHT_NEEDS_LARGE, /* nothing was done: flights_enlarge(), then again */
	FLIGHT_OTHER_BYTES, /* refuse, as the next two */
	FLIGHT_TOO_LONG,
	FLIGHT_TOO_MANY_PIECES,
	FLIGHT_ELSEWHERE, /* its place is that of another connection from the same port */
};

void flight_start(struct flight *flight, const struct flight_key *key);
/* `offset`: of the segment in the stream, NULL: not known. */
enum flight_added flight_add(
	struct flight *flight, const struct frame *frame, const uint32_t *offset) must_check;
/* Bytes that are there without a gap. */
uint32_t flight_prefix(const struct flight *flight);
/* Whether the prefix may be the beginning of a stream. */
bool flight_begins(const struct flight *flight);
/* Whether these bytes look like the first of a connection: TLS, or a PROXY header. */
bool flight_may_begin(const uint8_t *bytes, size_t len);
/* Sequence numbers of bytes that came behind a gap, the latest ones; false: there are none. */
bool flight_behind_gap(const struct flight *flight, uint32_t *ret_from, uint32_t *ret_to);
/* The prefix as one IP packet, its TCP checksum partial: headers and bytes. Returns the length of
 * the IP header. */
uint32_t flight_packet(struct flight *flight, struct iovec ret_parts[static 2]);

#endif
