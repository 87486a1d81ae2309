/* The end of a first flight: into the kernel, or refused. See gate_parts.h. */
#include "gate/gate_parts.h"
#include "gate/reply.h"

#define LOG_MODULE "gate"
#include "core/log.h"

#include <errno.h>
#include <string.h>

enum {
	WINDOW = 64240, /* as the SYN-ACK said */
	/* When the kernel answered the SYN its window scale is not known here: enough for the rest of
	 * a hello without one, and no more than a few megabytes with the largest. */
	WINDOW_ANY_SCALE = 4096,
};

int gate_look(struct gate *gate, const struct arrival *arrival, const void *bytes, size_t len,
	struct gate_judgement *ret)
{
	struct gate_worker *worker = gate->worker;

	return gate_judge(arrival->listener->policy, worker->node->limits, &arrival->client, bytes,
		len, worker->scratch, gate_now_us(gate), ret);
}

static void note(
	struct gate *gate, const struct arrival *arrival, const struct gate_judgement *judgement)
{
	gate_worker_note(gate->worker, arrival->listener ? arrival->listener->policy : NULL,
		judgement, &arrival->client, &arrival->local, false);
}

static void send_reply(struct gate *gate, struct gate_source *source, const struct reply *reply)
{
	uint8_t *frame = gate->ops->send_begin(source->io);

	if (!frame) {
		gate_count(gate, GATE_reply_lost);
		return;
	}
	gate->ops->send_end(source->io, reply_write(reply, frame));
	source->sent = true;
	loop_defer(gate->loop, &gate->flush);
}

static uint16_t window(const struct arrival *arrival)
{
	uint32_t cookie = arrival->frame->ack - 1;

	if (!arrival->own_cookie)
		return WINDOW_ANY_SCALE;
	return (cookie & COOKIE_SCALE_MASK) == SLUICE_COOKIE_NO_SCALE ? WINDOW
								      : WINDOW >> SLUICE_RCV_WSCALE;
}

static void send_rst(struct gate *gate, const struct arrival *arrival)
{
	struct reply reply = {.to = arrival->frame, .flags = FRAME_RST};

	send_reply(gate, arrival->source, &reply);
}

static void send_alert(struct gate *gate, const struct arrival *arrival, uint32_t ack,
	const uint8_t *record, size_t len)
{
	struct reply reply = {
		.to = arrival->frame,
		.flags = FRAME_PSH | FRAME_ACK | FRAME_FIN,
		.window = window(arrival),
		.ack = ack,
		.payload = record,
		.payload_bytes = len,
	};

	send_reply(gate, arrival->source, &reply);
}

void gate_acknowledge(struct gate *gate, const struct arrival *arrival, struct flight *flight)
{
	struct reply reply = {
		.to = arrival->frame,
		.flags = FRAME_ACK,
		.window = window(arrival),
		.ack = flight->start_seq + flight_prefix(flight),
	};

	/* What lies behind a gap tells the client at once which segment was lost. */
	if (arrival->own_cookie && (arrival->frame->ack - 1) & COOKIE_SACK)
		reply.has_sack = flight_behind_gap(flight, &reply.sack_from, &reply.sack_to);
	send_reply(gate, arrival->source, &reply);
	gate_count(gate, GATE_partial_acked);
	flight->acknowledged |= flight_prefix(flight) > 0;
	flight->unacked_segments = 0;
	flight->ack_due_ms = 0;
}

static int release(struct gate *gate, const struct arrival *arrival, const struct packet *packet)
{
	int r;

	gate_released_put(gate->worker->node->released, &arrival->client,
		arrival->listener->policy->spec.listener_id, gate_now_us(gate));
	r = gate->ops->release(
		gate->out, packet->parts, packet->n_parts, packet->ip_bytes, packet->partial);
	gate->releases++;
	if (r < 0 && !gate->out_failing)
		log_warn("first flights cannot enter the kernel: write to the TUN device: %s; "
			 "clients will try again",
			strerror(-r));
	else if (r == 0 && gate->out_failing)
		log_info("first flights enter the kernel again");
	gate->out_failing = r < 0;
	return r;
}

void gate_settle(struct gate *gate, const struct arrival *arrival, struct gate_judgement *judgement,
	const struct packet *packet)
{
	uint8_t record[GATE_ALERT_BYTES];
	size_t len;

	if (judgement->reason == GATE_released) {
		if (release(gate, arrival, packet) < 0)
			judgement->reason = GATE_tun_failed;
		note(gate, arrival, judgement);
		if (judgement->reason == GATE_tun_failed && packet->acknowledged)
			send_rst(gate, arrival);
		return;
	}
	note(gate, arrival, judgement);
	len = gate_alert(arrival->listener->policy, judgement, record);
	if (len)
		send_alert(gate, arrival, packet->next_seq, record, len);
	else
		send_rst(gate, arrival);
}

void gate_refuse(
	struct gate *gate, const struct arrival *arrival, enum gate_reason reason, bool rst)
{
	struct gate_judgement judgement = {.reason = reason, .would_be = GATE_released};

	note(gate, arrival, &judgement);
	if (rst)
		send_rst(gate, arrival);
}
