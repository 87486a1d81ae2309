/* First flights in several segments: gathered until they can be judged. See gate_parts.h. */
#include "core/counter.h"
#include "gate/gate_parts.h"

#include <errno.h>

enum {
	ACK_AFTER_MS = 10,
	/* A client that sends small segments waits for acknowledgements to send more of them. */
	ACK_AFTER_SEGMENTS = 8,
	TIMEOUT_MS_MAX = 10 * 1000,
};

static void show_open(struct gate *gate)
{
	__atomic_store_n(
		&gate->worker->counts.flights_open, gate->flights.n_open, __ATOMIC_RELAXED);
}

static void close_flight(struct gate *gate, struct flight *flight)
{
	flights_put(&gate->flights, flight);
	show_open(gate);
}

/* The flight's latest segment once more, as of now: its listener may have gone. */
static void recall(struct gate *gate, const struct flight *flight, struct arrival *ret_arrival)
{
	*ret_arrival = (struct arrival){
		.source = &gate->sources[flight->source],
		.frame = &flight->latest,
		.listener = listeners_find(&gate->listeners, &flight->key.tuple),
		.own_cookie = flight->own_cookie,
	};
	frame_addresses(&flight->latest, &ret_arrival->client, &ret_arrival->local);
}

/* A client that was told that its bytes had come would wait for ever; but one that has begun anew takes
 * what is said about the connection before for its own. */
static void forget(struct gate *gate, struct flight *flight, enum gate_reason reason, bool rst)
{
	struct arrival arrival;

	recall(gate, flight, &arrival);
	gate_refuse(gate, &arrival, arrival.listener ? reason : GATE_no_listener,
		rst || (flight->acknowledged && reason != GATE_flight_replaced));
	close_flight(gate, flight);
}

static void set_timer(struct gate *gate, struct flight *flight, uint64_t now_ms)
{
	uint64_t due = flight->deadline_ms;

	if (flight->ack_due_ms && flight->ack_due_ms < due)
		due = flight->ack_due_ms;
	timer_set(gate->loop, &flight->timer, due > now_ms ? (uint32_t)(due - now_ms) : 0);
}

static void come_due(struct gate *gate, struct flight *flight, uint64_t now_ms)
{
	struct arrival arrival;

	if (now_ms >= flight->deadline_ms) {
		/* Without its first bytes it may be a straggler of one that was released. */
		forget(gate, flight, GATE_flight_timeout, flight_prefix(flight));
		return;
	}
	if (flight->ack_due_ms && now_ms >= flight->ack_due_ms) {
		recall(gate, flight, &arrival);
		gate_acknowledge(gate, &arrival, flight);
	}
	set_timer(gate, flight, now_ms);
}

static void timer_fired(struct timer *timer)
{
	struct flight *flight = container_of(timer, struct flight, timer);
	struct gate *gate = container_of(flight->flights, struct gate, flights);

	come_due(gate, flight, gate_now_ms(gate));
}

void gate_fire_due(struct gate *gate)
{
	uint64_t now_ms = gate_now_ms(gate);
	struct list *link, *after;
	struct flight *flight;

	list_for_each_safe(link, after, &gate->flights.open) {
		flight = container_of(link, struct flight, open);
		if (now_ms >= flight->deadline_ms ||
			(flight->ack_due_ms && now_ms >= flight->ack_due_ms))
			come_due(gate, flight, now_ms);
	}
}

/* A prefix that has its share makes room itself. After a change of the share it may have more. */
static struct flight *get_flight(
	struct gate *gate, const struct arrival *arrival, const struct flight_key *key)
{
	uint32_t share = arrival->listener->flights_per_prefix;
	struct flight *flight;

	while (share && (flight = flights_over_share(&gate->flights, key, share)))
		forget(gate, flight, GATE_prefix_flights, false);
	flight = flights_get(&gate->flights, key);
	if (flight)
		return flight;
	forget(gate, flights_surplus(&gate->flights, CROWD_OPEN), GATE_flights_full, false);
	return flights_get(&gate->flights, key);
}

void gate_watch_flight(struct gate *gate, struct flight *flight)
{
	flight->timer.fire = timer_fired;
	set_timer(gate, flight, gate_now_ms(gate));
	show_open(gate);
}

static struct flight *open_flight(struct gate *gate, const struct arrival *arrival)
{
	struct flight_key key = {arrival->frame->tuple, arrival->frame->ack};
	uint32_t keep_ms = arrival->listener->handshake_ms;
	struct flight *flight = get_flight(gate, arrival, &key);

	if (!keep_ms || keep_ms > TIMEOUT_MS_MAX)
		keep_ms = TIMEOUT_MS_MAX;
	flight->deadline_ms = gate_now_ms(gate) + keep_ms;
	flight->source = (uint32_t)(arrival->source - gate->sources);
	flight->own_cookie = arrival->own_cookie;
	gate_watch_flight(gate, flight);
	return flight;
}

static enum flight_added add(
	struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	const uint32_t *offset = arrival->has_offset ? &arrival->offset : NULL;
	enum flight_added added = flight_add(flight, arrival->frame, offset);

	if (added != FLIGHT_NEEDS_LARGE)
		return added;
	while (!flights_enlarge(&gate->flights, flight))
		forget(gate, flights_surplus(&gate->flights, CROWD_LARGE), GATE_flights_full,
			false);
	return flight_add(flight, arrival->frame, offset);
}

/* True: there was a verdict, and the flight is gone. */
static bool judge(struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	uint32_t prefix = flight_prefix(flight);
	struct gate_judgement judgement;
	struct arrival whole = *arrival;
	struct packet packet = {
		.n_parts = 2, .partial = true, .acknowledged = flight->acknowledged};

	if (prefix < flight->judge_at || !flight_begins(flight))
		return false;
	if (gate_look(gate, arrival, flight->bytes, prefix, &judgement) == -EAGAIN) {
		flight->judge_at = (uint32_t)gate_judge_needs(&judgement, flight->bytes, prefix);
		return false;
	}
	packet.next_seq = flight->start_seq + prefix + (flight->fin_at == prefix);
	packet.ip_bytes = flight_packet(flight, packet.parts);
	whole.frame = &flight->latest;
	gate_settle(gate, &whole, &judgement, &packet);
	if (judgement.reason != GATE_tun_failed)
		stragglers_put(&gate->stragglers, flights_hash(&gate->flights, &flight->key),
			flight->start_seq, packet.next_seq, gate_now_ms(gate));
	close_flight(gate, flight);
	return true;
}

static void acknowledge_later(
	struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	uint64_t now_ms = gate_now_ms(gate);

	if (!flight->anchored && !flight_begins(flight))
		return; /* of what, is not known */
	if (++flight->unacked_segments >= ACK_AFTER_SEGMENTS) {
		gate_acknowledge(gate, arrival, flight);
	} else if (!flight->ack_due_ms) {
		flight->ack_due_ms = now_ms + ACK_AFTER_MS;
		set_timer(gate, flight, now_ms);
	}
}

static void grew(struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	if (!flight->joined)
		gate_count(gate, GATE_reordered);
	if (judge(gate, arrival, flight))
		return;
	gate_count(gate, GATE_partial);
	acknowledge_later(gate, arrival, flight);
}

static void repeated(struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	gate_count(gate, GATE_duplicate);
	if (flight->anchored || flight_begins(flight))
		gate_acknowledge(gate, arrival, flight);
}

static void refuse_flight(struct gate *gate, const struct arrival *arrival, struct flight *flight,
	enum gate_reason reason)
{
	gate_refuse(gate, arrival, reason, true);
	close_flight(gate, flight);
}

void gate_gather(
	struct gate *gate, const struct arrival *arrival, struct flight *flight, uint32_t judge_at)
{
	enum flight_added added = FLIGHT_ELSEWHERE;

	if (flight) {
		added = add(gate, arrival, flight);
		if (added == FLIGHT_ELSEWHERE)
			forget(gate, flight, GATE_flight_replaced, false);
	}
	if (added == FLIGHT_ELSEWHERE) {
		flight = open_flight(gate, arrival);
		flight->judge_at = judge_at;
		added = add(gate, arrival, flight);
	}
	switch (added) {
	case FLIGHT_GREW:
		grew(gate, arrival, flight);
		break;
	case FLIGHT_REPEATED:
		repeated(gate, arrival, flight);
		break;
	case FLIGHT_OTHER_BYTES:
		refuse_flight(gate, arrival, flight, GATE_overlap_mismatch);
		break;
	case FLIGHT_TOO_MANY_PIECES:
		refuse_flight(gate, arrival, flight, GATE_flight_pieces);
		break;
	case FLIGHT_TOO_LONG:
	case FLIGHT_NEEDS_LARGE:
	case FLIGHT_ELSEWHERE:
		refuse_flight(gate, arrival, flight, GATE_flight_too_long);
		break;
	}
}
