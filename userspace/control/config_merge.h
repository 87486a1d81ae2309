/*
 * Objects made through the admin API over what the configuration file says, as trees, before either
 * is read. An object takes the place of the file's item of the same name; one of a kind that is a patch
 * (object_kinds.h) changes only the settings it has (RFC 7396: null takes one away). One thread.
 */
#ifndef SLUICE_CONTROL_CONFIG_MERGE_H
#define SLUICE_CONTROL_CONFIG_MERGE_H

#include "control/config.h"
#include "control/config_tree.h"
#include "control/objects.h"

struct object_kind;

/* What is laid over a file. */
struct config_overlay {
	const struct object_set *objects;
	const char *blob_path; /* the folder of contents */
	bool leaves_orphans; /* what is below an item that is gone is left out, and logged */
};

/* The trees of the objects, in the order of the set; they must live as long as the tree of the file
 * is used. */
struct config_merged {
	struct merged_object {
		struct tree tree;
		bool is_in_file; /* the file has one of this name, too */
		bool is_orphan; /* left out */
	} *objects;
	size_t n;
	/* Items that have objects below them, as they were without those. */
	struct merged_parent {
		const struct object_kind *kind;
		struct slice name;
		const struct tree_node *alone;
	} *parents;
	size_t n_parents;
};

/* The root of `file` has the objects from then on. 0, or -EINVAL with reasons in `errors`. Also after
 * an error config_merged_fini(). */
int config_merge(struct tree *file, const struct config_overlay *overlay,
	struct config_merged *ret_merged, struct config_errors *errors) must_check;
void config_merged_fini(struct config_merged *merged);

/* The listed settings of a mapping, those that "<<" brings in too; `node` itself if it has none. */
const struct tree_node *config_merge_flat(struct tree *tree, const struct tree_node *node);
/* The value of a setting, NULL: it is not there. */
struct tree_node *config_merge_find(const struct tree_node *mapping, const char *key);

/* What an item of a list of objects is called: its name, or what stands for one that has none. Empty:
 * nothing does. Lives as long as the tree. */
struct slice config_merge_item_name(
	struct tree *tree, const struct object_kind *kind, const struct tree_node *item);

/* Both in one, read and checked: config_parse() with objects over it. `ret_rows` may be NULL. */
struct object_rows;
int config_compose(const struct config_text *text, const struct config_overlay *overlay,
	struct config **ret_config, struct object_rows *ret_rows,
	struct config_errors *errors) must_check;

#endif
