/* The targets of a group, by the configuration and the resolver. Part of build.h; the thread that builds. */
#ifndef SLUICE_CONTROL_BUILD_MEMBERS_H
#define SLUICE_CONTROL_BUILD_MEMBERS_H

#include "control/build_parts.h"

struct build_place {
	const struct config_target *wanted;
	union addr addr;
};

/* The caller's to free(). */
struct build_place *build_places(
	const struct building *building, const struct config_target_group *wanted, uint32_t *ret_n);
/* Whether those of the generation before are at other places. */
bool build_places_have_changed(const struct building *building,
	const struct config_target_group *wanted, const struct built_group *old);
/* Fills `targets`; the members are the caller's to free(). */
struct target_member *build_members(struct building *building,
	const struct config_target_group *wanted, struct built_group *group);

/* build_group_tls.c. The health checks speak HTTP/2. */
bool build_check_is_h2(const struct config_target_group *wanted);

#endif
