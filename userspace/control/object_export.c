/* All objects as one file: see object_export.h. */
#include "control/object_export.h"

#include "control/object_kinds.h"
#include "control/object_redact.h"
#include "control/render.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct exporting {
	yyjson_mut_doc *doc;
	const struct export_how *how;
	struct blob_list *contents;
};

/* NULL: it stays as it is. */
static char *absolute(
	const struct exporting *exporting, const struct setting *row, yyjson_mut_val *value)
{
	const char *text = yyjson_mut_get_str(value);
	const char *hex = yyjson_mut_get_str(yyjson_mut_obj_get(value, "blob"));

	if (hex) {
		blob_list_add(exporting->contents, hex);
		return mem_printf("%s/%s", exporting->how->blob_path, hex);
	}
	if (!text || text[0] == '/' || (row->zero && strcmp(text, row->zero) == 0) ||
		(row->uri && strncmp(text, row->uri, strlen(row->uri)) == 0))
		return NULL;
	return mem_printf("%s/%s", exporting->how->folder, text);
}

static void export_section(
	struct exporting *exporting, enum setting_section section, yyjson_mut_val *settings);

static void export_value(
	struct exporting *exporting, const struct setting *row, yyjson_mut_val *value)
{
	yyjson_mut_val *item;
	size_t i, n;
	char *path;

	if (yyjson_mut_is_arr(value)) {
		yyjson_mut_arr_foreach(value, i, n, item) export_value(exporting, row, item);
	} else if (row->type == SETTING_SECTION) {
		export_section(exporting, row->child, value);
	} else if (row->type == SETTING_PATH) {
		path = absolute(exporting, row, value);
		if (!path)
			return;
		item = yyjson_mut_strcpy(exporting->doc, path);
		yyjson_mut_set_str(value, yyjson_mut_get_str(item));
		free(path);
	}
}

static void export_section(
	struct exporting *exporting, enum setting_section section, yyjson_mut_val *settings)
{
	yyjson_mut_val *key, *value;
	const struct setting *row;
	size_t i, n;

	yyjson_mut_obj_foreach(settings, i, n, key, value)
	{
		row = config_setting_find(
			section, (struct slice){yyjson_mut_get_str(key), yyjson_mut_get_len(key)});
		if (row)
			export_value(exporting, row, value);
	}
}

static yyjson_mut_val *settings_of(
	struct exporting *exporting, const struct object_row *row, enum setting_section section)
{
	yyjson_doc *doc = yyjson_read(row->text, strlen(row->text), 0);
	yyjson_mut_val *settings = yyjson_val_mut_copy(exporting->doc, yyjson_doc_get_root(doc));

	yyjson_doc_free(doc);
	if (exporting->how->redact)
		object_redact_section(section, settings);
	export_section(exporting, section, settings);
	return settings;
}

static void export_list(struct exporting *exporting, const struct object_rows *rows,
	const struct setting *setting, yyjson_mut_val *root)
{
	yyjson_mut_val *list = NULL, *item, *settings, *key, *value;
	size_t i, j, n;

	for (i = 0; i < rows->n; i++) {
		if (strcmp(rows->items[i].kind, setting->name) != 0)
			continue;
		if (!list)
			list = yyjson_mut_obj_add_arr(exporting->doc, root, setting->name);
		item = yyjson_mut_arr_add_obj(exporting->doc, list);
		yyjson_mut_obj_add_str(exporting->doc, item, "name", rows->items[i].name);
		settings = settings_of(exporting, &rows->items[i], setting->child);
		yyjson_mut_obj_foreach(settings, j, n, key, value)
			yyjson_mut_obj_add(item, yyjson_mut_val_mut_copy(exporting->doc, key),
				yyjson_mut_val_mut_copy(exporting->doc, value));
	}
}

static void export_setting(struct exporting *exporting, const struct object_rows *rows,
	const struct setting *setting, yyjson_mut_val *global, yyjson_mut_val *root)
{
	const struct object_row *row;
	yyjson_mut_val *value;

	if (object_kind_is_global(setting)) {
		value = yyjson_mut_obj_get(global, setting->name);
	} else {
		row = object_rows_find(rows, "settings", setting->name);
		value = row ? settings_of(exporting, row, setting->child) : NULL;
		if (yyjson_mut_obj_size(value) == 0)
			value = NULL;
	}
	if (value)
		yyjson_mut_obj_add_val(exporting->doc, root, setting->name,
			yyjson_mut_val_mut_copy(exporting->doc, value));
}

static char *as_yaml(const yyjson_mut_doc *doc)
{
	yyjson_doc *whole = yyjson_mut_doc_imut_copy((yyjson_mut_doc *)doc, NULL);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!whole || !out)
		abort(); /* out of memory */
	render_yaml(yyjson_doc_get_root(whole), out);
	fclose(out);
	yyjson_doc_free(whole);
	return text;
}

/* In the order of the manual. */
char *object_export(const struct object_rows *rows, const struct export_how *how,
	struct blob_list *ret_contents)
{
	struct exporting exporting = {yyjson_mut_doc_new(NULL), how, ret_contents};
	const struct object_row *row = object_rows_find(rows, "settings", OBJECT_GLOBAL);
	yyjson_mut_val *root = yyjson_mut_obj(exporting.doc), *global;
	const struct setting *setting;
	char *text;

	*ret_contents = (struct blob_list){0};
	yyjson_mut_doc_set_root(exporting.doc, root);
	global = row ? settings_of(&exporting, row, SECTION_config) : NULL;
	for_each_setting(setting, SECTION_config)
	{
		if (object_kind_find(setting->name))
			export_list(&exporting, rows, setting, root);
		else
			export_setting(&exporting, rows, setting, global, root);
	}
	blob_list_sort(ret_contents);
	text = as_yaml(exporting.doc);
	yyjson_mut_doc_free(exporting.doc);
	return text;
}
