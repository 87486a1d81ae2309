/*
 * Targets that the configuration, or their name, no longer leads to: they finish what they have, for at
 * most the deregistration_delay of their group, and go; or are taken back where they are wanted again
 * before that. Control thread; while a generation is made none comes and none goes, and whoever makes it
 * may look at them.
 */
#ifndef SLUICE_CONTROL_DEPARTING_H
#define SLUICE_CONTROL_DEPARTING_H

#include "core/list.h"
#include <stdbool.h>
#include <stdint.h>

struct build;
struct daemon;
struct target;

struct departing {
	struct list link;
	struct target *target; /* counted */
	int64_t since_unix_s;
	uint64_t expires_mono_ms;
};

/* Is it one of `list` (struct departing; NULL: there are none)? */
bool departing_has(const struct list *list, const struct target *target);
/* Those that `build` has again stay. Before workers see it. */
void departing_take_back(struct daemon *daemon, const struct build *build);
/* The targets of `old` that the generation in force does not have. */
void departing_add_missing(struct daemon *daemon, const struct build *old);
/* Once a second: ends those that have nothing under way, tells workers whose time is over. */
void departing_tick(struct daemon *daemon);
/* At the end, when the workers have ended. */
void departing_free_all(struct daemon *daemon);

#endif
