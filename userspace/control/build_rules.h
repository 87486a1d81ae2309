/* Rules of listeners of a generation, and the target groups they lead to. See build.h. */
#ifndef SLUICE_CONTROL_BUILD_RULES_H
#define SLUICE_CONTROL_BUILD_RULES_H

#include "control/build_parts.h"

struct rules;

/* NULL where requests go to target_group and nothing is changed of them. */
void build_rules(
	struct building *building, const struct config_listener *wanted, struct rules **ret_rules);
/* The group of all other requests, the caller's to put: an empty one where there is none. */
struct target_group *build_default_group(
	const struct building *building, const struct config_listener *wanted);
/* The longest that targets it leads to may take. */
uint32_t build_drain_ms(const struct config_listener *wanted);

#endif
