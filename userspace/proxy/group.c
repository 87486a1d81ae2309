/* Targets and target groups: see group.h. */
#include "proxy/group.h"
#include "core/hash.h"
#include "core/mem.h"
#include "proxy/group_state.h"
#include "proxy/maglev.h"
#include "tls/client.h"
#include "tls/tickets.h"

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
	free(target->host);
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
	target->hash = balance_key_of(slice_of(target->text));
	target->name = mem_strdup(name ? name : target->text);
	target->addr = *addr;
	target->id = id;
	target->workers = rows_new(n_workers + 1, sizeof(*target->workers));
	for (i = 0; i < n_workers; i++) {
		list_init(&target->workers[i].idle);
		list_init(&target->workers[i].sessions);
	}
	return target;
}

void target_set_host(struct target *target, const char *host)
{
	target->host = host ? mem_strdup(host) : NULL;
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
	group_state_put(group->spec.state);
	maglev_free(group->maglev);
	free(group->workers);
	free(group->spec.members);
	free((char *)group->spec.key.name);
	free((char *)group->spec.sticky.cookie);
	free((char *)group->spec.sticky.app_cookie);
	if (group->spec.sticky.tickets)
		tls_tickets_put(group->spec.sticky.tickets);
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

/* A target's address is what it is called on every node. */
static struct maglev *make_maglev(const struct group_spec *spec)
{
	struct maglev_member *members = mem_zalloc((spec->n_members + 1) * sizeof(*members));
	struct maglev *maglev;
	uint32_t i;

	for (i = 0; i < spec->n_members; i++) {
		members[i].name_hash = spec->members[i].target->hash;
		members[i].other_hash = balance_key_of((struct slice){
			(const char *)&members[i].name_hash, sizeof(members[i].name_hash)});
		members[i].weight = spec->members[i].weight;
	}
	maglev = maglev_new(members, spec->n_members);
	free(members);
	return maglev;
}

static void copy_sticky(struct sticky_spec *spec)
{
	if (spec->cookie)
		spec->cookie = mem_strdup(spec->cookie);
	if (spec->app_cookie)
		spec->app_cookie = mem_strdup(spec->app_cookie);
	if (spec->tickets)
		spec->tickets = tls_tickets_get(spec->tickets);
}

static void init_rows(struct target_group *group)
{
	const struct group_spec *spec = &group->spec;
	struct group_worker *row;
	uint32_t i;

	group->workers = rows_new(spec->n_workers, sizeof(*group->workers));
	for (i = 0; i < spec->n_workers; i++) {
		row = &group->workers[i];
		/* Workers start at different members, or a burst on all of them hits the first. */
		row->next = spec->n_members ? i * 7919 % spec->n_members : 0;
		hash_random(&row->random, sizeof(row->random));
		if (!group->weights_equal)
			row->current = mem_zalloc((spec->n_members + 1) * sizeof(*row->current));
	}
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
	group->spec.key.name = spec->key.name ? mem_strdup(spec->key.name) : NULL;
	copy_sticky(&group->spec.sticky);
	group->spec.members = memcpy(mem_alloc(bytes), spec->members, bytes);
	for (i = 0; i < spec->n_members; i++)
		shared_get(&spec->members[i].target->shared);
	if (spec->tls)
		tls_client_get(spec->tls);
	if (spec->state)
		shared_get(&spec->state->shared);
	else
		group->spec.state = group_state_new(spec->n_workers);
	group->weights_equal = weights_are_equal(spec) && !spec->slow_start_ms;
	if (spec->algorithm == BALANCE_CONSISTENT_HASH)
		group->maglev = make_maglev(spec);
	init_rows(group);
	target_group_recount(group);
	return group;
}

bool target_member_is_usable(const struct target_group *group, const struct target_member *member)
{
	return member->weight && !target_is_ejected(group, member->target) &&
	       atomic_load_explicit(&member->target->health, memory_order_relaxed) !=
		       TARGET_UNHEALTHY;
}

void target_group_recount(struct target_group *group)
{
	const struct group_spec *spec = &group->spec;
	uint64_t usable = 0, n = 0;
	uint32_t i;

	for (i = 0; i < spec->n_members; i++) {
		n += spec->members[i].weight != 0;
		usable += target_member_is_usable(group, &spec->members[i]);
	}
	atomic_store_explicit(&group->has_usable, usable != 0, memory_order_relaxed);
	atomic_store_explicit(&group->failing_open,
		spec->fail_open && n &&
			(!usable || usable < spec->fail_open_below ||
				usable * 100 < n * spec->fail_open_below_percent),
		memory_order_relaxed);
}

bool target_group_has_usable(const struct target_group *group)
{
	return atomic_load_explicit(&group->has_usable, memory_order_relaxed);
}

bool target_group_is_failing_open(const struct target_group *group)
{
	return atomic_load_explicit(&group->failing_open, memory_order_relaxed);
}

bool target_group_is_ramping(
	const struct target_group *group, const struct target *target, uint64_t now_ms)
{
	uint64_t since = atomic_load_explicit(&target->ramp_since_ms, memory_order_relaxed);

	return since && now_ms < since + group->spec.slow_start_ms;
}

void target_group_ramp(struct target_group *group, struct target *target, uint64_t now_ms)
{
	const struct group_spec *spec = &group->spec;
	const struct target *other;
	uint64_t since = 0;
	uint32_t i;

	for (i = 0; spec->slow_start_ms && !target->is_founder && i < spec->n_members && !since;
		i++) {
		other = spec->members[i].target;
		if (other != target && spec->members[i].weight &&
			atomic_load_explicit(&other->health, memory_order_relaxed) ==
				TARGET_HEALTHY &&
			!target_group_is_ramping(group, other, now_ms))
			since = now_ms;
	}
	target->is_founder = false;
	atomic_store_explicit(&target->ramp_since_ms, since, memory_order_relaxed);
}
