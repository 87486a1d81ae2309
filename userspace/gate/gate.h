/*
 * The gate of one worker: takes first flights from its AF_XDP sockets, puts them together, judges
 * them, and lets them in (through the TUN device) or refuses them. Runs in the worker's loop; a
 * bounded number of frames a turn; no allocation per flight.
 *
 * A flight that is whole in its first frame is judged and released out of that frame. Others are
 * gathered: their bytes lie in one buffer, the first copy of a byte counts, and what is released is
 * one packet with exactly the bytes that were judged, so that the kernel cannot see others.
 * Nothing is remembered of a flight that was released: if its segments come again (the accept queue
 * was full) they are judged again.
 */
#ifndef SLUICE_GATE_GATE_H
#define SLUICE_GATE_GATE_H

#include "core/attr.h"
#include "core/err.h"
#include "core/loop.h"
#include "gate/events.h"
#include "gate/limits.h"
#include "gate/policy.h"
#include "gate/released.h"
#include "gate/top.h"
#include "net/addr.h"
#include "net/stream.h"

struct sluice_settings;
struct xsk;

/* Shared by the gates of all workers; control makes it. */
struct gate_node {
	struct gate_limits *limits;
	struct gate_released *released;
	const struct sluice_settings
		*settings; /* of the packet plane: cookie secret and epoch; NULL: none */
};

/* What every worker has, whether there is a gate or not: also used to judge after accept. */
struct gate_worker {
	struct gate_node *node;
	struct gate_counts counts;
	struct top *top[TOP_KINDS];
	struct gate_events *events;
	void *scratch; /* CLIENTHELLO_SCRATCH_BYTES */
	uint64_t aged_us; /* when `top` was halved last; 0: not yet */
};

int gate_worker_init(struct gate_worker *worker, struct gate_node *node) must_check;
void gate_worker_fini(struct gate_worker *worker);
/* Once a turn, or at least every few seconds: what is due by time. */
void gate_worker_turn(struct gate_worker *worker, uint64_t now_us);
/* Counts the verdict, feeds top and events. For the gate itself and for proxy/frontend. */
void gate_worker_note(struct gate_worker *worker, const struct gate_policy *policy,
	const struct gate_judgement *judgement, const union addr *client, const union addr *local,
	bool ungated);

/* An address and who serves it; `local` may be a wildcard. */
struct gate_listener {
	union addr local;
	const struct gate_policy *policy; /* of the snapshot */
	uint32_t handshake_ms; /* how long an incomplete flight is kept */
	/* Incomplete flights of an IPv4 /24 or IPv6 /56 at a time in one gate; 0: as many as fit. */
	uint32_t flights_per_prefix;
};

struct gate;

struct gate_spec {
	struct iothread *io;
	struct gate_worker *worker;
	struct xsk *const *xsks; /* its share of the queues; the gate does not close them */
	size_t n_xsks;
	int tun_fd; /* its queue */
	uint32_t flights_max; /* incomplete ones; 0: 4096 */
};

/* On the worker's thread, as everything below. */
int gate_new(const struct gate_spec *spec, struct gate **ret_gate, struct err *err) must_check;
/* Incomplete flights are forgotten. */
void gate_free(struct gate *gate);
/* At the start of a turn with a new snapshot: look-ups go to these from now on. */
void gate_set_listeners(struct gate *gate, const struct gate_listener *listeners, size_t count);

#endif
