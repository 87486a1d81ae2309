/*
 * The steps of a start that are others when it takes over from a daemon that runs (upgrade_take.h is what
 * is said to that one). Control thread, before the loop runs.
 */
#ifndef SLUICE_CONTROL_SUCCESSION_H
#define SLUICE_CONTROL_SUCCESSION_H

#include "core/attr.h"
#include "core/err.h"

struct config;
struct daemon;

/* Asks whoever runs for what it has: daemon->taken, NULL where nobody does. Rows of the packet plane that
 * sockets are in stay theirs. */
int succession_begin(
	struct daemon *daemon, const struct config *config, struct err *err) must_check;
/* Everything is built: from here on what the process before had is ours. Less than 0: it goes on. */
int succession_commit(struct daemon *daemon, struct err *err) must_check;
/* The workers run: they have the gate from now on, and where the packet plane is a new one it gets its
 * listeners. */
int succession_publish(struct daemon *daemon, struct err *err) must_check;
/* Secrets are as old as they were with the process before; with nobody before, new. */
void succession_keep_ages(struct daemon *daemon);

#endif
