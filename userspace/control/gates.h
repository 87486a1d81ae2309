/*
 * The gates of the workers: which AF_XDP sockets there are, which worker has which, and the TUN
 * device they release into. Control thread; a worker takes a changed share over at the start of a
 * turn, and what it had before is closed once it has.
 */
#ifndef SLUICE_CONTROL_GATES_H
#define SLUICE_CONTROL_GATES_H

#include "control/config.h"
#include "control/gate_probe.h"
#include "control/worker.h"
#include "core/err.h"
#include "dataplane/dp_gate.h"
#include "net/xsk.h"
#include <stdbool.h>
#include <stdint.h>

enum { GATES_WHY_BYTES = 256 };

struct gates;

/* A gate that one process has made and another one goes on with. */
struct gates_socket {
	char interface[16];
	uint32_t ifindex, queue;
	uint32_t place; /* that flights which came from it name */
	struct xsk_state state;
	int fds[XSK_FDS]; /* -1: taken */
};

struct gates_state {
	struct gates_socket *sockets;
	uint32_t n_sockets;
	int tun_fds[SLUICE_MAX_WORKERS]; /* queues of the TUN device */
	uint32_t n_tun_fds;
	int tun_link_fd; /* the tc program's on it; -1: none */
	struct gate_parked *parked; /* incomplete first flights, of a worker each */
	uint32_t n_parked;
};

struct gates_spec {
	struct dataplane *dp;
	struct worker *workers;
	uint32_t n_workers;
	gate_probe_guard *guard;
	void *arg; /* of guard */
	struct gates_state
		*state; /* of the process before; what is used is taken out. NULL: none */
};

/* Makes the device and the sockets and gives each worker its share. What the host cannot do is in
 * the report, and first flights then go around the gate; only lack of memory ends the process.
 * `config`: whose listeners are not open yet, for the probes. */
struct gates *gates_new(const struct gates_spec *spec, const struct config *config);
/* Workers must have ended. */
void gates_free(struct gates *gates);
/* About once a second: interfaces that came, went or changed their queues, and the handover: there
 * is a gate as long as the packet plane has cookies of its own. `config`: the one in force. */
void gates_maintain(struct gates *gates, const struct config *config);

/* Workers let go of devices and queues, for another process to have them: as they are (`keeps`), or closed.
 * False: not yet; ask again. */
bool gates_suspend(struct gates *gates, bool keeps);
/* What there is then, which stays ours: only the rows of `ret_state` are the caller's. */
void gates_give(struct gates *gates, struct gates_state *ret_state);
/* It did not come to it. `is_touched`: the other process may have used them; the next gates_maintain()
 * makes them again. */
void gates_resume(struct gates *gates, bool is_touched);
/* The other process has them. */
void gates_let_go(struct gates *gates);
/* For whoever got it from another process: nothing is in it. */
void gates_state_init(struct gates_state *state);
/* Closes and frees what nobody has taken out. */
void gates_state_fini(struct gates_state *state);

struct gates_report {
	bool active; /* there is a gate */
	char why[GATES_WHY_BYTES]; /* why not, or what is missing; "" */
	char device[16]; /* the TUN device */
	uint32_t sockets, zero_copy; /* AF_XDP sockets; those without copying */
	struct xsk_counts counts; /* of them all */
};

void gates_report(const struct gates *gates, struct gates_report *ret_report);

#endif
