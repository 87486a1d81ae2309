/*
 * The `listeners` map: which addresses the XDP program guards, and their limits. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_LISTENERS_H
#define SLUICE_DATAPLANE_DP_LISTENERS_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/listener.h>
#include <sys/socket.h>

/* rate_per_s 0: no limit. burst 0: one second's worth. A burst is raised to what arrives in one
 * clock tick at that rate (1/HZ s), the resolution of the buckets. The figures hold for the node. */
struct dp_limit {
	uint32_t rate_per_s;
	uint32_t burst;
};

struct dp_listener {
	/* Row of the limits and counters, < SLUICE_MAX_LISTENERS. A listener keeps its id over reloads;
	 * the addresses of one listener share its id and so its budget, and must have the same limits. */
	uint32_t id;
	/* Row of the listening sockets, < SLUICE_MAX_LISTENERS: one per address, never shared. */
	uint32_t socket_row;
	const char *name;
	struct sockaddr_storage address; /* :: is IPv6 only, 0.0.0.0 is IPv4 */
	int protocol; /* IPPROTO_TCP (or IPPROTO_UDP) */
	bool draining;
	enum listener_syn_mode syn_mode;
	bool gated; /* first flights go to the gate */
	bool dry_run; /* limits only count */
	struct dp_limit limits[LISTENER_LIMITS]; /* enum listener_limit says what each one is */
};

/* Makes the map hold exactly these listeners: sets, changes, removes. Checks all before it changes
 * anything (-EINVAL, -E2BIG with the text). Limits that change take effect at once. */
int dp_listeners_set(struct dataplane *dp, const struct dp_listener *listeners, size_t count,
	struct err *err) must_check;

struct dp_listener_counts { /* struct sluice_listener_counters says what each one is */
	uint64_t syn;
	uint64_t cookies;
	uint64_t gate_frames;
	uint64_t released;
	uint64_t no_connection;
	uint64_t dropped;
	uint64_t refused;
};

/* Summed over CPUs and addresses. Zeros when inactive. */
int dp_listener_counts(const struct dataplane *dp, uint32_t id,
	struct dp_listener_counts *ret_counts, struct err *err) must_check;

#endif
