/* Conditions and actions of rules as texts for people: "path /a or /b", "redirect 301 https://...".
 * Made from the configuration; the caller frees them. Any thread that may read it. `redact`: values that may
 * be secret are not in them. */
#ifndef SLUICE_CONTROL_RULES_TEXT_H
#define SLUICE_CONTROL_RULES_TEXT_H

#include "control/config.h"
#include "proxy/rules.h"

char *rules_text_condition(const struct config_condition *condition, bool redact);
/* What one of its settings demands: "does not fit: path /a or /b". */
char *rules_text_failing(const struct config_condition *condition, bool negated,
	enum rules_field field, bool redact);
/* `group`: short for an action. */
char *rules_text_action(
	const struct config_target_group *group, const struct config_action *action, bool redact);

#endif
