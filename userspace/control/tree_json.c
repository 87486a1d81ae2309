/* Trees as JSON: see tree_json.h. */
#include "control/tree_json.h"

#include "control/config_merge.h"
#include "tls/digest.h"

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

yyjson_mut_val *tree_json(
	yyjson_mut_doc *doc, struct tree *tree, const struct tree_node *node, const char *blob_path)
{
	yyjson_mut_val *value;

	if (node->kind == TREE_SCALAR)
		return scalar_to_json(doc, node, blob_path);
	if (node->kind == TREE_LIST) {
		value = yyjson_mut_arr(doc);
		for (uint32_t i = 0; i < node->child_count; i++)
			yyjson_mut_arr_append(
				value, tree_json(doc, tree, node->child[i], blob_path));
		return value;
	}
	node = config_merge_flat(tree, node);
	value = yyjson_mut_obj(doc);
	for (uint32_t i = 0; i + 1 < node->child_count; i += 2) {
		struct slice key = node->child[i]->text;

		yyjson_mut_obj_add(value, yyjson_mut_strncpy(doc, key.ptr, key.len),
			tree_json(doc, tree, node->child[i + 1], blob_path));
	}
	return value;
}
