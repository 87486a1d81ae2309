/*
 * The SK_REUSEPORT program, the one place that chooses the worker of a new connection: among the
 * workers with a fresh heartbeat, by the hash of the connection. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_REUSEPORT_H
#define SLUICE_DATAPLANE_DP_REUSEPORT_H

#include "core/err.h"
#include "dataplane/dataplane.h"

/*
 * Puts a listening socket (SO_REUSEPORT, already in listen()) into the slot of its listener row
 * and worker, and attaches the program to its group. `socket_row` is that of the dp_listener.
 * The descriptor stays the caller's; a closed socket leaves its slot by itself, another socket for
 * the same slot replaces it, the same one once more changes nothing. The listener must have been set with dp_listeners_set() for the
 * program to find the slots; before that the kernel's own choice applies.
 */
int dp_reuseport_add(struct dataplane *dp, uint32_t socket_row, uint32_t worker, int fd,
	struct err *err) must_check;

/* Takes the socket of a slot out: a process with maps of its own wants it. */
void dp_reuseport_leave(struct dataplane *dp, uint32_t socket_row, uint32_t worker);

#endif
