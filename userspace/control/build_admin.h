/* Who may use the admin interface over TCP, in a generation: part of build.h. */
#ifndef SLUICE_CONTROL_BUILD_ADMIN_H
#define SLUICE_CONTROL_BUILD_ADMIN_H

#include <stdbool.h>
#include <stdint.h>

struct admin_access;
struct build;
struct building;

struct built_admin {
	struct admin_access *access; /* counted; NULL: there is no admin.listen */
	uint64_t *token_identities; /* of the files with tokens */
	char *fault; /* why `access` is not what its files are now; NULL: it is */
};

/* As the others of build_parts.h. */
void build_admin(struct building *building);
/* After certificates and trust stores. */
void build_admin_renew(struct building *building);
bool build_admin_has_changed(const struct building *building);
void build_admin_free(struct build *build);

#endif
