/* The daemon's parts, from the packet plane to the admin sockets, in the order in which they start; a start
 * that takes over among them. Control thread. */
#ifndef SLUICE_CONTROL_DAEMON_START_H
#define SLUICE_CONTROL_DAEMON_START_H

#include "control/daemon.h"

#include <sched.h>

/* CPUs that this process may use, one at the least. */
uint32_t daemon_cpus(cpu_set_t *ret_set);
/* Its loop and its threads for files are there. `config` is taken over. 0, or a negative errno: what has
 * started is daemon_run()'s to end. */
int daemon_start(struct daemon *daemon, struct config *config, struct err *err) must_check;
/* Once, as soon as there is nobody else's gate on the interfaces. */
void daemon_start_gates(struct daemon *daemon, const struct config *config);

#endif
