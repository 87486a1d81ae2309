/*
 * The document that describes the admin API (OpenAPI 3.1), made from the tables it is made from itself:
 * api.def, api_parameters.def, settings.def. Pure; any thread.
 */
#ifndef SLUICE_CONTROL_OPENAPI_H
#define SLUICE_CONTROL_OPENAPI_H

#include "control/config_settings.h"
#include <stddef.h>
#include <yyjson.h>

/* JSON; the caller's to free. */
char *openapi_write(size_t *ret_len);

/* openapi_schema.c: what a section of settings is called among the schemas ("listener"), and all of
 * them as members of `schemas`. */
const char *openapi_section_name(enum setting_section section);
void openapi_add_sections(yyjson_mut_doc *doc, yyjson_mut_val *schemas);
/* {"$ref": "#/components/schemas/NAME"}. */
yyjson_mut_val *openapi_ref(yyjson_mut_doc *doc, const char *name);

#endif
