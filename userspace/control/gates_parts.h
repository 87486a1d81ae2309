/* What gates.c and gates_handover.c share; nobody else includes it. Control thread. */
#ifndef SLUICE_CONTROL_GATES_PARTS_H
#define SLUICE_CONTROL_GATES_PARTS_H

#include "control/gates.h"
#include "net/tun.h"

struct gate_socket {
	struct xsk *xsk;
	uint32_t ifindex, queue;
	uint32_t worker;
	uint32_t
		place; /* for flights that are parked: its number here, or with the process before */
};

struct gate_interface {
	struct dp_gate_interface row; /* as it was when its sockets were made, or could not be */
	bool seen; /* while the set is compared */
};

/* What workers may still be using; freed once each has taken its new share. */
struct retired {
	struct xsk **xsks;
	uint32_t n_xsks;
	struct gate_share **shares; /* one per worker */
	struct tun *tun;
};

struct gates {
	struct gates_spec spec;
	struct tun *tun; /* NULL: no gate */
	bool failed; /* it could not be had with the present handover */
	bool is_suspended; /* another process is to have the queues */
	bool resumes, is_touched; /* it is to be dealt out again, when workers have let go of it */
	bool keeps; /* and as they are: no worker uses them, they are not closed */
	struct gate_parked *parked; /* first flights that no gate has at the moment */
	uint32_t n_parked;
	char why[GATES_WHY_BYTES];
	struct gate_socket *sockets;
	uint32_t n_sockets;
	struct gate_interface interfaces[DATAPLANE_MAX_INTERFACES];
	size_t n_interfaces;
	struct gate_share **shares; /* one per worker, in force */
	struct retired retired;
};

/* Tells every worker its share; what it had goes when all have taken theirs. Where another process is to
 * have the queues a share is empty, and what the gate has is parked. */
void gates_deal(struct gates *gates);
/* The packet plane is told of sockets from this one on. */
void gates_show(struct gates *gates, uint32_t first);
/* Which worker is to have the next one. */
uint32_t gates_worker_with_least(const struct gates *gates);
void gates_remove_interface(struct gates *gates, size_t at);
/* Workers are to let go of all of it, which is closed when they have. */
void gates_go_down(struct gates *gates);
/* Every worker has the share that it is to have, and what was parked for it. */
bool gates_all_took(const struct gates *gates);
/* True: what was retired is gone. */
bool gates_end_retirement(struct gates *gates);
void gates_forget_parked(struct gates *gates);

/* gates_handover.c */
void gates_resume_kept(struct gates *gates);
/* Those of the process before. What cannot be had is made anew later. */
void gates_take(struct gates *gates, struct gates_state *state);

#endif
