/* The names that are looked up: see resolver_names.h. */
#include "control/resolver_names.h"

#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static struct list *bucket_of(struct names *names, const char *host)
{
	uint32_t hash = 2166136261u; /* FNV-1a: the names are the operator's own */

	while (*host)
		hash = (hash ^ (unsigned char)*host++) * 16777619u;
	return &names->buckets[hash % NAME_BUCKETS];
}

void names_init(struct names *names)
{
	struct list *list;

	for_each_name_list(list, names) list_init(list);
}

struct name *names_find(struct names *names, const char *host, enum config_family family)
{
	struct list *link;

	list_for_each(link, bucket_of(names, host)) {
		struct name *name = container_of(link, struct name, link);

		if (name->family == family && strcmp(name->host, host) == 0)
			return name;
	}
	return NULL;
}

static struct name *make(struct names *names, const char *host, enum config_family family)
{
	struct name *name = mem_zalloc(sizeof(*name));
	int i;

	for (i = 0; i < NAME_FAMILIES; i++)
		name->half[i].name = name;
	name->half[NAME_V4].is_wanted = family != CONFIG_FAMILY_V6;
	name->half[NAME_V6].is_wanted = family != CONFIG_FAMILY_V4;
	name->host = mem_strdup(host);
	name->family = family;
	list_add_tail(bucket_of(names, host), &name->link);
	return name;
}

struct name *names_want(struct names *names, const char *host, const struct config_group_dns *how)
{
	struct name *name = names_find(names, host, how->family);

	if (!name)
		name = make(names, host, how->family);
	name->is_wanted = true;
	if (how->hold_ms > name->hold_ms)
		name->hold_ms = how->hold_ms;
	if (!how->interval_ms)
		name->goes_by_ttl = true;
	else if (!name->interval_ms || how->interval_ms < name->interval_ms)
		name->interval_ms = how->interval_ms;
	return name;
}

void names_unwant(struct names *names)
{
	struct list *list, *link;

	for_each_name_list(list, names) list_for_each(link, list)
	{
		struct name *name = container_of(link, struct name, link);

		name->is_wanted = name->goes_by_ttl = false;
		name->interval_ms = name->hold_ms = 0;
	}
}

static void name_free(struct name *name)
{
	list_del(&name->link);
	free(name->host);
	free(name->addresses);
	free(name);
}

void names_forget(struct names *names)
{
	struct list *list, *link, *after;

	for_each_name_list(list, names) list_for_each_safe(link, after, list)
	{
		struct name *name = container_of(link, struct name, link);

		if (!name->is_wanted && !name_is_asking(name))
			name_free(name);
	}
}

void names_fini(struct names *names)
{
	names_unwant(names);
	names_forget(names);
}
