/*
 * Putting a generation in force: packet plane, workers, health checks, departing targets. Control
 * thread only, but for the reading and building of a reload, which the loader thread does.
 */
#ifndef SLUICE_CONTROL_APPLY_H
#define SLUICE_CONTROL_APPLY_H

#include "control/daemon.h"

/* Puts `build` in force; the one before goes once no worker sees it. 0, or -errno: the packet
 * plane refused it and nothing has changed (build stays the caller's). Deny and allow lists follow:
 * `lists_done` (NULL at start, where they come first) is told when they are in force. */
int apply_build(struct daemon *daemon, struct build *build, struct lists_request *lists_done,
	struct err *err) must_check;

/* Puts a generation in force that differs from the one in force in certificates, or in what the names
 * of targets stand for, only (build_renew()). Nothing else is touched; it cannot fail. */
void apply_certs(struct daemon *daemon, struct build *build);
/* Tells the workers to let go of certificates that nobody else has. */
void apply_sweep(struct daemon *daemon);

/* Where XDP is wanted, for the packet plane. Returns how many. */
size_t apply_interfaces(const struct config_xdp *xdp,
	struct dataplane_interface_spec ret_specs[DATAPLANE_MAX_INTERFACES]);

enum handover apply_handover(const struct config_xdp *xdp);

/* Sockets and listeners of the generation in force into the packet plane once more: another process was at
 * work with it. */
void apply_again(struct daemon *daemon);
/* The daemon stops: XDP leaves new connections to the kernel, whose sockets are shut. */
void apply_refuse(struct daemon *daemon);
/* A gate_probe_guard of the daemon: one listener more is guarded, beside those in force. */
int apply_guard(void *arg, const struct dp_listener *listener, struct err *err) must_check;

struct reload_how {
	bool dry_run; /* only looks */
	struct build_how build;
};

/* Reads the configuration again. `reply` is finished when it is done. Both may be NULL. */
void reload_start(struct daemon *daemon, struct admin_reply *reply, const struct reload_how *how);

/* Changes objects (transaction.h) when its turn comes. `request` is taken over. */
struct change_request;
void reload_change(
	struct daemon *daemon, struct admin_reply *reply, struct change_request *request);

/* Whatever it waited for is over. */
void reload_continue(struct daemon *daemon);

/* apply_targets.c */

/* The targets and groups of the generation in force: checks, rows of the maps; those that only `old`
 * (may be NULL) has begin to leave. */
void apply_targets(struct daemon *daemon, const struct build *old);

/* As maps have it. */
struct sockaddr_storage apply_storage(const union addr *addr);

/* Writes a target's row of the maps. */
void apply_show_target(
	struct daemon *daemon, const struct target *target, const struct health_state *state);

/* And the row of its group. */
void apply_show_group(struct daemon *daemon, const struct target *target);

/* health_notify: the result of a check goes to the maps and, if the state changed, to the log. */
health_notify apply_health;

#endif
