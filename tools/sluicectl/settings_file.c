/* Settings of an object in a file: see settings_file.h. What they mean, the daemon knows. */
#include "settings_file.h"

#include "change.h"
#include "control/tree_json.h"

#include <stdlib.h>
#include <string.h>

enum { VALUES_MAX = 1000000, DEPTH_MAX = 2 * TREE_DEPTH_MAX };

/* Aliases may stand for more than any file says. */
static bool is_small(const struct tree_node *node, uint32_t depth, uint32_t *left)
{
	uint32_t i;

	if (depth > DEPTH_MAX || *left == 0)
		return false;
	(*left)--;
	for (i = 0; i < node->child_count; i++)
		if (!is_small(node->child[i], depth + 1, left))
			return false;
	return true;
}

static void complain(struct config_errors *errors, const char *path)
{
	config_errors_set_file(errors, strcmp(path, "-") == 0 ? "standard input" : path);
	fputs("sluicectl: ", stderr);
	config_errors_print(errors, stderr);
}

static yyjson_mut_doc *to_json(struct tree *tree, struct config_errors *errors)
{
	static const struct config_mark top = {1, 1, 0};
	uint32_t left = VALUES_MAX;
	yyjson_mut_doc *doc;

	if (!tree->root || tree->root->kind != TREE_MAPPING) {
		config_errors_add(errors, tree->root ? tree->root->mark : top, NULL,
			"this is not settings and their values: YAML (NAME: VALUE) or a JSON object");
		return NULL;
	}
	if (!is_small(tree->root, 0, &left)) {
		config_errors_add(errors, tree->root->mark, NULL,
			"too many values once aliases are followed");
		return NULL;
	}
	doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_doc_set_root(doc, tree_json(doc, tree, tree->root, NULL));
	return doc;
}

static yyjson_mut_doc *read_yaml(const char *text, size_t len, const char *path)
{
	yyjson_mut_doc *doc = NULL;
	struct config_errors errors;
	struct tree tree = {0};

	config_errors_init(&errors);
	if (tree_parse(&tree, text, len, &errors) == 0)
		doc = to_json(&tree, &errors);
	if (!doc)
		complain(&errors, path);
	tree_fini(&tree);
	config_errors_fini(&errors);
	return doc;
}

/* JSON has texts that YAML does not read alike. */
yyjson_mut_doc *settings_file_read(const char *path)
{
	yyjson_mut_doc *doc;
	yyjson_doc *json;
	size_t len;
	char *text = change_read_file(path, &len);

	if (!text)
		return NULL;
	json = yyjson_read(text, len, 0);
	if (yyjson_is_obj(yyjson_doc_get_root(json)))
		doc = yyjson_doc_mut_copy(json, NULL);
	else
		doc = read_yaml(text, len, path);
	yyjson_doc_free(json);
	explicit_bzero(text, len); /* may have a key in it */
	free(text);
	return doc;
}
