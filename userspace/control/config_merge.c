/* Settings over settings, as trees: see config_merge.h. Nodes of the file may be shared by aliases:
 * none is changed, copies take their place. */
#include "control/config_merge_parts.h"

#include <string.h>

static bool is_merge_key(const struct tree_node *key)
{
	return key->kind == TREE_SCALAR && key->plain && slice_eq(key->text, SLICE("<<"));
}

uint32_t config_merge_key(const struct tree_node *mapping, struct slice key)
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
	uint32_t at = mapping->kind == TREE_MAPPING ? config_merge_key(mapping, slice_of(key)) : 0;

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
			(!is_own && key->kind == TREE_SCALAR && config_merge_key(flat, key->text)))
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

void config_merge_pair(
	struct tree *tree, struct tree_node *result, struct tree_node *key, struct tree_node *value)
{
	uint32_t at = key->kind == TREE_SCALAR ? config_merge_key(result, key->text) : 0;

	if (tree_is_null(value)) {
		if (!at)
			return;
		memmove(&result->child[at - 1], &result->child[at + 1],
			(result->child_count - at - 1) * sizeof(result->child[0]));
		result->child_count -= 2;
	} else if (at) {
		result->child[at] = config_merge_patched(tree, result->child[at], value);
	} else {
		tree_append(result, key);
		tree_append(result, config_merge_patched(tree, NULL, value));
	}
}

struct tree_node *config_merge_patched(
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
		config_merge_pair(tree, result, patch->child[i], patch->child[i + 1]);
	return result;
}

void config_merge_replace(struct tree_node *mapping, struct tree_node *key, struct tree_node *value)
{
	uint32_t at = config_merge_key(mapping, key->text);

	if (at) {
		mapping->child[at] = value;
		return;
	}
	tree_append(mapping, key);
	tree_append(mapping, value);
}
