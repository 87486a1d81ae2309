/* Objects over the configuration file: see config_merge.h. Nodes of the file may be shared by
 * aliases: none is changed, copies take their place. */
#include "control/config_merge.h"

#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* Of a list of the file, sorted by name. */
struct named {
	struct slice name;
	uint32_t at;
};

static bool is_merge_key(const struct tree_node *key)
{
	return key->kind == TREE_SCALAR && key->plain && slice_eq(key->text, SLICE("<<"));
}

static uint32_t find_key(const struct tree_node *mapping, struct slice key)
{
	uint32_t i;

	for (i = 0; i + 1 < mapping->child_count; i += 2)
		if (mapping->child[i]->kind == TREE_SCALAR &&
			slice_eq(mapping->child[i]->text, key))
			return i + 1;
	return 0;
}

struct tree_node *config_merge_find(const struct tree_node *mapping, const char *key)
{
	uint32_t at = mapping->kind == TREE_MAPPING ? find_key(mapping, slice_of(key)) : 0;

	return at ? mapping->child[at] : NULL;
}

/* --- "<<" */

static void take_pairs(struct tree_node *flat, const struct tree_node *from, bool is_own);

static void take_merged(struct tree_node *flat, const struct tree_node *value)
{
	if (value->kind == TREE_MAPPING) {
		take_pairs(flat, value, false);
	} else if (value->kind == TREE_LIST) {
		for (uint32_t i = 0; i < value->child_count; i++)
			if (value->child[i]->kind == TREE_MAPPING)
				take_pairs(flat, value->child[i], false);
	}
}

/* Own pairs all (one that is there twice is complained about when it is read); of others those that
 * are not there yet. A tree has 32 levels at most, and no node is in itself. */
static void take_pairs(struct tree_node *flat, const struct tree_node *from, bool is_own)
{
	for (uint32_t i = 0; i + 1 < from->child_count; i += 2) {
		struct tree_node *key = from->child[i];

		if (is_merge_key(key) ||
			(!is_own && key->kind == TREE_SCALAR && find_key(flat, key->text)))
			continue;
		tree_append(flat, key);
		tree_append(flat, from->child[i + 1]);
	}
	for (uint32_t i = 0; i + 1 < from->child_count; i += 2)
		if (is_merge_key(from->child[i]))
			take_merged(flat, from->child[i + 1]);
}

const struct tree_node *config_merge_flat(struct tree *tree, const struct tree_node *node)
{
	struct tree_node *flat;
	bool has_merge = false;

	for (uint32_t i = 0; node->kind == TREE_MAPPING && i + 1 < node->child_count; i += 2)
		has_merge |= is_merge_key(node->child[i]);
	if (!has_merge)
		return node;
	flat = tree_make(tree, TREE_MAPPING, node->mark);
	take_pairs(flat, node, true);
	return flat;
}

/* --- RFC 7396 */

static struct tree_node *patched(
	struct tree *tree, const struct tree_node *target, struct tree_node *patch);

static void patch_pair(
	struct tree *tree, struct tree_node *result, struct tree_node *key, struct tree_node *value)
{
	uint32_t at = key->kind == TREE_SCALAR ? find_key(result, key->text) : 0;

	if (tree_is_null(value)) {
		if (!at)
			return;
		memmove(&result->child[at - 1], &result->child[at + 1],
			(result->child_count - at - 1) * sizeof(result->child[0]));
		result->child_count -= 2;
	} else if (at) {
		result->child[at] = patched(tree, result->child[at], value);
	} else {
		tree_append(result, key);
		tree_append(result, patched(tree, NULL, value));
	}
}

/* `target` NULL: there was nothing. */
static struct tree_node *patched(
	struct tree *tree, const struct tree_node *target, struct tree_node *patch)
{
	struct tree_node *result;
	uint32_t i;

	if (patch->kind != TREE_MAPPING)
		return patch;
	result = tree_make(tree, TREE_MAPPING,
		target && target->kind == TREE_MAPPING ? target->mark : patch->mark);
	if (target && target->kind == TREE_MAPPING) {
		target = config_merge_flat(tree, target);
		for (i = 0; i < target->child_count; i++)
			tree_append(result, target->child[i]);
	}
	for (i = 0; i + 1 < patch->child_count; i += 2)
		patch_pair(tree, result, patch->child[i], patch->child[i + 1]);
	return result;
}

/* --- objects */

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

/* The object as an item of its list: with its name first. */
static int parse_object(struct tree *tree, const struct object *object, const char *blob_path,
	struct config_errors *errors)
{
	char *name = mem_printf("object %s/%s", object->kind, object->name);
	uint32_t source = config_errors_add_source(errors, name);
	struct tree_node *item;
	int r;

	free(name);
	r = tree_parse(tree, object->text, strlen(object->text), errors);
	if (r < 0)
		return r;
	if (!tree->root || tree->root->kind != TREE_MAPPING) {
		config_errors_add(
			errors, (struct config_mark){1, 1, source}, NULL, "must be settings");
		return -EINVAL;
	}
	item = tree_make(tree, TREE_MAPPING, tree->root->mark);
	tree_append(item, tree_make_scalar(tree, "name", tree->root->mark));
	tree_append(item, tree_make_scalar(tree, object->name, tree->root->mark));
	for (uint32_t i = 0; i < tree->root->child_count; i++)
		tree_append(item, tree->root->child[i]);
	tree->root = item;
	tree_set_source(tree, source);
	resolve_blobs(tree, blob_path);
	return 0;
}

static int compare_named(const void *a, const void *b)
{
	const struct named *x = a, *y = b;
	size_t len = x->name.len < y->name.len ? x->name.len : y->name.len;
	int order = memcmp(x->name.ptr, y->name.ptr, len);

	return order ? order : (x->name.len > y->name.len) - (x->name.len < y->name.len);
}

/* Items without a name are complained about when the list is read. */
static struct named *index_names(struct tree *tree, struct tree_node *list, size_t *ret_n)
{
	struct named *names = mem_alloc((list->child_count + 1) * sizeof(*names));
	size_t n = 0;

	for (uint32_t i = 0; i < list->child_count; i++) {
		struct tree_node *name =
			config_merge_find(config_merge_flat(tree, list->child[i]), "name");

		if (name && name->kind == TREE_SCALAR)
			names[n++] = (struct named){name->text, i};
	}
	qsort(names, n, sizeof(*names), compare_named);
	*ret_n = n;
	return names;
}

/* The list of the file, copied; an empty one where it has none. */
static struct tree_node *copy_list(
	struct tree *tree, const struct tree_node *old, struct config_mark mark)
{
	struct tree_node *list = tree_make(tree, TREE_LIST, old ? old->mark : mark);

	for (uint32_t i = 0; old && i < old->child_count; i++)
		tree_append(list, old->child[i]);
	return list;
}

static struct tree_node *merge_list(struct tree *file, const struct tree_node *old,
	const struct object *objects, struct merged_object *merged, size_t n)
{
	struct tree_node *list = copy_list(file, old, merged[0].tree.root->mark);
	bool is_patch = strcmp(objects[0].kind, "listeners") == 0;
	size_t i, n_names;
	struct named *names = index_names(file, list, &n_names), *found;

	for (i = 0; i < n; i++) {
		struct named wanted = {slice_of(objects[i].name), 0};

		found = bsearch(&wanted, names, n_names, sizeof(*names), compare_named);
		merged[i].is_in_file = found;
		if (!found)
			tree_append(list, patched(file, NULL, merged[i].tree.root));
		else if (is_patch)
			list->child[found->at] =
				patched(file, list->child[found->at], merged[i].tree.root);
		else
			list->child[found->at] = merged[i].tree.root;
	}
	free(names);
	return list;
}

static int merge_kind(struct tree *file, struct tree_node *root, const struct object *objects,
	struct merged_object *merged, size_t n, struct config_errors *errors)
{
	uint32_t at = find_key(root, slice_of(objects[0].kind));
	struct tree_node *old = at ? root->child[at] : NULL;

	if (old && tree_is_null(old))
		old = NULL;
	if (old && old->kind != TREE_LIST) {
		config_errors_add(errors, old->mark, objects[0].kind, "must be a list");
		return -EINVAL;
	}
	old = merge_list(file, old, objects, merged, n);
	if (at) {
		root->child[at] = old;
	} else {
		tree_append(
			root, tree_make_scalar(file, objects[0].kind, merged[0].tree.root->mark));
		tree_append(root, old);
	}
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
	root = tree_make(
		file, TREE_MAPPING, file->root ? file->root->mark : (struct config_mark){1, 1, 0});
	if (file->root)
		take_pairs(root, file->root, true);
	for (i = 0; i < set->n && r == 0; i = end) {
		for (end = i + 1; end < set->n; end++)
			if (strcmp(set->items[end].kind, set->items[i].kind) != 0)
				break;
		r = merge_kind(
			file, root, &set->items[i], &ret_merged->objects[i], end - i, errors);
	}
	file->root = root;
	return r;
}

void config_merged_fini(struct config_merged *merged)
{
	for (size_t i = 0; i < merged->n; i++)
		tree_fini(&merged->objects[i].tree);
	free(merged->objects);
	*merged = (struct config_merged){0};
}
