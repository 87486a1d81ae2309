/*
 * What a daemon that is started gets from the one that runs: its listening sockets, secrets, locks, what
 * it knows of targets, in the end its counters. Until upgrade_commit() the other one serves as if nothing
 * were; if this one fails, it goes on. The control thread, which waits here: nothing runs on its loop yet.
 */
#ifndef SLUICE_CONTROL_UPGRADE_TAKE_H
#define SLUICE_CONTROL_UPGRADE_TAKE_H

#include "control/gates.h"
#include "control/upgrade_wire.h"
#include "core/err.h"

struct daemon;
struct target;

struct upgrade_taken_socket {
	struct upgrade_socket about;
	int fds[UPGRADE_FDS];
	uint32_t n_fds;
	bool is_used; /* whoever asked for them has them */
};

struct upgrade_taken {
	int fd; /* to the other process; -1: it is gone */
	struct upgrade_hello giver;
	struct upgrade_taken_socket *sockets;
	uint32_t n_sockets;
	struct upgrade_target *targets;
	uint32_t n_targets;
	bool has_tickets;
	struct tls_tickets_state tickets;
	struct upgrade_lock locks[UPGRADE_LOCKS];
	int lock_fds[UPGRADE_LOCKS]; /* -1: not given */
	int stderr_fd; /* -1: not given */
	struct gates_state gate;
	struct dp_secrets secrets; /* of its packet plane */
	bool is_committed; /* what there is is ours */
	bool is_serving; /* and nobody else's */
	uint32_t connections_left; /* with the other one, as it said last */
};

/* 0: `ret_taken`, or NULL: nobody is there. */
int upgrade_take(const char *path, uint32_t n_workers, struct upgrade_taken **ret_taken,
	struct err *err) must_check;
/* NULL is ignored. */
void upgrade_taken_free(struct upgrade_taken *taken);
/* Closes it: nobody here listens to it. */
void upgrade_taken_drop_socket(struct upgrade_taken_socket *sock);

/* Sockets of that address and kind, which are the caller's then: how many. */
uint32_t upgrade_taken_sockets(struct upgrade_taken *taken, const union addr *addr, bool defers,
	int ret_fds[static UPGRADE_FDS], uint32_t *ret_row);
bool upgrade_taken_has_port(const struct upgrade_taken *taken, uint16_t port);
/* The lock of that folder; -1: another one's, or none. It stays with `taken`. */
int upgrade_taken_lock(
	const struct upgrade_taken *taken, enum upgrade_lock_of of, const char *path);
/* Whoever takes over from this one has them. */
void upgrade_taken_drop_locks(struct upgrade_taken *taken);
const struct health_state *upgrade_taken_health(void *taken, const struct target *target);

/* Everything is there: asks for all of it, and adds the counters to ours. Less than 0: the other one
 * serves on, and this one must end. Where it is gone there is nobody to ask. */
int upgrade_commit(struct daemon *daemon, struct upgrade_taken *taken, bool has_own_maps,
	struct err *err) must_check;
/* A start that has failed: if the other one has said meanwhile that it gives nothing, that is why. */
void upgrade_explain(struct upgrade_taken *taken, struct err *err);
/* Clients are served here: the other one may leave. -EBUSY: it has lost its patience, and goes on: this one
 * must end. */
int upgrade_tell_serving(struct upgrade_taken *taken, struct err *err) must_check;
/* Whether the other one has said meanwhile that it goes on: -EBUSY. Does not wait. */
int upgrade_hear_refusal(struct upgrade_taken *taken, struct err *err) must_check;

#endif
