/* Passive health of targets, seen from the control thread: when it looks at them (proxy/outlier.h),
 * what the log, the maps and the views say. Control thread only. */
#ifndef SLUICE_CONTROL_OUTLIERS_H
#define SLUICE_CONTROL_OUTLIERS_H

#include "proxy/health.h"

struct daemon;

void outliers_init(struct daemon *daemon);
void outliers_fini(struct daemon *daemon);
/* A generation was put in force: who is out of a group that does not detect outliers any more is let
 * in. */
void outliers_apply(struct daemon *daemon);

/* What counts: what the checks found (NULL: nobody checks, it is "unused"), unless requests fail where
 * they do not. `scratch` holds it. */
const struct health_state *outliers_state(const struct target_group *group,
	const struct target *target, const struct health_state *checked,
	struct health_state *scratch);
/* Adds the members of a group, each by that state. */
void outliers_count_states(
	const struct target_group *group, uint32_t counts[static BACKEND_STATE_COUNT]);

#endif
