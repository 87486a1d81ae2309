/*
 * Steps of parsing between the YAML tree and the finished struct config, in this order: read the
 * tree by the table of settings, resolve references, check what concerns several settings. Each
 * adds to `errors` and goes on, so that one run finds everything. One thread.
 */
#ifndef SLUICE_CONTROL_CONFIG_READ_H
#define SLUICE_CONTROL_CONFIG_READ_H

#include "control/config_path.h"
#include "control/config_scalar.h"
#include "control/config_tree.h"

/* A reference by name, to be replaced by a pointer when all objects are read. */
struct config_ref {
	const struct setting *row;
	const void **field;
	struct config_mark mark;
	char *name, *path; /* owned by the store */
};

struct config_reader {
	struct config *config;
	struct config_errors *errors;
	struct scalar_place place;
	struct config_path path;
	struct config_ref *refs;
	uint32_t refs_count, refs_room;
	uint32_t visits; /* nodes seen, aliases followed */
};

/* The tree into config->..., defaults first. */
void config_read_tree(struct config_reader *reader, const struct tree_node *root);
/* config_refs.c */
void config_resolve_refs(struct config_reader *reader);
/* A walk over a configuration that was read, to see whether its settings go together. */
struct config_checker {
	const struct config *config;
	struct config_errors *errors;
	struct config_path path;
};

/* config_check.c: an error at the place of `field`, or of the object if the field has its default. */
void config_refuse(struct config_checker *checker, const void *field, struct config_mark object,
	const char *name, const char *format, ...) printf_like(5, 6);

/* config_check.c: the value has an error of its own already. */
bool config_is_unread(const struct config_checker *checker, const void *field);
/* A group that a listener leads to. `mark`: where it is named if the field is not. */
void config_check_group_fits(struct config_checker *checker, const struct config_listener *listener,
	const struct config_target_group *const *field, struct config_mark mark);

/* config_check.c: after the store is sealed. */
void config_check(struct config *config, struct config_errors *errors);
/* config_client_auth.c: client certificates of listeners, and headers about them. */
void config_check_client_auth(const struct config *config, struct config_errors *errors);
/* config_targets.c: how target groups choose. */
void config_check_targets(const struct config *config, struct config_errors *errors);
/* config_rules.c: rules of listeners, and where they lead. */
void config_check_rules(const struct config *config, struct config_errors *errors);
/* config_policy.c: security policies, and who names them. */
void config_check_policies(const struct config *config, struct config_errors *errors);
/* config_admin.c: who may use the admin interface over TCP, and where it is. */
void config_check_admin(const struct config *config, struct config_errors *errors);
/* config_overlap.c: no two listeners on one address. */
void config_check_overlaps(const struct config *config, struct config_errors *errors);

/* Names of one list of objects, sorted (config_refs.c). */
struct name_entry {
	const char *name;
	void *object; /* begins with a struct config_mark */
};

struct name_index {
	struct name_entry *entry;
	uint32_t count;
};

/* `row` is a list of a section that has a "name". Unnamed items are left out. */
void config_refs_index_init(struct name_index *index, const struct setting *row, const void *base);
void config_refs_index_fini(struct name_index *index);

#endif
