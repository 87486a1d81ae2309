/*
 * Does what is let in with a cookie reach accept()? A flight of nobody's is sent on one of the two
 * ways there are, for a socket that listens for the moment: written to the TUN device, as the gate
 * releases it, or shown to the XDP program of an interface, which lets it in directly. At start,
 * when the gate comes up later, and for `sluiced --check-host`. Control thread; takes up to half a
 * second where a packet filter drops the flight, else a millisecond.
 */
#ifndef SLUICE_CONTROL_GATE_PROBE_H
#define SLUICE_CONTROL_GATE_PROBE_H

#include "control/config.h"
#include "core/err.h"
#include "dataplane/dp_gate.h"
#include "dataplane/dp_listeners.h"
#include "net/addr.h"
#include "net/tun.h"

/* Guards one listener more beside those that are, or NULL: no longer. */
typedef int gate_probe_guard(void *arg, const struct dp_listener *listener, struct err *err);

struct gate_probe_way {
	struct dataplane *dp;
	const struct tun *tun; /* by the TUN device, or NULL: */
	const struct dp_gate_interface *interface; /* in on this interface */
	gate_probe_guard *guard; /* NULL: none are guarded, nor will be afterwards */
	void *arg;
};

/*
 * `target` is an address of a listener; one that is not specified (0.0.0.0, ::) stands for any of
 * the host's, or of the interface's. Where the port is in use the same one of 192.0.0.8, the TUN
 * device's address, takes its place, or a free one: *ret_address says what was tried.
 *   0              it does
 *   -EHOSTUNREACH  the kernel made a socket of it, and then something dropped it: `err` says what
 *                  may be in the way, and the rule to add
 *   -EADDRNOTAVAIL the host, or the interface, does not have the address: nothing was tried
 *   -ENOTSUP       the packet plane makes no sockets here (dp_handover_report says why)
 * and what else can go wrong with sockets.
 */
int gate_probe_run(const struct gate_probe_way *way, const union addr *target,
	union addr *ret_address, struct err *err) must_check;

/* The first address of that family; `gated`: whose first flights would go through the gate.
 * `config` may be NULL. */
bool gate_probe_target(const struct config *config, sa_family_t family, bool gated,
	union addr *ret_target) must_check;
/* Tries the TUN device with one address of each family that has a gated listener. 0, or
 * -EHOSTUNREACH or -EIO: the gate must not be used. What could not be tried is logged, and counts
 * as good. */
int gate_probe_config(
	const struct gate_probe_way *way, const struct config *config, struct err *err) must_check;
/* Tries every interface that carries the XDP program with one address of each family that has a
 * listener (way->tun and way->interface are not looked at). -EHOSTUNREACH: a packet filter drops
 * what comes directly wherever that could be tried: no cookies of our own. Else how many times it
 * arrived. */
int gate_probe_links(
	const struct gate_probe_way *way, const struct config *config, struct err *err) must_check;

#endif
