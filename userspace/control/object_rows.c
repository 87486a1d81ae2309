/* The objects of a configuration: see object_rows.h. */
#include "control/object_rows.h"

#include "control/object_kinds.h"
#include "control/tree_json.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static char *item_text(struct tree *tree, const struct tree_node *item, const char *blob_path)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *settings = tree_json(doc, tree, item, blob_path);
	char *text;

	yyjson_mut_obj_remove_key(settings, "name");
	text = object_text(settings);
	yyjson_mut_doc_free(doc);
	return text;
}

/* Takes over `name` and `text`. */
static void add_row(struct object_rows *rows, const char *kind, char *name, char *text)
{
	char hex[DIGEST_HEX_BYTES];
	struct object_row *row;

	if (rows->n == rows->room) {
		rows->room = rows->room ? 2 * rows->room : 16;
		rows->items = mem_realloc(rows->items, rows->room * sizeof(rows->items[0]));
	}
	row = &rows->items[rows->n++];
	*row = (struct object_row){.kind = mem_strdup(kind), .name = name, .text = text};
	digest_hex(text, strlen(text), hex);
	memcpy(row->etag, hex, OBJECT_ETAG_BYTES - 1);
}

/* What is read, and into what. */
struct reading {
	struct object_rows *rows;
	struct tree *tree;
	const char *blob_path;
};

static void add_list(struct reading *reading, const struct tree_node *holder,
	const struct object_kind *kind, const char *parent);

/* The lists of an item that have objects themselves. */
static void add_children(struct reading *reading, const struct tree_node *item,
	const struct object_kind *parent, const char *name)
{
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
		if (kind->parent && strcmp(kind->parent, parent->name) == 0)
			add_list(reading, item, kind, name);
}

static void add_list(struct reading *reading, const struct tree_node *holder,
	const struct object_kind *kind, const char *parent)
{
	const struct tree_node *list = config_merge_find(holder, kind->name);
	char *full;

	for (uint32_t i = 0; list && list->kind == TREE_LIST && i < list->child_count; i++) {
		const struct tree_node *item = config_merge_flat(reading->tree, list->child[i]);
		struct slice name = config_merge_item_name(reading->tree, kind, item);

		if (!name.len)
			continue;
		full = mem_printf("%s%s%.*s", parent ? parent : "", parent ? "/" : "",
			(int)name.len, name.ptr);
		add_row(reading->rows, kind->name, full,
			item_text(reading->tree, item, reading->blob_path));
		add_children(reading, item, kind, full);
	}
}

static void add_section(struct reading *reading, const struct tree_node *node, const char *name)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);

	add_row(reading->rows, "settings", mem_strdup(name),
		object_text(tree_json(doc, reading->tree, node, reading->blob_path)));
	yyjson_mut_doc_free(doc);
}

/* Sections of the whole program's settings, also those that nothing is said of, and what stands by
 * itself. */
static void add_settings(struct reading *reading, const struct tree_node *root)
{
	struct tree_node *global = tree_make(reading->tree, TREE_MAPPING, root->mark);
	struct tree_node *none = tree_make(reading->tree, TREE_MAPPING, root->mark);
	const struct setting *row;

	for_each_setting(row, SECTION_config)
	{
		struct tree_node *value = config_merge_find(root, row->name);

		if (object_kind_section(slice_of(row->name)))
			add_section(reading, value && value->kind == TREE_MAPPING ? value : none,
				row->name);
		if (!value || !object_kind_is_global(row))
			continue;
		tree_append(global, tree_make_scalar(reading->tree, row->name, root->mark));
		tree_append(global, value);
	}
	add_section(reading, global, OBJECT_GLOBAL);
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

/* The parent's lies in the place of the file's, with all that is in it. */
static bool is_in_parent(const struct object_rows *rows, const struct object_row *row)
{
	const struct object_kind *kind = object_kind_find(row->kind);
	const struct object_row *parent;
	char *name;

	if (!kind->parent || object_kind_find(kind->parent)->is_patch)
		return false;
	name = mem_printf("%.*s", (int)strcspn(row->name, "/"), row->name);
	parent = object_rows_find(rows, kind->parent, name);
	free(name);
	return parent && parent->origin != OBJECT_FROM_FILE;
}

static void set_origins(struct object_rows *rows, const struct config_overlay *overlay,
	const struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n; i++) {
		const struct object *object = &overlay->objects->items[i];
		struct object_row *row =
			(struct object_row *)object_rows_find(rows, object->kind, object->name);

		if (row)
			row->origin = merged->objects[i].is_orphan    ? OBJECT_UNUSED
				      : merged->objects[i].is_in_file ? OBJECT_FROM_BOTH
								      : OBJECT_FROM_API;
	}
	for (size_t i = 0; i < rows->n; i++)
		if (rows->items[i].origin == OBJECT_FROM_FILE &&
			is_in_parent(rows, &rows->items[i]))
			rows->items[i].origin = OBJECT_FROM_PARENT;
}

static void add_orphans(struct object_rows *rows, const struct config_overlay *overlay,
	const struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n; i++)
		if (merged->objects[i].is_orphan)
			add_row(rows, overlay->objects->items[i].kind,
				mem_strdup(overlay->objects->items[i].name),
				mem_strdup(overlay->objects->items[i].text));
}

static void set_alone(struct reading *reading, const struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n_parents; i++) {
		const struct merged_parent *parent = &merged->parents[i];
		char *name = mem_printf("%.*s", (int)parent->name.len, parent->name.ptr);
		struct object_row *row = (struct object_row *)object_rows_find(
			reading->rows, parent->kind->name, name);

		free(name);
		if (row && !row->alone)
			row->alone = item_text(reading->tree, parent->alone, reading->blob_path);
	}
}

void object_rows_init(struct object_rows *ret_rows, struct tree *tree,
	const struct config_overlay *overlay, const struct config_merged *merged)
{
	const struct tree_node *root = config_merge_flat(tree, tree->root);
	struct reading reading = {ret_rows, tree, overlay ? overlay->blob_path : NULL};

	*ret_rows = (struct object_rows){0};
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++)
		if (!kind->parent && !kind->is_section)
			add_list(&reading, root, kind, NULL);
	add_settings(&reading, root);
	if (overlay)
		add_orphans(ret_rows, overlay, merged);
	qsort(ret_rows->items, ret_rows->n, sizeof(ret_rows->items[0]), compare);
	if (!overlay)
		return;
	set_origins(ret_rows, overlay, merged);
	set_alone(&reading, merged);
}

void object_rows_fini(struct object_rows *rows)
{
	for (size_t i = 0; i < rows->n; i++) {
		free(rows->items[i].kind);
		free(rows->items[i].name);
		free(rows->items[i].text);
		free(rows->items[i].alone);
	}
	free(rows->items);
	*rows = (struct object_rows){0};
}
