/*
 * What is given to the daemon that takes over, message by message, and taken back when it fails.
 * Messages wait in an outbox for room in the socket: nothing blocks. Control thread.
 */
#ifndef SLUICE_CONTROL_UPGRADE_GIVE_H
#define SLUICE_CONTROL_UPGRADE_GIVE_H

#include "control/upgrade_wire.h"
#include "core/list.h"

struct daemon;
struct upgrade_told;

struct upgrade_outbox {
	struct list items; /* most descriptors in them stay their owners' */
};

void upgrade_outbox_init(struct upgrade_outbox *outbox);
/* Forgets what was not sent. */
void upgrade_outbox_end(struct upgrade_outbox *outbox);
/* 0: all that there was room for is sent; -errno. */
int upgrade_outbox_flush(struct upgrade_outbox *outbox, int fd) must_check;

struct upgrade_item {
	enum upgrade_kind kind;
	const void *body;
	size_t len;
	const int *fds;
	uint32_t n_fds;
	bool closes; /* the descriptors, when they are sent or not any more to be */
};
/* Body and numbers are copied. */
void upgrade_outbox_put(struct upgrade_outbox *outbox, const struct upgrade_item *item);

/* All that can be given while we serve. `is_ours`: we have started it, and it says what it says to us. */
void upgrade_give(struct daemon *daemon, bool is_ours, struct upgrade_outbox *outbox);
/* It has packet maps of its own: a socket is in one at a time. */
void upgrade_give_slots(struct daemon *daemon);
/* It may serve: the gate, counters, and the admin socket. */
void upgrade_give_rest(
	struct daemon *daemon, struct upgrade_told *told, struct upgrade_outbox *outbox);
/* What has been counted since. */
void upgrade_give_counts(
	struct daemon *daemon, struct upgrade_told *told, struct upgrade_outbox *outbox);
/* It does not. `has_rest`: upgrade_give_rest() was called. */
void upgrade_give_back(struct daemon *daemon, bool has_rest);

#endif
