/*
 * Steps of the packet plane's life beside loading and attaching: pins, tc programs, AF_XDP sockets,
 * handover, cookies. Included by dp_internal.h, which has the structures. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_PARTS_H
#define SLUICE_DATAPLANE_DP_PARTS_H

#include "core/attr.h"
#include "core/err.h"
#include "dataplane/dataplane.h"

#include <limits.h>
#include <sluice/limit.h>
#include <stdbool.h>
#include <stdint.h>

struct dp_interface;
struct dp_limit;

/* dp_pins.c */
/* Makes pin_dir and its folders and takes the lock. -EADDRINUSE: another daemon holds it. */
int dp_pins_open(struct dataplane *dp, struct err *err) must_check;
int dp_pins_lock(const char *pin_dir, int *ret_fd, struct err *err) must_check;
/* Removes the folders, which must be empty. */
void dp_pins_rmdir(const char *pin_dir);
/* The pin of a link in pin_dir/FOLDER, for an interface of that name. */
void dp_pins_link_path(
	const char *pin_dir, const char *folder, const char *interface, char ret_path[PATH_MAX]);

/* dp_tc.c */
/* Attaches the tc program to the interface's ingress, or takes over the pinned link of an earlier
 * process. What is in the way is in interface->tc_why. */
void dp_tc_attach(struct dataplane *dp, struct dp_interface *interface, uint32_t ifindex);
void dp_tc_release(struct dataplane *dp, struct dp_interface *interface, enum dataplane_stop stop);
bool dp_tc_is_attached(const struct dp_interface *interface);
/* Detaches and removes every tc link in pin_dir whose interface is not kept; NULL: all. */
int dp_tc_links_remove(const char *pin_dir, const struct dataplane *keep);

/* dp_gate.c */
/* Forgets what an earlier process wrote. */
void dp_gate_reset(struct dataplane *dp);
/* Goes on with what the process before wrote about interfaces that are ours, too; forgets the rest. */
void dp_gate_inherit(struct dataplane *dp);
/* Writes the interface's row where something changed (MTU, addresses, queues, ifindex), or takes it
 * away. */
void dp_gate_sync(struct dataplane *dp, struct dp_interface *interface);

/* dp_handover.c */
/* Looks again at what the host allows and writes it into `settings`. */
void dp_handover_update(struct dataplane *dp);

/* dp_cookies.c */
void dp_cookies_init(struct dataplane *dp);
void dp_cookies_epoch(struct dataplane *dp);

/* dp_limits.c */
struct sluice_limit dp_limit_ticks(const struct dp_limit *limit);
uint32_t dp_jiffies_per_s(void);

#endif
