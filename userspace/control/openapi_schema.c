/* The table of settings as JSON schemas: see openapi.h. They say of JSON what the reader of
 * configurations (config_scalar.c) takes. */
#include "control/openapi.h"

#include "control/object_kinds.h"
#include "core/mem.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

static const char *const section_names[] = {
#define SECTION(section, ...) #section,
#define SETTING(...)
#define LIST(...)
#include "control/settings.def"
};

const char *openapi_section_name(enum setting_section section)
{
	const char *name = section_names[section];

	return strncmp(name, "config_", 7) == 0 ? name + 7 : name;
}

yyjson_mut_val *openapi_ref(yyjson_mut_doc *doc, const char *name)
{
	yyjson_mut_val *ref = yyjson_mut_obj(doc);
	char *text = mem_printf("#/components/schemas/%s", name);

	yyjson_mut_obj_add_strcpy(doc, ref, "$ref", text);
	free(text);
	return ref;
}

static yyjson_mut_val *pattern(yyjson_mut_doc *doc, const char *expression)
{
	yyjson_mut_val *schema = yyjson_mut_obj(doc);

	yyjson_mut_obj_add_str(doc, schema, "type", "string");
	if (expression)
		yyjson_mut_obj_add_str(doc, schema, "pattern", expression);
	return schema;
}

/* A number with a unit is a text; 0 needs none. */
static yyjson_mut_val *quantity(yyjson_mut_doc *doc, const char *expression, bool also_number)
{
	yyjson_mut_val *schema = yyjson_mut_obj(doc);
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, schema, "anyOf");
	yyjson_mut_val *number = yyjson_mut_obj(doc);

	yyjson_mut_arr_append(list, pattern(doc, expression));
	if (also_number) {
		yyjson_mut_obj_add_str(doc, number, "type", "integer");
		yyjson_mut_obj_add_uint(doc, number, "minimum", 0);
	} else {
		yyjson_mut_obj_add_uint(doc, number, "const", 0);
	}
	yyjson_mut_arr_append(list, number);
	return schema;
}

static yyjson_mut_val *whole_number(yyjson_mut_doc *doc, const struct setting *row)
{
	yyjson_mut_val *number = yyjson_mut_obj(doc);
	yyjson_mut_val *either = yyjson_mut_obj(doc), *list;

	yyjson_mut_obj_add_str(doc, number, "type", "integer");
	yyjson_mut_obj_add_uint(doc, number, "minimum", row->min);
	yyjson_mut_obj_add_uint(doc, number, "maximum", row->max);
	list = yyjson_mut_obj_add_arr(doc, either, "anyOf");
	yyjson_mut_arr_append(list, number);
	yyjson_mut_arr_append(list, pattern(doc, "^[0-9]+$"));
	if (row->zero)
		yyjson_mut_obj_add_str(doc, yyjson_mut_arr_add_obj(doc, list), "const", row->zero);
	return either;
}

static void add_number_word(yyjson_mut_doc *doc, yyjson_mut_val *words, struct slice word)
{
	char *text = mem_strndup(word.ptr, word.len), *end;
	double number = strtod(text, &end);

	if (!*end && strchr(text, '.'))
		yyjson_mut_arr_add_real(doc, words, number);
	else if (!*end)
		yyjson_mut_arr_add_int(doc, words, (int64_t)number);
	free(text);
}

/* A word that looks like a number may be one. */
static yyjson_mut_val *words_of(yyjson_mut_doc *doc, const struct setting *row)
{
	yyjson_mut_val *schema = yyjson_mut_obj(doc);
	yyjson_mut_val *words = yyjson_mut_obj_add_arr(doc, schema, "enum");
	const char *list = row->words;
	struct slice word;

	while (config_word_next(&list, &word)) {
		yyjson_mut_arr_add_strncpy(doc, words, word.ptr, word.len);
		if (isdigit((unsigned char)word.ptr[0]))
			add_number_word(doc, words, word);
	}
	return schema;
}

static yyjson_mut_val *text_of(yyjson_mut_doc *doc, const struct setting *row)
{
	yyjson_mut_val *schema = yyjson_mut_obj(doc);
	yyjson_mut_val *types = yyjson_mut_obj_add_arr(doc, schema, "type");

	yyjson_mut_arr_add_str(doc, types, "string");
	yyjson_mut_arr_add_str(doc, types, "integer"); /* digits without quotes */
	if (row->min)
		yyjson_mut_obj_add_uint(doc, schema, "minLength", 1);
	if (row->max)
		yyjson_mut_obj_add_uint(doc, schema, "maxLength", row->max);
	return schema;
}

static yyjson_mut_val *boolean(yyjson_mut_doc *doc)
{
	yyjson_mut_val *schema = yyjson_mut_obj(doc);
	yyjson_mut_val *words = yyjson_mut_obj_add_arr(doc, schema, "enum");
	static const char *const texts[] = {"true", "false", "yes", "no", "on", "off"};

	yyjson_mut_arr_add_bool(doc, words, true);
	yyjson_mut_arr_add_bool(doc, words, false);
	for (size_t i = 0; i < array_len(texts); i++)
		yyjson_mut_arr_add_str(doc, words, texts[i]);
	return schema;
}

static yyjson_mut_val *one_value(yyjson_mut_doc *doc, const struct setting *row)
{
	switch (row->type) {
	case SETTING_BOOL:
		return boolean(doc);
	case SETTING_INT:
		return whole_number(doc, row);
	case SETTING_DURATION:
		return quantity(doc,
			row->zero ? "^([0-9]+(ms|s|m|h|d)|0|[a-z]+)$" : "^([0-9]+(ms|s|m|h|d)|0)$",
			false);
	case SETTING_SIZE:
		return quantity(doc, "^[0-9]+[kmgKMG]?$", true);
	case SETTING_PERCENT:
		return quantity(doc, "^([0-9]+%|0)$", false);
	case SETTING_ENUM:
		return words_of(doc, row);
	case SETTING_NAME:
		return pattern(doc, "^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$");
	case SETTING_SECTION:
		return openapi_ref(doc, openapi_section_name(row->child));
	case SETTING_PATH:
		return openapi_ref(doc, "content");
	default:
		return text_of(doc, row);
	}
}

/* A list of values may be written as the one value that it has. */
static yyjson_mut_val *list_of(yyjson_mut_doc *doc, const struct setting *row)
{
	yyjson_mut_val *list = yyjson_mut_obj(doc), *either, *two;

	yyjson_mut_obj_add_str(doc, list, "type", "array");
	yyjson_mut_obj_add_val(doc, list, "items", one_value(doc, row));
	if (row->max_items)
		yyjson_mut_obj_add_uint(doc, list, "maxItems", row->max_items);
	if (row->type == SETTING_SECTION)
		return list;
	either = yyjson_mut_obj(doc);
	two = yyjson_mut_obj_add_arr(doc, either, "anyOf");
	yyjson_mut_arr_append(two, list);
	yyjson_mut_arr_append(two, one_value(doc, row));
	return either;
}

static void add_setting(yyjson_mut_doc *doc, yyjson_mut_val *properties, const struct setting *row)
{
	yyjson_mut_val *schema = row->list ? list_of(doc, row) : one_value(doc, row);

	yyjson_mut_obj_add_str(doc, schema, "description", row->help);
	if (row->def && !row->list)
		yyjson_mut_obj_add_str(doc, schema, "default", row->def);
	yyjson_mut_obj_add_val(doc, properties, row->name, schema);
}

/* What lies over the file needs not have what the file has; a target may be called by its address. */
static bool is_required(const struct setting *row)
{
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
		if (kind->section == row->section && kind->is_patch)
			return false;
	return row->required && row->section != SECTION_config_target &&
	       (row->type != SETTING_NAME);
}

static void add_section(yyjson_mut_doc *doc, yyjson_mut_val *schemas, enum setting_section section)
{
	const char *name = openapi_section_name(section);
	yyjson_mut_val *schema = yyjson_mut_obj_add_obj(doc, schemas, name);
	yyjson_mut_val *properties, *required = yyjson_mut_arr(doc);
	const struct setting *row;

	yyjson_mut_obj_add_str(doc, schema, "description", config_sections[section].help);
	yyjson_mut_obj_add_str(doc, schema, "type", "object");
	yyjson_mut_obj_add_bool(doc, schema, "additionalProperties", false);
	properties = yyjson_mut_obj_add_obj(doc, schema, "properties");
	for_each_setting(row, section)
	{
		add_setting(doc, properties, row);
		if (is_required(row))
			yyjson_mut_arr_add_str(doc, required, row->name);
	}
	if (yyjson_mut_arr_size(required))
		yyjson_mut_obj_add_val(doc, schema, "required", required);
}

void openapi_add_sections(yyjson_mut_doc *doc, yyjson_mut_val *schemas)
{
	for (enum setting_section section = 0; section < SECTION_COUNT; section++)
		add_section(doc, schemas, section);
}
