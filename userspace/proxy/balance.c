/*
 * Choosing a target: see group.h. Tiers: healthy, not yet checked, anything if the group fails
 * open, and for connections of a listener that is gone the targets that are going; within a tier
 * by the group's algorithm. A worker's own thread only.
 */
#include "proxy/group.h"

enum tier { TIER_HEALTHY, TIER_INITIAL, TIER_ANY, TIER_REMOVED };

static bool is_in_tier(
	const struct target_member *member, enum tier tier, const struct target *avoid)
{
	enum target_health health;

	if (!member->weight || member->target == avoid)
		return false;
	if (atomic_load_explicit(&member->target->removed, memory_order_relaxed))
		return tier == TIER_REMOVED &&
		       !atomic_load_explicit(&member->target->expired, memory_order_relaxed);
	if (tier >= TIER_ANY)
		return tier == TIER_ANY;
	health = atomic_load_explicit(&member->target->health, memory_order_relaxed);
	return health == (tier == TIER_HEALTHY ? TARGET_HEALTHY : TARGET_INITIAL);
}

static struct target *next_equal(struct target_group *group, struct group_worker *worker,
	enum tier tier, const struct target *avoid)
{
	uint32_t n = group->spec.n_members, tried, at;

	for (tried = 0; tried < n; tried++) {
		at = worker->next++;
		if (worker->next >= n)
			worker->next = 0;
		if (is_in_tier(&group->spec.members[at], tier, avoid))
			return group->spec.members[at].target;
	}
	return NULL;
}

/* Smooth weighted round robin: each gains its weight, the richest is taken and pays the sum. */
static struct target *next_weighted(struct target_group *group, struct group_worker *worker,
	enum tier tier, const struct target *avoid)
{
	const struct target_member *members = group->spec.members;
	int32_t total = 0;
	int64_t best = -1;
	uint32_t i;

	for (i = 0; i < group->spec.n_members; i++) {
		if (!is_in_tier(&members[i], tier, avoid))
			continue;
		worker->current[i] += (int32_t)members[i].weight;
		total += (int32_t)members[i].weight;
		if (best < 0 || worker->current[i] > worker->current[best])
			best = i;
	}
	if (best < 0)
		return NULL;
	worker->current[best] -= total;
	return members[best].target;
}

/* Fewest outstanding per weight; the rotation decides between equals. */
static struct target *least_outstanding(struct target_group *group, struct group_worker *worker,
	enum tier tier, const struct target *avoid)
{
	const struct target_member *members = group->spec.members;
	uint32_t n = group->spec.n_members, i, at, first = worker->next;
	uint64_t load, best_load = 0, best_weight = 0;
	struct target *best = NULL;

	for (i = 0; i < n; i++) {
		at = first + i < n ? first + i : first + i - n;
		if (!is_in_tier(&members[at], tier, avoid))
			continue;
		load = atomic_load_explicit(&members[at].target->outstanding, memory_order_relaxed);
		if (best && load * best_weight >= best_load * members[at].weight)
			continue;
		best = members[at].target;
		best_load = load;
		best_weight = members[at].weight;
		worker->next = at + 1 < n ? at + 1 : 0;
	}
	return best;
}

static struct target *pick_in_tier(
	struct target_group *group, uint32_t worker, enum tier tier, const struct target *avoid)
{
	struct group_worker *row = &group->workers[worker];

	if (group->spec.algorithm == BALANCE_LEAST_OUTSTANDING)
		return least_outstanding(group, row, tier, avoid);
	if (group->weights_equal)
		return next_equal(group, row, tier, avoid);
	return next_weighted(group, row, tier, avoid);
}

static struct target *pick(struct target_group *group, uint32_t worker, const struct target *avoid)
{
	struct target *target = pick_in_tier(group, worker, TIER_HEALTHY, avoid);

	if (!target)
		target = pick_in_tier(group, worker, TIER_INITIAL, avoid);
	return target;
}

struct target *balance_pick(struct target_group *group, uint32_t worker, const struct target *avoid)
{
	struct target *target = pick(group, worker, avoid);

	if (!target && avoid)
		target = pick(group, worker, NULL);
	if (!target && group->spec.fail_open)
		target = pick_in_tier(group, worker, TIER_ANY, avoid);
	if (!target && group->spec.fail_open && avoid)
		target = pick_in_tier(group, worker, TIER_ANY, NULL);
	if (!target)
		target = pick_in_tier(group, worker, TIER_REMOVED, avoid);
	return target;
}
