/*
 * A YAML text as a tree whose every node knows its line and column. Reads one document through
 * libyaml's events with bounds on size, depth, nodes and anchors; an alias is a second pointer to
 * the same node, so the tree may share but never contains itself. Owned by the caller; one thread.
 */
#ifndef SLUICE_CONTROL_CONFIG_TREE_H
#define SLUICE_CONTROL_CONFIG_TREE_H

#include "control/config_errors.h"
#include "core/slice.h"

enum {
	TREE_DEPTH_MAX = 32,
	TREE_ANCHORS_MAX = 1000,
	TREE_NODES_MAX = 4000000,
	TREE_FILE_BYTES_MAX = 64 << 20,
};

enum tree_kind { TREE_SCALAR, TREE_LIST, TREE_MAPPING };

struct tree_node {
	enum tree_kind kind;
	bool plain; /* scalar without quotes */
	struct config_mark mark;
	struct slice text;        /* scalar; may contain any character but is valid UTF-8 */
	struct tree_node **child; /* items, or key, value, key, value ... */
	uint32_t child_count, child_room;
	struct tree_node *next_made; /* all nodes of the tree */
};

struct tree {
	struct tree_node *root; /* NULL: the text is empty */
	struct tree_node *made;
	uint32_t nodes;
};

/* 0, or -EINVAL with one entry in `errors`: after a syntax error the rest has no meaning. */
int tree_parse(
	struct tree *tree, const char *text, size_t len, struct config_errors *errors) must_check;
/* Also after a failed tree_parse. */
void tree_fini(struct tree *tree);

/* A node more, in no other one yet. Text as a plain scalar: tree_make_scalar(). */
struct tree_node *tree_make(struct tree *tree, enum tree_kind kind, struct config_mark mark);
struct tree_node *tree_make_scalar(struct tree *tree, const char *text, struct config_mark mark);
void tree_append(struct tree_node *parent, struct tree_node *child);
/* Marks of the whole tree say that it was not read from the file. */
void tree_set_source(struct tree *tree, uint32_t source);

/* Nothing was written as the value: empty, ~ or null. */
bool tree_is_null(const struct tree_node *node);

#endif
