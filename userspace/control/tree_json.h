/*
 * A tree of YAML as JSON: what is plain and looks like a number, a truth value or null is one, the rest are
 * texts. Any thread that has the tree.
 */
#ifndef SLUICE_CONTROL_TREE_JSON_H
#define SLUICE_CONTROL_TREE_JSON_H

#include "control/config_tree.h"
#include <yyjson.h>

/* Follows aliases: the caller has seen that they do not grow beyond measure. Nodes may be added to the
 * tree, for merge keys. A path below `blob_path` (NULL: none is) becomes {"blob": digest}. */
yyjson_mut_val *tree_json(yyjson_mut_doc *doc, struct tree *tree, const struct tree_node *node,
	const char *blob_path);

#endif
