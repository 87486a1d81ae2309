/*
 * The names that are looked up. Not locked: the resolver does that.
 */
#ifndef SLUICE_CONTROL_RESOLVER_NAMES_H
#define SLUICE_CONTROL_RESOLVER_NAMES_H

#include "control/resolver_name.h"

enum { NAME_BUCKETS = 1024 };

struct names {
	struct list buckets[NAME_BUCKETS];
};

#define for_each_name_list(list_, names_)                                                          \
	for (list_ = (names_)->buckets; list_ < (names_)->buckets + NAME_BUCKETS; list_++)

void names_init(struct names *names);
void names_fini(struct names *names);
struct name *names_find(struct names *names, const char *host, enum config_family family);
/* The name, made if it is not there. Of several that want it, the shortest interval and the longest hold
 * count. */
struct name *names_want(struct names *names, const char *host, const struct config_group_dns *how);
/* From here on nobody wants any, until they are wanted again. */
void names_unwant(struct names *names);
/* Removes those that nobody wants; a look-up that is under way keeps its own until it ends. */
void names_forget(struct names *names);

#endif
