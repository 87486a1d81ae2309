/* The objects of a configuration: see object_rows.h. */
#include "control/object_rows.h"

#include "control/config_settings.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static bool is_whole_number(struct slice text)
{
	size_t digits = text.len && text.ptr[0] == '-' ? text.len - 1 : text.len, i;

	if (digits == 0 || digits > 15 || (digits > 1 && text.ptr[text.len - digits] == '0'))
		return false;
	for (i = text.len - digits; i < text.len; i++)
		if (text.ptr[i] < '0' || text.ptr[i] > '9')
			return false;
	return true;
}

/* Contents are shown by their digest: that is what may be put again. */
static yyjson_mut_val *blob_to_json(yyjson_mut_doc *doc, struct slice text, const char *blob_path)
{
	size_t len = blob_path ? strlen(blob_path) : 0;
	yyjson_mut_val *object;

	if (!len || text.len != len + DIGEST_HEX_BYTES || memcmp(text.ptr, blob_path, len) != 0 ||
		text.ptr[len] != '/')
		return NULL;
	object = yyjson_mut_obj(doc);
	yyjson_mut_obj_add_strncpy(doc, object, "blob", text.ptr + len + 1, DIGEST_HEX_BYTES - 1);
	return object;
}

static yyjson_mut_val *scalar_to_json(
	yyjson_mut_doc *doc, const struct tree_node *node, const char *blob_path)
{
	yyjson_mut_val *blob = blob_to_json(doc, node->text, blob_path);

	if (blob)
		return blob;
	if (tree_is_null(node))
		return yyjson_mut_null(doc);
	if (node->plain && slice_eq(node->text, SLICE("true")))
		return yyjson_mut_true(doc);
	if (node->plain && slice_eq(node->text, SLICE("false")))
		return yyjson_mut_false(doc);
	if (node->plain && is_whole_number(node->text))
		return yyjson_mut_sint(doc, strtoll(node->text.ptr, NULL, 10));
	return yyjson_mut_strncpy(doc, node->text.ptr, node->text.len);
}

/* What was read without errors has few enough nodes, aliases followed. */
static yyjson_mut_val *to_json(yyjson_mut_doc *doc, struct tree *tree, const struct tree_node *node,
	const char *blob_path, bool is_item)
{
	yyjson_mut_val *value;

	if (node->kind == TREE_SCALAR)
		return scalar_to_json(doc, node, blob_path);
	if (node->kind == TREE_LIST) {
		value = yyjson_mut_arr(doc);
		for (uint32_t i = 0; i < node->child_count; i++)
			yyjson_mut_arr_append(
				value, to_json(doc, tree, node->child[i], blob_path, false));
		return value;
	}
	node = config_merge_flat(tree, node);
	value = yyjson_mut_obj(doc);
	for (uint32_t i = 0; i + 1 < node->child_count; i += 2) {
		struct slice key = node->child[i]->text;

		if (is_item && slice_eq(key, SLICE("name")))
			continue;
		yyjson_mut_obj_add(value, yyjson_mut_strncpy(doc, key.ptr, key.len),
			to_json(doc, tree, node->child[i + 1], blob_path, false));
	}
	return value;
}

static char *item_text(struct tree *tree, const struct tree_node *item, const char *blob_path)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	char *text = object_text(to_json(doc, tree, item, blob_path, true));

	yyjson_mut_doc_free(doc);
	return text;
}

static void add_row(struct object_rows *rows, const char *kind, struct slice name, char *text)
{
	char hex[DIGEST_HEX_BYTES];
	struct object_row *row;

	if (rows->n == rows->room) {
		rows->room = rows->room ? 2 * rows->room : 16;
		rows->items = mem_realloc(rows->items, rows->room * sizeof(rows->items[0]));
	}
	row = &rows->items[rows->n++];
	*row = (struct object_row){
		.kind = mem_strdup(kind), .name = mem_strndup(name.ptr, name.len), .text = text};
	digest_hex(text, strlen(text), hex);
	memcpy(row->etag, hex, OBJECT_ETAG_BYTES - 1);
}

static void add_list(struct object_rows *rows, struct tree *tree, const struct tree_node *list,
	const char *kind, const char *blob_path)
{
	for (uint32_t i = 0; i < list->child_count; i++) {
		const struct tree_node *item = config_merge_flat(tree, list->child[i]);
		const struct tree_node *name = config_merge_find(item, "name");

		if (name)
			add_row(rows, kind, name->text, item_text(tree, item, blob_path));
	}
}

static int compare(const void *a, const void *b)
{
	const struct object_row *x = a, *y = b;
	int order = strcmp(x->kind, y->kind);

	return order ? order : strcmp(x->name, y->name);
}

const struct object_row *object_rows_find(
	const struct object_rows *rows, const char *kind, const char *name)
{
	struct object_row wanted = {.kind = (char *)kind, .name = (char *)name};

	return rows->n ? bsearch(&wanted, rows->items, rows->n, sizeof(wanted), compare) : NULL;
}

static void set_origins(struct object_rows *rows, const struct config_overlay *overlay,
	const struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n; i++) {
		const struct object *object = &overlay->objects->items[i];
		struct object_row *row =
			(struct object_row *)object_rows_find(rows, object->kind, object->name);

		if (row)
			row->origin =
				merged->objects[i].is_in_file ? OBJECT_FROM_BOTH : OBJECT_FROM_API;
	}
}

void object_rows_init(struct object_rows *ret_rows, struct tree *tree,
	const struct config_overlay *overlay, const struct config_merged *merged)
{
	const char *blob_path = overlay ? overlay->blob_path : NULL;
	const struct tree_node *root = config_merge_flat(tree, tree->root), *list;
	const struct setting *row;

	*ret_rows = (struct object_rows){0};
	for_each_setting(row, SECTION_config)
	{
		list = object_kind_is_known(row->name) ? config_merge_find(root, row->name) : NULL;
		if (list && list->kind == TREE_LIST)
			add_list(ret_rows, tree, list, row->name, blob_path);
	}
	if (ret_rows->n)
		qsort(ret_rows->items, ret_rows->n, sizeof(ret_rows->items[0]), compare);
	if (overlay)
		set_origins(ret_rows, overlay, merged);
}

void object_rows_fini(struct object_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free(rows->items[i].kind);
		free(rows->items[i].name);
		free(rows->items[i].text);
	}
	free(rows->items);
	*rows = (struct object_rows){0};
}
