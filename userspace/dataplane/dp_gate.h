/*
 * The part of the packet plane that hands connections over: SYN cookies, the AF_XDP sockets that
 * get first flights, the tc program that makes sockets of released ones. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_GATE_H
#define SLUICE_DATAPLANE_DP_GATE_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/cookie.h>
#include <sluice/gate.h>

struct dp_cookie_secret {
	uint64_t keys[SLUICE_COOKIE_KEYS][2]; /* [0] signs; an unused one is all zero */
};

struct dp_handover_report {
	enum handover reached;
	char why[DATAPLANE_WHY_BYTES]; /* why not own cookies; "" when there is nothing to say */
};

void dp_handover_report(const struct dataplane *dp, struct dp_handover_report *ret_report);
/* Something found at run time forbids more (a firewall drops what the gate releases): SYNs are
 * answered, and sockets made, in that simpler way from the next packet on. */
void dp_handover_limit(struct dataplane *dp, enum handover most, const char *why);

/* In force from the next packet on. Without it the secret is random, and kept in the pinned
 * settings over a restart. */
void dp_cookies_set(struct dataplane *dp, const struct dp_cookie_secret *secret);
/* A new random secret signs, the old one is believed until dp_cookies_forget(). */
void dp_cookies_rotate(struct dataplane *dp);
void dp_cookies_forget(struct dataplane *dp);
/* The secret in force, for the gate: it finds the place of a segment in the stream with it. */
const struct sluice_settings *dp_settings(const struct dataplane *dp); /* NULL: inactive */

/* What a plane of another layout has to know for cookies that are under way to be good: from one process
 * to the next. */
struct dp_secrets {
	struct dp_cookie_secret cookies;
	uint64_t meta_magic;
	uint64_t has; /* 0: there are none */
};
void dp_secrets_give(const struct dataplane *dp, struct dp_secrets *ret_secrets);
void dp_secrets_take(struct dataplane *dp, const struct dp_secrets *secrets);

/* Attaches the tc program to the TUN device. */
int dp_gate_attach_tun(struct dataplane *dp, uint32_t ifindex, struct err *err) must_check;

/* From one process to the next: the link of that program; -1: there is none. It stays ours. */
int dp_gate_tun_link(const struct dataplane *dp);
/* Exchanges the program of the process before for ours; the descriptor is the dataplane's then. */
int dp_gate_take_tun(struct dataplane *dp, int link_fd, struct err *err) must_check;

/* Interfaces that carry the XDP program and so can have a gate. Returns how many. */
struct dp_gate_interface {
	char name[16];
	uint32_t ifindex;
	uint32_t queues; /* receive queues */
};
size_t dp_gate_interfaces(
	const struct dataplane *dp, struct dp_gate_interface ret_rows[DATAPLANE_MAX_INTERFACES]);

/* Frames of that queue go to this AF_XDP socket (the descriptor stays the caller's; a closed
 * socket leaves its slot by itself) while `worker` is alive. Queues of an interface are added in
 * ascending order from 0; one that the process before has added is another worker's from now on. */
int dp_gate_add(struct dataplane *dp, uint32_t ifindex, uint32_t queue, uint32_t worker, int xsk_fd,
	struct err *err) must_check;
/* For probes: a frame as if it had come in on that interface, through the XDP program, the tc
 * program and whatever else looks at packets there. When it returns the stack has had it. */
int dp_gate_inject(struct dataplane *dp, uint32_t ifindex, const void *frame, size_t len,
	struct err *err) must_check;
enum { DP_MAC_BYTES = 6 };
/* -EOPNOTSUPP: not an Ethernet interface. */
int dp_gate_mac(uint32_t ifindex, uint8_t ret_mac[static DP_MAC_BYTES]) must_check;
/* Takes every slot of the interface out of use; its first flights then go around the gate. */
void dp_gate_remove(struct dataplane *dp, uint32_t ifindex);

#endif
