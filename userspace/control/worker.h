/*
 * Worker threads: each runs a loop over its share of the listening sockets and everything it
 * accepted. The control thread starts and stops them and reads their counters; it talks to them
 * through the snapshot and a few atomic words that they look at once a turn.
 */
#ifndef SLUICE_CONTROL_WORKER_H
#define SLUICE_CONTROL_WORKER_H

#include "control/connections_page.h"
#include "core/snapshot.h"
#include "dataplane/dp_heartbeat.h"
#include "gate/gate.h"
#include "gate/parked.h"
#include "proxy/worker.h"
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>

/* The AF_XDP sockets and the queue of the TUN device that a worker's gate works with; immutable. */
struct gate_share {
	struct xsk **xsks;
	uint32_t *places; /* of each, the same with every worker and process; see gate/parked.h */
	uint32_t n_xsks;
	int tun_fd;
	bool parks; /* the incomplete flights of the share before are wanted: struct worker, parked */
	const struct gate_parked *parked; /* that may be of these sockets */
	uint32_t n_parked;
};

struct worker {
	struct proxy_worker proxy;
	struct gate_worker gate_worker;
	struct gate *gate; /* NULL: it has no AF_XDP socket */
	const struct gate_share *share; /* that gate's */
	_Atomic(const struct gate_share *) share_wanted; /* the control thread's wish */
	_Atomic(const struct gate_share *) share_seen; /* the wish it has followed */
	struct gate_parked parked; /* the control thread's, once the share that wants it is seen */
	const struct snapshot_root *root; /* struct build */
	struct list acceptors; /* struct acceptor_link, in worker.c */
	struct connections_inbox connections; /* who wants to see them */
	struct dp_heartbeat heartbeat;
	int cpu; /* pinned to; -1: not pinned */
	pthread_t thread;
	sem_t ended; /* posted as its last */
	bool started;
	atomic_bool hand_over; /* set: the heartbeat is another process's */
	atomic_bool has_handed_over; /* the answer: it listens to no socket any more */
	atomic_bool leave; /* set: tell clients not to stay */
	atomic_bool drain; /* set: keep nothing alive */
	atomic_bool stop; /* set: close everything and end */
	atomic_uint sweeps; /* bumped: look for targets that were removed or have expired */
	uint32_t sweeps_seen;
	atomic_uint_fast64_t stamp_ns; /* last turn, CLOCK_MONOTONIC_COARSE */
	atomic_uint_fast64_t busy_us; /* time not spent waiting */
	uint64_t turn_began_us;
	/* Control thread: how busy it was in the last second or so. */
	uint64_t sampled_busy_us, sampled_mono_us;
	uint32_t busy_percent;
};

int worker_init(struct worker *worker, uint32_t index, const struct snapshot_root *root,
	struct proxy_node *node, struct gate_node *gate_node) must_check;
/* With the heartbeat row set. `cpu` -1: let the kernel choose. */
int worker_start(struct worker *worker, int cpu) must_check;
/* Any number of workers may be told first and then joined. */
void worker_tell_leave(struct worker *worker);
void worker_tell_drain(struct worker *worker);
void worker_tell_hand_over(struct worker *worker);
void worker_tell_stop(struct worker *worker);
void worker_tell_sweep(struct worker *worker);
void worker_wake(struct worker *worker);
/* How long ago it took its last turn; 0 before the first. */
uint64_t worker_turn_age_ms(const struct worker *worker);
/* False: it has not ended by then (clock_mono_ms()). */
bool worker_join(struct worker *worker, uint64_t until_ms) must_check;
void worker_fini(struct worker *worker);

#endif
