/* What the files of build share; nobody else includes it. See build.h. */
#ifndef SLUICE_CONTROL_BUILD_PARTS_H
#define SLUICE_CONTROL_BUILD_PARTS_H

#include "control/build.h"

struct building {
	const struct build_env *env;
	const struct build *before; /* NULL: the first */
	struct build *build;        /* under way */
	struct config_errors *errors;
};

/* Each fills its part of the build as far as it can and adds an error for what it cannot. */
void build_certs(struct building *building);
void build_groups(struct building *building);
void build_listeners_tls(struct building *building);
void build_listeners(struct building *building);
void build_cookie_secret(struct building *building);
void build_lists(struct building *building);
/* The policies of listeners that have one, after their TLS contexts. */
void build_gates(struct building *building);
/* The target group of each route; the caller's to free(), the groups are not counted. */
struct target_group **build_route_groups(
	const struct build *build, const struct config_listener *wanted);
void build_gate_listeners(struct build *build);

void build_group_fini(struct built_group *group);
void build_listener_fini(struct built_listener *listener);

/* Zeros if the file cannot be looked at. */
void file_identity_read(const char *path, struct file_identity *ret_identity);
bool file_identity_eq(const struct file_identity *a, const struct file_identity *b);
bool build_text_eq(const char *a, const char *b); /* NULL equals NULL */
char *build_text_copy(const char *text);          /* NULL stays NULL */

/* The same object of the generation before, or NULL. */
const struct built_group *build_before_group(const struct building *building, const char *name);
const struct built_listener *build_before_listener(
	const struct building *building, const char *name);

#endif
