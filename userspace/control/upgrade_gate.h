/*
 * The gate and the secrets of the packet plane as messages between two daemons: see gates.h for what they
 * are. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_GATE_H
#define SLUICE_CONTROL_UPGRADE_GATE_H

#include "control/gates.h"
#include "control/upgrade_wire.h"

struct daemon;
struct upgrade_outbox;

/* Our gate rests: all of it, for whoever can go on with it. */
void upgrade_gate_give(struct daemon *daemon, struct upgrade_outbox *outbox);
/* One of these messages; true: it was. */
bool upgrade_gate_take(
	struct gates_state *state, struct dp_secrets *ret_secrets, struct upgrade_message *message);

#endif
