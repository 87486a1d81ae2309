/* The kinds of objects: see object_kinds.h. */
#include "control/object_kinds.h"

#include <stdio.h>
#include <string.h>

const struct object_kind object_kind_rows[] = {
	{.name = "certificates", .section = SECTION_config_certificate},
	{.name = "listeners", .is_patch = true, .section = SECTION_config_listener},
	{.name = "rules", .parent = "listeners", .section = SECTION_config_rule},
	{.name = "security_policies", .section = SECTION_config_security_policy},
	{.name = "settings", .is_patch = true, .is_section = true, .section = SECTION_config},
	{.name = "target_groups", .section = SECTION_config_target_group},
	{.name = "targets", .parent = "target_groups", .section = SECTION_config_target},
	{.name = "trust_stores", .section = SECTION_config_trust_store},
	{0},
};

const struct object_kind *object_kind_find(const char *name)
{
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
		if (strcmp(kind->name, name) == 0)
			return kind;
	return NULL;
}

static void add_word(char *text, size_t size, const char *word)
{
	size_t used = strlen(text);

	snprintf(text + used, size - used, "%s%s", used ? ", " : "", word);
}

const char *object_kinds(void)
{
	static _Thread_local char text[256];

	text[0] = '\0';
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
		add_word(text, sizeof(text), kind->name);
	return text;
}

const struct setting *object_kind_section(struct slice name)
{
	const struct setting *row = config_setting_find(SECTION_config, name);

	return row && row->type == SETTING_SECTION && !row->list ? row : NULL;
}

bool object_kind_is_global(const struct setting *row)
{
	return row->type != SETTING_SECTION;
}

const char *object_kind_sections(void)
{
	static _Thread_local char text[256];
	const struct setting *row;

	text[0] = '\0';
	for_each_setting(row, SECTION_config) if (object_kind_section(slice_of(row->name)))
		add_word(text, sizeof(text), row->name);
	add_word(text, sizeof(text), OBJECT_GLOBAL);
	return text;
}

const char *object_kind_last(const struct object_kind *kind, const char *name)
{
	const char *slash;

	if (!kind->parent)
		return name;
	slash = strchr(name, '/');
	return slash && slash > name && slash[1] ? slash + 1 : NULL;
}
