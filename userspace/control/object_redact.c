/* Settings without what may be a secret: see object_redact.h. */
#include "control/object_redact.h"

#include "control/object_kinds.h"

#include <string.h>

static void redact_value(const struct setting *row, yyjson_mut_val *value)
{
	yyjson_mut_val *item;
	size_t i, n;

	if (yyjson_mut_is_null(value))
		return; /* it is taken away */
	if (row->secret)
		yyjson_mut_set_str(value, CONFIG_REDACTED);
	else if (yyjson_mut_is_arr(value))
		yyjson_mut_arr_foreach(value, i, n, item) redact_value(row, item);
	else if (row->type == SETTING_SECTION)
		object_redact_section(row->child, value);
}

void object_redact_section(enum setting_section section, yyjson_mut_val *settings)
{
	yyjson_mut_val *key, *value;
	const struct setting *row;
	size_t i, n;

	yyjson_mut_obj_foreach(settings, i, n, key, value)
	{
		row = config_setting_find(
			section, (struct slice){yyjson_mut_get_str(key), yyjson_mut_get_len(key)});
		if (row)
			redact_value(row, value);
	}
}

void object_redact(const char *kind, const char *name, yyjson_mut_val *settings)
{
	const struct object_kind *row = object_kind_find(kind);
	const struct setting *section;

	if (!row)
		return;
	section = row->is_section ? object_kind_section(slice_of(name)) : NULL;
	object_redact_section(section ? section->child : row->section, settings);
}
