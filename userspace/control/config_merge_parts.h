/* The inside of config_merge: trees of settings (config_merge.c) and objects (config_merge_objects.c). */
#ifndef SLUICE_CONTROL_CONFIG_MERGE_PARTS_H
#define SLUICE_CONTROL_CONFIG_MERGE_PARTS_H

#include "control/config_merge.h"

/* Where the value of a setting stands among the children; 0: it is not there. */
uint32_t config_merge_key(const struct tree_node *mapping, struct slice key);
/* `result` is nobody else's, and has what "<<" brings in. */
void config_merge_pair(struct tree *tree, struct tree_node *result, struct tree_node *key,
	struct tree_node *value);
/* The value of a setting, as a whole. */
void config_merge_replace(
	struct tree_node *mapping, struct tree_node *key, struct tree_node *value);
/* RFC 7396; `target` NULL: there was nothing. */
struct tree_node *config_merge_patched(
	struct tree *tree, const struct tree_node *target, struct tree_node *patch);

#endif
