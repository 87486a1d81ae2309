/* The gate of one worker: see gate.h. Frames in, and first flights that are whole in their first
 * frame; the others go to gate_gather.c. */
#include "core/counter.h"
#include "core/mem.h"
#include "gate/gate_parts.h"

#include <sluice/settings.h>

#include <errno.h>
#include <stdlib.h>

enum {
	/* What the sources of a gate may use of a turn, all of them: connections that were accepted
	 * wait meanwhile. A release runs the kernel's stack and costs as much as several frames. */
	TURN_BUDGET = 256,
	RELEASE_COST = 4,
	SHARE_MIN = 8, /* frames of one source */
};

static void check_cookie(const struct gate *gate, struct arrival *arrival)
{
	const struct sluice_settings *settings = gate->worker->node->settings;
	const struct frame *frame = arrival->frame;
	uint32_t offset = 0, epoch;

	if (!settings)
		return;
	epoch = __atomic_load_n(&settings->epoch, __ATOMIC_RELAXED);
	arrival->own_cookie = sluice_cookie_check(sluice_cookie_secret_of(settings)->keys, epoch,
				      &frame->tuple, frame->ack - 1, frame->has_timestamp,
				      frame->tsecr, frame->seq, &offset) != COOKIE_BAD;
	arrival->has_offset = arrival->own_cookie && frame->has_timestamp;
	arrival->offset = offset;
}

static bool may_be_whole(const struct arrival *arrival)
{
	const struct frame *frame = arrival->frame;

	if (arrival->has_offset)
		return arrival->offset == 0;
	return flight_may_begin(frame_payload(frame), frame->payload_bytes);
}

/* The frame as it came, for the kernel. */
static void settle_frame(
	struct gate *gate, const struct arrival *arrival, struct gate_judgement *judgement)
{
	const struct frame *frame = arrival->frame;
	struct packet packet = {
		.parts[0] = {frame_ip(frame),
			(size_t)frame->ip_bytes + frame->tcp_bytes + frame->payload_bytes},
		.n_parts = 1,
		.ip_bytes = frame->ip_bytes,
		.partial = frame->partial,
		.next_seq = frame->seq + frame->payload_bytes + !!(frame->flags & FRAME_FIN),
	};

	gate_settle(gate, arrival, judgement, &packet);
}

static bool is_straggler(
	const struct gate *gate, const struct frame *frame, const struct flight_key *key)
{
	return stragglers_has(&gate->stragglers, flights_hash(&gate->flights, key), frame->seq,
		frame->seq + frame->payload_bytes, gate_now_ms(gate));
}

static void take_segment(struct gate *gate, const struct arrival *arrival)
{
	const struct frame *frame = arrival->frame;
	const struct flight_key key = {frame->tuple, frame->ack};
	struct flight *flight = flights_find(&gate->flights, &key);
	struct gate_judgement judgement;
	const void *bytes = frame_payload(frame);
	uint32_t len = frame->payload_bytes;

	if (flight || !may_be_whole(arrival)) {
		if (!flight && is_straggler(gate, frame, &key))
			gate_count(gate, GATE_duplicate);
		else
			gate_gather(gate, arrival, flight, 0);
		return;
	}
	if (gate_look(gate, arrival, bytes, len, &judgement) == -EAGAIN)
		gate_gather(
			gate, arrival, NULL, (uint32_t)gate_judge_needs(&judgement, bytes, len));
	else
		settle_frame(gate, arrival, &judgement);
}

static void take_frame(struct gate_source *source, const struct xsk_frame *received)
{
	struct gate *gate = source->gate;
	struct frame frame;
	struct arrival arrival = {.source = source, .frame = &frame};
	int r;

	counter_inc(&gate->worker->counts.frames);
	r = frame_parse(received->bytes, received->len_bytes, &frame);
	if (r < 0) {
		gate_count(gate, r == -EBADMSG ? GATE_bad_checksum : GATE_bad_frame);
		return;
	}
	frame_addresses(&frame, &arrival.client, &arrival.local);
	arrival.listener = listeners_find(&gate->listeners, &frame.tuple);
	if (!arrival.listener) {
		gate_refuse(gate, &arrival, GATE_no_listener, true);
		return;
	}
	check_cookie(gate, &arrival);
	take_segment(gate, &arrival);
}

void gate_serve(struct gate *gate, size_t index)
{
	struct gate_source *source = &gate->sources[index];
	uint32_t share = TURN_BUDGET / gate->n_sources, cost, asked, n, i;
	struct xsk_frame frames[XSK_BATCH_MAX];

	if (share < SHARE_MIN)
		share = SHARE_MIN;
	for (; share; share -= cost < share ? cost : share) {
		asked = share < XSK_BATCH_MAX ? share : XSK_BATCH_MAX;
		n = (uint32_t)gate->ops->receive(source->io, frames, asked);
		gate->releases = 0;
		for (i = 0; i < n; i++) {
			if (i + 1 < n)
				__builtin_prefetch(frames[i + 1].bytes);
			take_frame(source, &frames[i]);
		}
		if (n)
			gate->ops->put_back(source->io);
		if (n < asked)
			return;
		cost = n + gate->releases * (RELEASE_COST - 1);
	}
	/* What is left makes the descriptor readable again: it is watched by level. */
}

static void source_ready(struct watch *watch, uint32_t events)
{
	struct gate_source *source = container_of(watch, struct gate_source, watch);

	gate_serve(source->gate, (size_t)(source - source->gate->sources));
}

static void flush(struct task *task)
{
	struct gate *gate = container_of(task, struct gate, flush);
	uint32_t i;

	for (i = 0; i < gate->n_sources; i++) {
		if (gate->sources[i].sent)
			gate->ops->flush(gate->sources[i].io);
		gate->sources[i].sent = false;
	}
}

void gate_set_listeners(struct gate *gate, const struct gate_listener *listeners, size_t count)
{
	listeners_set(&gate->listeners, listeners, count);
}

/* As they are until they are watched, so that gate_free() can tell. */
static void init_sources(struct gate *gate, const struct gate_io *io)
{
	uint32_t i;

	for (i = 0; i < gate->n_sources; i++)
		gate->sources[i] = (struct gate_source){
			.watch = {.fd = -1}, .gate = gate, .io = io->sources[i]};
}

static int watch_sources(struct gate *gate, const struct gate_io *io, struct err *err)
{
	uint32_t i;
	int r;

	for (i = 0; i < gate->n_sources; i++) {
		struct gate_source *source = &gate->sources[i];
		int fd = io->ops->fd(source->io);

		if (fd < 0)
			continue;
		source->watch = (struct watch){.fd = fd, .ready = source_ready};
		r = loop_add_level(gate->loop, &source->watch);
		if (r < 0) {
			source->watch.fd = -1;
			return err_set(err, r, "gate: cannot wait for AF_XDP socket %u: %s", i,
				strerror(-r));
		}
	}
	return 0;
}

int gate_new_io(const struct gate_spec *spec, const struct gate_io *io, struct gate **ret_gate,
	struct err *err)
{
	struct gate *gate = mem_zalloc(sizeof(*gate) + io->n_sources * sizeof(gate->sources[0]));
	int r;

	gate->ops = io->ops;
	gate->out = io->out;
	gate->clock = io->clock;
	gate->loop = spec->io->loop;
	gate->worker = spec->worker;
	gate->flush.run = flush;
	gate->n_sources = (uint32_t)io->n_sources;
	init_sources(gate, io);
	listeners_init(&gate->listeners);
	r = flights_init(&gate->flights, spec->flights_max);
	if (r < 0)
		r = err_set(err, r, "gate: no memory for incomplete first flights");
	else
		r = watch_sources(gate, io, err);
	if (r < 0) {
		gate_free(gate);
		return r;
	}
	*ret_gate = gate;
	return 0;
}

void gate_free(struct gate *gate)
{
	uint32_t i;

	if (!gate)
		return;
	flush(&gate->flush);
	task_cancel(&gate->flush);
	for (i = 0; i < gate->n_sources; i++)
		if (gate->sources[i].watch.fd >= 0)
			loop_del(gate->loop, &gate->sources[i].watch);
	flights_fini(&gate->flights);
	__atomic_store_n(&gate->worker->counts.flights_open, 0, __ATOMIC_RELAXED);
	listeners_fini(&gate->listeners);
	free(gate);
}
