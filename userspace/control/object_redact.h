/*
 * Settings without what may be a secret (config_settings.h: `secret`), for clients of the admin API whose
 * role is not admin, and for archives. Pure; any thread.
 */
#ifndef SLUICE_CONTROL_OBJECT_REDACT_H
#define SLUICE_CONTROL_OBJECT_REDACT_H

#include "control/config_settings.h"
#include <yyjson.h>

/* CONFIG_REDACTED in place of every value that may be one. */
void object_redact_section(enum setting_section section, yyjson_mut_val *settings);
/* The same of an object, whose kind says which section it is. */
void object_redact(const char *kind, const char *name, yyjson_mut_val *settings);

#endif
