/* Objects over the configuration file: see config_merge.h. Nodes of the file may be shared by aliases:
 * none is changed, copies take their place. */
#define LOG_MODULE "objects"
#include "control/config_merge_parts.h"
#include "control/object_kinds.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a list of the file, sorted by name. */
struct named {
	struct slice name;
	uint32_t at;
};

struct names {
	struct named *item;
	size_t n;
};

/* Objects of one kind (and parent), and what stands for them. */
struct run {
	const struct object_kind *kind;
	const struct object *objects;
	struct merged_object *merged;
	size_t n;
	struct config_merged *all;
	bool leaves_orphans;
};

/* {"blob": HEX} becomes the path of the file. */
static void resolve_blobs(struct tree *tree, const char *blob_path)
{
	for (struct tree_node *node = tree->made; node; node = node->next_made) {
		char hex[DIGEST_HEX_BYTES], *path;

		if (node->kind != TREE_MAPPING || node->child_count != 2 ||
			!slice_eq(node->child[0]->text, SLICE("blob")) ||
			node->child[1]->kind != TREE_SCALAR ||
			node->child[1]->text.len != DIGEST_HEX_BYTES - 1)
			continue;
		memcpy(hex, node->child[1]->text.ptr, DIGEST_HEX_BYTES - 1);
		hex[DIGEST_HEX_BYTES - 1] = '\0';
		if (!blob_list_is_name(hex))
			continue;
		path = mem_printf("%s/%s", blob_path, hex);
		node->kind = TREE_SCALAR;
		node->child_count = 0;
		node->text = (struct slice){path, strlen(path)};
	}
}

/* --- what items are called */

static struct slice scalar_of(const struct tree_node *item, const char *key)
{
	const struct tree_node *value = config_merge_find(item, key);

	return value && value->kind == TREE_SCALAR ? value->text : (struct slice){0};
}

struct slice config_merge_item_name(
	struct tree *tree, const struct object_kind *kind, const struct tree_node *item)
{
	struct slice name, priority;
	char *text;

	item = config_merge_flat(tree, item);
	name = scalar_of(item, "name");
	if (name.len || !kind->parent)
		return name;
	if (kind->section == SECTION_config_target)
		return scalar_of(item, "address");
	priority = scalar_of(item, "priority");
	if (priority.len == 0)
		return name;
	text = mem_printf("rule-%.*s", (int)priority.len, priority.ptr);
	name = tree_make_scalar(tree, text, item->mark)->text;
	free(text);
	return name;
}

static void add_text(struct tree *tree, struct tree_node *item, const char *key, const char *value)
{
	tree_append(item, tree_make_scalar(tree, key, tree->root->mark));
	tree_append(item, tree_make_scalar(tree, value, tree->root->mark));
}

/* A target may be called by its address, which needs not be said again. */
static void add_name(
	struct tree *tree, struct tree_node *item, const struct object_kind *kind, const char *name)
{
	struct slice address;

	if (kind->section == SECTION_config_target && strchr(name, ':')) {
		address = scalar_of(tree->root, "address");
		if (address.len == 0)
			add_text(tree, item, "address", name);
		if (address.len == 0 || slice_eq(address, slice_of(name)))
			return;
	}
	add_text(tree, item, "name", name);
}

/* --- parsing */

static int refuse(struct config_errors *errors, uint32_t source, const char *text)
{
	config_errors_add(errors, (struct config_mark){1, 1, source}, NULL, "%s", text);
	return -EINVAL;
}

/* The object as an item of its list: with its name first. */
static int make_item(struct tree *tree, const struct object *object, uint32_t source,
	struct config_errors *errors)
{
	const struct object_kind *kind = object_kind_find(object->kind);
	const char *name = kind ? object_kind_last(kind, object->name) : NULL;
	struct tree_node *item;

	if (!kind)
		return refuse(errors, source, "there are no objects of this kind");
	if (!name)
		return refuse(errors, source, "its name must be PARENT/NAME");
	if (!tree->root || tree->root->kind != TREE_MAPPING)
		return refuse(errors, source, "must be settings");
	item = tree_make(tree, TREE_MAPPING, tree->root->mark);
	if (!kind->is_section)
		add_name(tree, item, kind, name);
	for (uint32_t i = 0; i < tree->root->child_count; i++)
		tree_append(item, tree->root->child[i]);
	tree->root = item;
	return 0;
}

static int parse_object(struct tree *tree, const struct object *object, const char *blob_path,
	struct config_errors *errors)
{
	char *name = mem_printf("object %s/%s", object->kind, object->name);
	uint32_t source = config_errors_add_source(errors, name);
	int r;

	free(name);
	r = tree_parse(tree, object->text, strlen(object->text), errors);
	if (r == 0)
		r = make_item(tree, object, source, errors);
	if (r < 0)
		return r;
	tree_set_source(tree, source);
	resolve_blobs(tree, blob_path);
	return 0;
}

static int parse_objects(const struct config_overlay *overlay, struct config_merged *merged,
	struct config_errors *errors)
{
	const struct object_set *set = overlay->objects;
	int r = 0;

	merged->objects = mem_zalloc((set->n + 1) * sizeof(merged->objects[0]));
	merged->n = set->n;
	for (size_t i = 0; i < set->n; i++)
		if (parse_object(&merged->objects[i].tree, &set->items[i], overlay->blob_path,
			    errors) < 0)
			r = -EINVAL;
	return r;
}

/* --- lists */

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = len ? memcmp(x->name.ptr, y->name.ptr, len) : 0;

	return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* Items without a name are complained about when the list is read. */
static struct names index_names(
	struct tree *tree, const struct object_kind *kind, const struct tree_node *list)
{
	struct names names = {mem_alloc((list->child_count + 1) * sizeof(struct named)), 0};

	for (uint32_t i = 0; i < list->child_count; i++) {
		struct slice name = config_merge_item_name(tree, kind, list->child[i]);

		if (name.len)
			names.item[names.n++] = (struct named){name, i};
	}
	qsort(names.item, names.n, sizeof(names.item[0]), compare_named);
	return names;
}

static const struct named *find_name(const struct names *names, struct slice name)
{
	struct named wanted = {name, 0};

	return names->n ? bsearch(&wanted, names->item, names->n, sizeof(wanted), compare_named)
			: NULL;
}

static struct tree_node *copy(struct tree *tree, enum tree_kind kind, const struct tree_node *old,
	struct config_mark mark)
{
	struct tree_node *node = tree_make(tree, kind, old ? old->mark : mark);

	for (uint32_t i = 0; old && i < old->child_count; i++)
		tree_append(node, old->child[i]);
	return node;
}

/* The list of the file, copied; an empty one where it has none. NULL: it is no list. */
static struct tree_node *copy_list(struct tree *file, const struct tree_node *holder,
	const struct run *run, struct config_errors *errors)
{
	const struct tree_node *old = config_merge_find(holder, run->kind->name);

	if (old && tree_is_null(old))
		old = NULL;
	if (!old || old->kind == TREE_LIST)
		return copy(file, TREE_LIST, old, run->merged[0].tree.root->mark);
	config_errors_add(errors, old->mark, run->kind->name, "must be a list");
	return NULL;
}

static void merge_items(struct tree *file, struct tree_node *list, const struct run *run)
{
	struct names names = index_names(file, run->kind, list);

	for (size_t i = 0; i < run->n; i++) {
		struct tree_node *item = run->merged[i].tree.root;
		const char *name = object_kind_last(run->kind, run->objects[i].name);
		const struct named *found = find_name(&names, slice_of(name));

		run->merged[i].is_in_file = found;
		if (!found)
			tree_append(list, config_merge_patched(file, NULL, item));
		else if (run->kind->is_patch)
			list->child[found->at] =
				config_merge_patched(file, list->child[found->at], item);
		else
			list->child[found->at] = item;
	}
	free(names.item);
}

/* `holder` has the objects of the list from then on. */
static int merge_list(struct tree *file, struct tree_node *holder, const struct run *run,
	struct config_errors *errors)
{
	struct tree_node *list = copy_list(file, holder, run, errors);
	struct tree_node *key;

	if (!list)
		return -EINVAL;
	merge_items(file, list, run);
	key = tree_make_scalar(file, run->kind->name, list->mark);
	config_merge_replace(holder, key, list);
	return 0;
}

/* --- lists of items */

static bool is_sibling(const struct object *a, const struct object *b)
{
	size_t len = strcspn(a->name, "/") + 1;

	return strncmp(a->name, b->name, len) == 0;
}

static void note_parent(struct config_merged *all, const struct object_kind *kind,
	struct slice name, const struct tree_node *alone)
{
	all->parents = mem_realloc(all->parents, (all->n_parents + 1) * sizeof(all->parents[0]));
	all->parents[all->n_parents++] = (struct merged_parent){kind, name, alone};
}

/* Whoever took the parent out of the file may not have known of them: that is no reason not to start. */
static void leave_out(const struct run *run)
{
	for (size_t i = 0; i < run->n; i++) {
		run->merged[i].is_orphan = true;
		log_error("object %s/%s is without effect: there is nothing of its name among %s "
			  "any more",
			run->objects[i].kind, run->objects[i].name, run->kind->parent);
	}
}

static int merge_siblings(struct tree *file, struct tree_node *parents, const struct names *names,
	const struct run *run, struct config_errors *errors)
{
	struct slice name = {run->objects[0].name, strcspn(run->objects[0].name, "/")};
	const struct named *found = find_name(names, name);
	const struct tree_node *alone;
	struct tree_node *item;

	if (!found && run->leaves_orphans) {
		leave_out(run);
		return 0;
	}
	if (!found || parents->child[found->at]->kind != TREE_MAPPING) {
		config_errors_add(errors, run->merged[0].tree.root->mark, NULL,
			"there is nothing called \"%.*s\" among %s", (int)name.len, name.ptr,
			run->kind->parent);
		return -EINVAL;
	}
	alone = config_merge_flat(file, parents->child[found->at]);
	note_parent(run->all, object_kind_find(run->kind->parent), name, alone);
	item = copy(file, TREE_MAPPING, alone, (struct config_mark){0});
	parents->child[found->at] = item;
	return merge_list(file, item, run, errors);
}

/* Names are sorted: those of a parent stand together. */
static int merge_children(struct tree *file, struct tree_node *root, const struct run *run,
	struct config_errors *errors)
{
	const struct object_kind *kind = object_kind_find(run->kind->parent);
	struct run parent = *run;
	struct tree_node *parents;
	struct names names;
	size_t i, end;
	int r = 0;

	parent.kind = kind;
	parents = copy_list(file, root, &parent, errors);
	if (!parents)
		return -EINVAL;
	names = index_names(file, kind, parents);
	for (i = 0; i < run->n; i = end) {
		for (end = i + 1; end < run->n; end++)
			if (!is_sibling(&run->objects[i], &run->objects[end]))
				break;
		if (merge_siblings(file, parents, &names,
			    &(struct run){run->kind, &run->objects[i], &run->merged[i], end - i,
				    run->all, run->leaves_orphans},
			    errors) < 0)
			r = -EINVAL;
	}
	free(names.item);
	config_merge_replace(root, tree_make_scalar(file, kind->name, parents->mark), parents);
	return r;
}

/* --- settings of the whole program */

static int merge_global(struct tree *file, struct tree_node *root, struct merged_object *merged,
	struct config_errors *errors)
{
	struct tree_node *patch = merged->tree.root;
	const struct setting *row;
	uint32_t i;

	for (i = 0; i + 1 < patch->child_count; i += 2) {
		struct tree_node *key = patch->child[i];

		row = key->kind == TREE_SCALAR ? config_setting_find(SECTION_config, key->text)
					       : NULL;
		if (row && !object_kind_is_global(row)) {
			config_errors_add(errors, key->mark, row->name,
				"is an object of its own, or several");
			return -EINVAL;
		}
		config_merge_pair(file, root, key, patch->child[i + 1]);
	}
	merged->is_in_file = true; /* every file has its defaults */
	return 0;
}

static int merge_section(struct tree *file, struct tree_node *root, const struct object *object,
	struct merged_object *merged, struct config_errors *errors)
{
	const struct setting *row = object_kind_section(slice_of(object->name));
	struct tree_node *patch = merged->tree.root;

	if (strcmp(object->name, OBJECT_GLOBAL) == 0)
		return merge_global(file, root, merged, errors);
	if (!row) {
		config_errors_add(errors, patch->mark, NULL,
			"there are no settings of this name; there are: %s",
			object_kind_sections());
		return -EINVAL;
	}
	merged->is_in_file = true;
	config_merge_pair(file, root, tree_make_scalar(file, row->name, patch->mark), patch);
	return 0;
}

static int merge_kind(struct tree *file, struct tree_node *root, const struct run *run,
	struct config_errors *errors)
{
	int r = 0;

	if (run->kind->parent)
		return merge_children(file, root, run, errors);
	if (!run->kind->is_section)
		return merge_list(file, root, run, errors);
	for (size_t i = 0; i < run->n; i++)
		if (merge_section(file, root, &run->objects[i], &run->merged[i], errors) < 0)
			r = -EINVAL;
	return r;
}

/* Kinds come in the order of their names, in which none is before that of its parents. */
int config_merge(struct tree *file, const struct config_overlay *overlay,
	struct config_merged *ret_merged, struct config_errors *errors)
{
	const struct object_set *set = overlay->objects;
	struct tree_node *root;
	size_t i, end;
	int r;

	*ret_merged = (struct config_merged){0};
	if (set->n == 0 || (file->root && file->root->kind != TREE_MAPPING))
		return 0; /* a file that is no mapping is complained about when it is read */
	r = parse_objects(overlay, ret_merged, errors);
	if (r < 0)
		return r;
	root = copy(file, TREE_MAPPING, file->root ? config_merge_flat(file, file->root) : NULL,
		(struct config_mark){1, 1, 0});
	for (i = 0; i < set->n; i = end) {
		for (end = i + 1; end < set->n; end++)
			if (strcmp(set->items[end].kind, set->items[i].kind) != 0)
				break;
		if (merge_kind(file, root,
			    &(struct run){object_kind_find(set->items[i].kind), &set->items[i],
				    &ret_merged->objects[i], end - i, ret_merged,
				    overlay->leaves_orphans},
			    errors) < 0)
			r = -EINVAL;
	}
	file->root = root;
	return r;
}

void config_merged_fini(struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n; i++)
		tree_fini(&merged->objects[i].tree);
	free(merged->objects);
	free(merged->parents);
	*merged = (struct config_merged){0};
}
