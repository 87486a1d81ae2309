/*
 * Targets that the configuration no longer names: they finish what they have, for at most the
 * deregistration_delay of their group, and go. Control thread.
 */
#ifndef SLUICE_CONTROL_DEPARTING_H
#define SLUICE_CONTROL_DEPARTING_H

#include "control/daemon.h"

/* The targets of `old` that the generation in force does not have. */
void departing_add_missing(struct daemon *daemon, const struct build *old);
/* Once a second: ends those that have nothing under way, tells workers whose time is over. */
void departing_tick(struct daemon *daemon);
/* At the end, when the workers have ended. */
void departing_free_all(struct daemon *daemon);

#endif
