/*
 * Objects made through the admin API over what the configuration file says, as trees, before either
 * is read. An object takes the place of the file's item of the same name; one of a listener changes
 * only the settings it has (RFC 7396: null takes one away). One thread.
 */
#ifndef SLUICE_CONTROL_CONFIG_MERGE_H
#define SLUICE_CONTROL_CONFIG_MERGE_H

#include "control/config.h"
#include "control/config_tree.h"
#include "control/objects.h"

/* What is laid over a file. */
struct config_overlay {
	const struct object_set *objects;
	const char *blob_path; /* the folder of contents */
};

/* The trees of the objects, in the order of the set; they must live as long as the tree of the file
 * is used. */
struct config_merged {
	struct merged_object {
		struct tree tree;
		bool is_in_file; /* the file has one of this name, too */
	} *objects;
	size_t n;
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

/* Both in one, read and checked: config_parse() with objects over it. `ret_rows` may be NULL. */
struct object_rows;
int config_compose(const struct config_text *text, const struct config_overlay *overlay,
	struct config **ret_config, struct object_rows *ret_rows,
	struct config_errors *errors) must_check;

#endif
