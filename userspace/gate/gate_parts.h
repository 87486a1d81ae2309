/* What the files of the gate share: gate.c (frames in, the fast path), gate_gather.c (flights in
 * pieces), gate_settle.c (release and refusal). Nobody else includes it. One worker's thread. */
#ifndef SLUICE_GATE_GATE_PARTS_H
#define SLUICE_GATE_GATE_PARTS_H

#include "gate/flights.h"
#include "gate/gate_io.h"
#include "gate/judge.h"
#include "gate/listeners.h"
#include "gate/stragglers.h"

struct gate_source {
	struct watch watch;
	struct gate *gate;
	void *io;
	bool sent; /* something waits for gate_io_ops.flush */
};

struct gate {
	const struct gate_io_ops *ops;
	void *out, *clock;
	struct loop *loop;
	struct gate_worker *worker;
	struct listeners listeners;
	struct flights flights;
	struct stragglers stragglers;
	struct task flush;
	bool out_failing; /* the latest release failed: said once */
	uint32_t releases; /* of this turn of a source, for its budget */
	uint32_t n_sources;
	struct gate_source sources[];
};

/* A segment, and what is known about where it belongs. */
struct arrival {
	struct gate_source *source;
	const struct frame *frame;
	const struct gate_listener *listener; /* NULL: nobody's */
	union addr client, local;
	bool own_cookie;
	bool has_offset;
	uint32_t offset;
};

/* What enters the kernel if the verdict is good, and what is acknowledged if it is not. */
struct packet {
	struct iovec parts[2];
	int n_parts;
	uint32_t ip_bytes;
	bool partial;
	bool acknowledged; /* some of it: the client will not send all of it again */
	uint32_t next_seq;
};

static inline uint64_t gate_now_us(const struct gate *gate)
{
	return gate->ops->now_us(gate->clock);
}

static inline uint64_t gate_now_ms(const struct gate *gate)
{
	return gate_now_us(gate) / 1000;
}

static inline void gate_count(struct gate *gate, enum gate_reason reason)
{
	uint64_t *counter = &gate->worker->counts.reasons[reason];

	__atomic_store_n(counter, *counter + 1, __ATOMIC_RELAXED);
}

/* 0: *ret is final; -EAGAIN. */
int gate_look(struct gate *gate, const struct arrival *arrival, const void *bytes, size_t len,
	struct gate_judgement *ret) must_check;

/* Releases or refuses by the judgement, which is counted; -errno of a failed release goes there. */
void gate_settle(struct gate *gate, const struct arrival *arrival, struct gate_judgement *judgement,
	const struct packet *packet);
/* Refused for something else than what a hello says, with or without a RST. */
void gate_refuse(
	struct gate *gate, const struct arrival *arrival, enum gate_reason reason, bool rst);
/* An acknowledgement of everything before `ack`. */
void gate_acknowledge(struct gate *gate, const struct arrival *arrival, struct flight *flight);

/* A segment that is not a whole flight. `flight`: the one it belongs to, or NULL. `judge_at`: see
 * struct flight; 0: the segment was not looked at. */
void gate_gather(
	struct gate *gate, const struct arrival *arrival, struct flight *flight, uint32_t judge_at);
/* One that came from another gate: its times hold here. */
void gate_watch_flight(struct gate *gate, struct flight *flight);

#endif
