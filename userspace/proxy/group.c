/* Targets and target groups: see group.h. */
#include "proxy/group.h"
#include "core/mem.h"
#include "tls/client.h"

#include <stdlib.h>
#include <string.h>

static void *rows_new(size_t n, size_t row_bytes)
{
	void *rows = aligned_alloc(CACHE_LINE, n * row_bytes);

	if (!rows)
		abort();
	return memset(rows, 0, n * row_bytes);
}

static void target_free(struct shared *shared)
{
	struct target *target = container_of(shared, struct target, shared);

	free(target->workers);
	free(target->group_name);
	free(target->name);
	shared_fini(shared);
	free(target);
}

struct target *target_new(const char *group_name, const char *name, const union addr *addr,
	uint32_t id, uint32_t n_workers)
{
	struct target *target = rows_new(1, sizeof(*target));
	uint32_t i;

	shared_init(&target->shared, n_workers, target_free);
	target->group_name = mem_strdup(group_name);
	addr_format(addr, target->text);
	target->name = mem_strdup(name ? name : target->text);
	target->addr = *addr;
	target->id = id;
	target->workers = rows_new(n_workers, sizeof(*target->workers));
	for (i = 0; i < n_workers; i++)
		list_init(&target->workers[i].idle);
	return target;
}

static void target_group_free(struct shared *shared)
{
	struct target_group *group = container_of(shared, struct target_group, shared);
	uint32_t i;

	for (i = 0; i < group->spec.n_members; i++)
		target_put(group->spec.members[i].target);
	for (i = 0; i < group->spec.n_workers; i++)
		free(group->workers[i].current);
	if (group->spec.tls)
		tls_client_put(group->spec.tls);
	free(group->workers);
	free(group->spec.members);
	free((char *)group->spec.name);
	free((char *)group->spec.tls_name);
	shared_fini(shared);
	free(group);
}

static bool weights_are_equal(const struct group_spec *spec)
{
	uint32_t i;

	for (i = 1; i < spec->n_members; i++)
		if (spec->members[i].weight != spec->members[0].weight)
			return false;
	return !spec->n_members || spec->members[0].weight > 0;
}

struct target_group *target_group_new(const struct group_spec *spec)
{
	struct target_group *group = mem_zalloc(sizeof(*group));
	size_t bytes = spec->n_members * sizeof(*spec->members);
	uint32_t i;

	shared_init(&group->shared, spec->n_workers, target_group_free);
	group->spec = *spec;
	group->spec.name = mem_strdup(spec->name);
	group->spec.tls_name = spec->tls_name ? mem_strdup(spec->tls_name) : NULL;
	group->spec.members = memcpy(mem_alloc(bytes), spec->members, bytes);
	for (i = 0; i < spec->n_members; i++)
		shared_get(&spec->members[i].target->shared);
	if (spec->tls)
		tls_client_get(spec->tls);
	group->weights_equal = weights_are_equal(spec);
	group->workers = rows_new(spec->n_workers, sizeof(*group->workers));
	for (i = 0; i < spec->n_workers; i++) {
		/* Workers start at different members, or a burst on all of them hits the first. */
		group->workers[i].next = spec->n_members ? i * 7919 % spec->n_members : 0;
		if (!group->weights_equal)
			group->workers[i].current =
				mem_zalloc((spec->n_members + 1) * sizeof(int32_t));
	}
	return group;
}
