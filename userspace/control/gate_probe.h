/*
 * Does what the gate releases reach accept()? A flight of nobody's is written to the TUN device, as
 * the gate would, for a socket that listens for the moment. At start, before the listening sockets
 * are opened and before dp_listeners_set(): none are guarded afterwards. And for `sluiced
 * --check-host`. Control thread; takes up to half a second where a packet filter drops the flight,
 * else a millisecond.
 */
#ifndef SLUICE_CONTROL_GATE_PROBE_H
#define SLUICE_CONTROL_GATE_PROBE_H

#include "control/config.h"
#include "core/err.h"
#include "dataplane/dataplane.h"
#include "net/addr.h"
#include "net/tun.h"

/*
 * `target` is an address of a listener; one that is not specified (0.0.0.0, ::) stands for any of
 * the host's. A port that is in use is replaced by a free one: *ret_address says what was tried.
 *   0              it does
 *   -EHOSTUNREACH  the kernel made a socket of it, and then something dropped it: `err` says what
 *                  may be in the way, and the rule to add
 *   -EADDRNOTAVAIL the host does not have the address: nothing was tried
 *   -ENOTSUP       the packet plane makes no sockets here (dp_handover_report says why)
 * and what else can go wrong with sockets.
 */
int gate_probe_run(struct dataplane *dp, const struct tun *tun, const union addr *target,
	union addr *ret_address, struct err *err) must_check;

/* The first address of that family whose first flights would go through the gate. `config` may be
 * NULL. */
bool gate_probe_target(
	const struct config *config, sa_family_t family, union addr *ret_target) must_check;
/* Tries one address of each family that has such a listener. 0, or -EHOSTUNREACH or -EIO: the gate
 * must not be used. What could not be tried is logged, and counts as good. */
int gate_probe_config(struct dataplane *dp, const struct tun *tun, const struct config *config,
	struct err *err) must_check;

#endif
