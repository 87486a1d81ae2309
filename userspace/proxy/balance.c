/*
 * Choosing a target: see balance.h. Tiers: healthy, not yet checked, taken out for what requests
 * said though the checks are good, anything if the group fails open, and for connections of a
 * listener that is gone the targets that are going; within a tier by the group's algorithm. A worker's
 * own thread only.
 */
#include "proxy/balance.h"
#include "proxy/maglev.h"

enum tier { TIER_HEALTHY, TIER_INITIAL, TIER_EJECTED, TIER_ANY, TIER_REMOVED };

enum {
	HASH_TRIES = 16,
	RAMP_FULL = 256, /* a share in slow start, in parts of this */
	RAMP_LEAST = 26,
};

/* One choice: among whom, and for whom. */
struct choice {
	struct target_group *group;
	struct group_worker *row;
	struct balance_ask *ask;
	uint32_t worker;
	enum tier tier;
	uint32_t n_avoided; /* of ask->tried */
	uint64_t key;
};

static bool is_full(const struct choice *choice, const struct target *target)
{
	uint32_t limit = group_limit_in_use(&choice->group->spec);

	return limit && atomic_load_explicit(&target->outstanding, memory_order_relaxed) >= limit;
}

static bool is_of_tier(const struct choice *choice, const struct target *target)
{
	enum tier tier = choice->tier;
	enum target_health health;

	if (atomic_load_explicit(&target->removed, memory_order_relaxed))
		return tier == TIER_REMOVED &&
		       !atomic_load_explicit(&target->expired, memory_order_relaxed);
	if (tier >= TIER_ANY)
		return tier == TIER_ANY;
	if (target_is_ejected(choice->group, target) != (tier == TIER_EJECTED))
		return false;
	health = atomic_load_explicit(&target->health, memory_order_relaxed);
	return health == (tier == TIER_INITIAL ? TARGET_INITIAL : TARGET_HEALTHY);
}

static bool is_avoided(const struct choice *choice, const struct target *target)
{
	uint32_t i;

	for (i = 0; i < choice->n_avoided; i++)
		if (choice->ask->tried->targets[i] == target)
			return true;
	return false;
}

static bool is_in_tier(const struct choice *choice, const struct target_member *member)
{
	if (!member->weight || is_avoided(choice, member->target) ||
		!is_of_tier(choice, member->target))
		return false;
	if (!is_full(choice, member->target))
		return true;
	choice->ask->is_limited = true;
	return false;
}

static uint32_t ramp(const struct choice *choice, const struct target *target)
{
	uint32_t ramp_ms = choice->group->spec.slow_start_ms;
	uint64_t since = atomic_load_explicit(&target->ramp_since_ms, memory_order_relaxed);
	uint64_t passed = choice->ask->now_ms - since, share;

	if (!since || choice->ask->now_ms < since || passed >= ramp_ms)
		return choice->ask->now_ms < since ? RAMP_LEAST : RAMP_FULL;
	share = passed * RAMP_FULL / ramp_ms;
	return share < RAMP_LEAST ? RAMP_LEAST : (uint32_t)share;
}

/* Its share of this choice; 0: none. */
static uint32_t weight_in(const struct choice *choice, const struct target_member *member)
{
	if (!is_in_tier(choice, member))
		return 0;
	if (!choice->group->spec.slow_start_ms)
		return member->weight;
	return member->weight * ramp(choice, member->target);
}

static struct target *next_equal(const struct choice *choice)
{
	const struct group_spec *spec = &choice->group->spec;
	struct group_worker *row = choice->row;
	uint32_t tried, at;

	for (tried = 0; tried < spec->n_members; tried++) {
		at = row->next++;
		if (row->next >= spec->n_members)
			row->next = 0;
		if (is_in_tier(choice, &spec->members[at]))
			return spec->members[at].target;
	}
	return NULL;
}

/* Smooth weighted round robin: each gains its weight, the richest is taken and pays the sum. */
static struct target *next_weighted(const struct choice *choice)
{
	const struct group_spec *spec = &choice->group->spec;
	int64_t *current = choice->row->current, total = 0, best = -1;
	uint32_t i, weight;

	for (i = 0; i < spec->n_members; i++) {
		weight = weight_in(choice, &spec->members[i]);
		if (!weight)
			continue;
		current[i] += weight;
		total += weight;
		if (best < 0 || current[i] > current[best])
			best = i;
	}
	if (best < 0)
		return NULL;
	current[best] -= total;
	return spec->members[best].target;
}

/* Fewest outstanding per weight; the rotation decides between equals. With slow start the request
 * at hand counts, too: one that has nothing to do yet is not the better for it. */
static struct target *least_outstanding(const struct choice *choice)
{
	const struct group_spec *spec = &choice->group->spec;
	uint32_t n = spec->n_members, i, at, first = choice->row->next;
	uint64_t load, weight, best_load = 0, best_weight = 0;
	struct target *best = NULL;

	for (i = 0; i < n; i++) {
		at = first + i < n ? first + i : first + i - n;
		weight = weight_in(choice, &spec->members[at]);
		if (!weight)
			continue;
		load = atomic_load_explicit(
			       &spec->members[at].target->outstanding, memory_order_relaxed) +
		       (spec->slow_start_ms != 0);
		if (best && load * best_weight >= best_load * weight)
			continue;
		best = spec->members[at].target;
		best_load = load;
		best_weight = weight;
		choice->row->next = at + 1 < n ? at + 1 : 0;
	}
	return best;
}

/* splitmix64: a step and its value. */
static uint64_t next_random(uint64_t *state)
{
	uint64_t value = *state += 0x9e3779b97f4a7c15;

	value = (value ^ (value >> 30)) * 0xbf58476d1ce4e5b9;
	value = (value ^ (value >> 27)) * 0x94d049bb133111eb;
	return value ^ (value >> 31);
}

static struct target *by_chance(const struct choice *choice, uint64_t random)
{
	const struct group_spec *spec = &choice->group->spec;
	struct target *last = NULL;
	uint64_t total = 0, point;
	uint32_t i, weight;

	for (i = 0; i < spec->n_members; i++)
		total += weight_in(choice, &spec->members[i]);
	if (!total)
		return NULL;
	point = (uint64_t)(((unsigned __int128)random * total) >> 64);
	for (i = 0; i < spec->n_members; i++) {
		weight = weight_in(choice, &spec->members[i]);
		if (point < weight)
			return spec->members[i].target;
		point -= weight;
		if (weight)
			last = spec->members[i].target;
	}
	return last; /* another thread took one away in between */
}

/* The table has all members: while one is away its keys go to others, each to one of its own, and
 * no other key moves. */
static struct target *by_key(const struct choice *choice)
{
	const struct target_group *group = choice->group;
	uint64_t key = choice->key, state = choice->key;
	const struct target_member *member;
	int tries;

	if (!group->maglev)
		return NULL;
	for (tries = 0; tries < HASH_TRIES; tries++) {
		member = &group->spec.members[maglev_at(group->maglev, key)];
		if (is_in_tier(choice, member))
			return member->target;
		key = next_random(&state);
	}
	return by_chance(choice, key);
}

static struct target *pick_in_tier(struct choice *choice, enum tier tier)
{
	const struct target_group *group = choice->group;

	choice->tier = tier;
	switch (group->spec.algorithm) {
	case BALANCE_LEAST_OUTSTANDING:
		return least_outstanding(choice);
	case BALANCE_WEIGHTED_RANDOM:
		return by_chance(choice, next_random(&choice->row->random));
	case BALANCE_CONSISTENT_HASH:
		return by_key(choice);
	case BALANCE_ROUND_ROBIN:
		break;
	}
	return group->weights_equal ? next_equal(choice) : next_weighted(choice);
}

static struct target *pick_usable(struct choice *choice)
{
	struct target *target = pick_in_tier(choice, TIER_HEALTHY);

	return target || choice->ask->is_limited ? target : pick_in_tier(choice, TIER_INITIAL);
}

static struct target *pick_ejected(struct choice *choice)
{
	return pick_in_tier(choice, TIER_EJECTED);
}

static struct target *pick_any(struct choice *choice)
{
	return pick_in_tier(choice, TIER_ANY);
}

static uint32_t n_tried(const struct balance_tried *tried)
{
	uint32_t n = 0;

	while (tried && n < BALANCE_TRIED_MAX && tried->targets[n])
		n++;
	return n;
}

/* One that was not tried; else another than the last one; else that. */
static struct target *rather_another(
	struct choice *choice, struct target *(*pick)(struct choice *choice))
{
	uint32_t n = choice->n_avoided;
	struct target *target = pick(choice);

	while (!target && choice->n_avoided) {
		choice->n_avoided = choice->n_avoided > 1;
		target = pick(choice);
	}
	choice->n_avoided = n;
	return target;
}

/* The member itself, under the conditions that hold for all. */
static struct target *pick_stuck(struct choice *choice)
{
	const struct group_spec *spec = &choice->group->spec;
	bool is_open = target_group_is_failing_open(choice->group);
	const struct target_member *member = NULL;
	uint32_t i;

	for (i = 0; i < spec->n_members && !member; i++)
		if (spec->members[i].target == choice->ask->stick)
			member = &spec->members[i];
	if (!member)
		return NULL;
	choice->tier = is_open ? TIER_ANY : TIER_HEALTHY;
	if (is_in_tier(choice, member))
		return member->target;
	choice->tier = TIER_INITIAL;
	return !is_open && is_in_tier(choice, member) ? member->target : NULL;
}

struct target *balance_pick(struct target_group *group, uint32_t worker, struct balance_ask *ask)
{
	struct choice choice = {
		.group = group,
		.row = &group->workers[worker],
		.ask = ask,
		.worker = worker,
		.n_avoided = n_tried(ask->tried),
		.key = ask->key,
	};
	struct target *target = NULL;

	ask->is_limited = false;
	if (ask->stick)
		target = pick_stuck(&choice);
	if (target)
		return target;
	ask->is_limited = false;
	if (group->spec.algorithm == BALANCE_CONSISTENT_HASH && choice.key == BALANCE_NO_KEY)
		choice.key = next_random(&choice.row->random);
	if (!target_group_is_failing_open(group))
		target = rather_another(&choice, pick_usable);
	/* What requests said alone makes no group unavailable. */
	if (!target && !ask->is_limited && !target_group_has_usable(group))
		target = rather_another(&choice, pick_ejected);
	/* Those that are not healthy are no help to those that have enough to do. */
	if (!target && group->spec.fail_open && !ask->is_limited)
		target = rather_another(&choice, pick_any);
	return target ? target : pick_in_tier(&choice, TIER_REMOVED);
}

static bool has_in_tier(struct choice *choice, enum tier tier)
{
	const struct group_spec *spec = &choice->group->spec;
	uint32_t i;

	choice->tier = tier;
	for (i = 0; i < spec->n_members; i++)
		if (is_in_tier(choice, &spec->members[i]))
			return true;
	return false;
}

void balance_note_tried(struct balance_tried *tried, const struct target *target)
{
	const struct target *moved = target, *next;
	uint32_t i;

	for (i = 0; i < BALANCE_TRIED_MAX && moved; i++) {
		next = tried->targets[i];
		tried->targets[i] = moved;
		moved = next == target ? NULL : next;
	}
}

bool balance_has_another(
	struct target_group *group, const struct balance_tried *tried, const struct target *last)
{
	struct balance_tried all = *tried;
	struct balance_ask ask = {.key = BALANCE_NO_KEY, .tried = &all};
	struct choice choice = {.group = group, .ask = &ask};

	balance_note_tried(&all, last);
	choice.n_avoided = n_tried(&all);
	if (target_group_is_failing_open(group))
		return has_in_tier(&choice, TIER_ANY);
	return has_in_tier(&choice, TIER_HEALTHY) || has_in_tier(&choice, TIER_INITIAL) ||
	       (!target_group_has_usable(group) && has_in_tier(&choice, TIER_EJECTED));
}
