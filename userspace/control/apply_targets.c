/* Targets and target groups of the generation in force: their health checks, their rows of the maps,
 * those that leave. See apply.h. */
#define LOG_MODULE "apply"
#include "control/apply.h"
#include "control/departing.h"
#include "control/outliers.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_backends.h"

#include <stdlib.h>
#include <string.h>

struct sockaddr_storage apply_storage(const union addr *addr)
{
	struct sockaddr_storage storage = {0};

	memcpy(&storage, addr, addr_len(addr));
	return storage;
}

static void show_group(struct daemon *daemon, uint32_t index)
{
	const struct config_target_group *config = &daemon->build->config->target_groups[index];
	static const enum group_protocol protocols[] = {
		[CONFIG_HTTP] = GROUP_HTTP,
		[CONFIG_HTTPS] = GROUP_HTTPS,
		[CONFIG_TLS] = GROUP_TLS,
		[CONFIG_TCP] = GROUP_TCP,
	};
	static const enum group_algorithm algorithms[] = {
		[CONFIG_ROUND_ROBIN] = GROUP_ROUND_ROBIN,
		[CONFIG_LEAST_OUTSTANDING] = GROUP_LEAST_OUTSTANDING,
		[CONFIG_WEIGHTED_RANDOM] = GROUP_WEIGHTED_RANDOM,
		[CONFIG_CONSISTENT_HASH] = GROUP_MAGLEV,
	};
	struct dp_group row = {
		.id = index,
		.name = config->name,
		.protocol = protocols[config->protocol],
		.algorithm = algorithms[config->algorithm],
	};
	struct err err;

	outliers_count_states(daemon->build->groups[index].group, row.state_counts);
	if (dp_group_set(daemon->dataplane, &row, &err) < 0)
		log_warn("target group %s is not in the map: %s", config->name, err.text);
}

static uint32_t group_index(const struct daemon *daemon, const struct target *target)
{
	const struct config *config = daemon->build->config;
	uint32_t i;

	for (i = 0; i < config->target_groups_count; i++)
		if (strcmp(config->target_groups[i].name, target->group_name) == 0)
			return i;
	return UINT32_MAX;
}

static uint32_t weight_of(const struct daemon *daemon, uint32_t group, const struct target *target)
{
	const struct built_group *built = &daemon->build->groups[group];
	uint32_t i;

	for (i = 0; i < built->group->spec.n_members; i++)
		if (built->group->spec.members[i].target == target)
			return built->group->spec.members[i].weight;
	return 0;
}

static struct dp_backend row_of(struct daemon *daemon, const struct target *target, uint32_t group,
	const struct health_state *state)
{
	return (struct dp_backend){
		.id = target->id,
		.group_id = group,
		.group = target->group_name,
		.address = apply_storage(&target->addr),
		.weight = group == UINT32_MAX ? 0 : weight_of(daemon, group, target),
		.state = state->state,
		.reason = state->reason,
		.successes = state->successes,
		.failures = state->failures,
		.latency_us = state->latency_us,
		.last_change_unix_s = (uint64_t)state->changed_unix_s,
		.checks = state->checks,
		.checks_failed = state->checks_failed,
	};
}

void apply_show_target(
	struct daemon *daemon, const struct target *target, const struct health_state *state)
{
	uint32_t group = group_index(daemon, target);
	struct health_state scratch;
	struct dp_backend row;
	struct err err;

	if (group != UINT32_MAX)
		state = outliers_state(daemon->build->groups[group].group, target, state, &scratch);
	row = row_of(daemon, target, group, state);

	if (dp_backend_set(daemon->dataplane, &row, &err) < 0)
		log_warn("target %s/%s is not in the map: %s", target->group_name, target->name,
			err.text);
}

void apply_show_group(struct daemon *daemon, const struct target *target)
{
	uint32_t group = group_index(daemon, target);

	if (group != UINT32_MAX)
		show_group(daemon, group);
}

static void note_health(
	struct target_group *group, const struct target *target, const struct health_state *state)
{
	uint32_t i;

	target_group_recount(group);
	for (i = 0; state->state == BACKEND_HEALTHY && i < group->spec.n_members; i++)
		if (group->spec.members[i].target == target)
			target_group_ramp(group, group->spec.members[i].target, clock_mono_ms());
}

void apply_health(
	void *arg, const struct target *target, const struct health_state *state, bool changed)
{
	struct daemon *daemon = arg;
	const char *reason = state->reason == WHY_NONE ? "" : dp_backend_reason_name(state->reason);
	uint32_t group;

	apply_show_target(daemon, target, state);
	if (!changed)
		return;
	group = group_index(daemon, target);
	if (group != UINT32_MAX) {
		note_health(daemon->build->groups[group].group, target, state);
		show_group(daemon, group);
	}
	log_write(state->state == BACKEND_UNHEALTHY ? LOG_LEVEL_WARN : LOG_LEVEL_INFO, LOG_MODULE,
		"target %s/%s is %s%s%s%s%s", target->group_name, target->name,
		dp_backend_state_name(state->state), *state->detail || *reason ? ": " : "", reason,
		*state->detail && *reason ? ": " : "", state->detail);
}

static void set_health(struct daemon *daemon)
{
	const struct build *build = daemon->build;
	struct health_target *targets;
	uint32_t group, i, n = 0;

	for (group = 0; group < build->config->target_groups_count; group++)
		n += build->groups[group].n_targets;
	targets = mem_zalloc((n + 1) * sizeof(*targets));
	n = 0;
	for (group = 0; group < build->config->target_groups_count; group++) {
		/* Checks went on while it was built. */
		target_group_recount(build->groups[group].group);
		for (i = 0; i < build->groups[group].n_targets; i++)
			targets[n++] = (struct health_target){
				build->groups[group].targets[i], build->groups[group].check};
	}
	health_set(daemon->health, targets, n);
	free(targets);
}

/* Rows of targets that are gone leave the maps; weights and names are brought up to date. */
static void show_all(struct daemon *daemon)
{
	const struct build *build = daemon->build;
	uint32_t group, i;

	for (group = 0; group < build->config->target_groups_count; group++) {
		for (i = 0; i < build->groups[group].n_targets; i++)
			apply_show_target(daemon, build->groups[group].targets[i],
				health_get(build->groups[group].targets[i]));
		show_group(daemon, group);
	}
}

/* After a start with adopted maps, and after each reload. */
static void retain_rows(struct daemon *daemon)
{
	const struct build *build = daemon->build;
	uint32_t *ids = mem_zalloc((SLUICE_MAX_BACKENDS + SLUICE_MAX_GROUPS) * sizeof(*ids));
	uint32_t group, i, n = 0;
	struct list *link;
	struct err err;

	for (group = 0; group < build->config->target_groups_count; group++)
		for (i = 0; i < build->groups[group].n_targets; i++)
			ids[n++] = build->groups[group].targets[i]->id;
	list_for_each(link, &daemon->departing)
		ids[n++] = container_of(link, struct departing, link)->target->id;
	if (dp_backends_retain(daemon->dataplane, ids, n, &err) < 0)
		log_warn("old rows stay in the backends map: %s", err.text);
	for (i = 0; i < build->config->target_groups_count; i++)
		ids[i] = i;
	if (dp_groups_retain(daemon->dataplane, ids, i, &err) < 0)
		log_warn("old rows stay in the target_groups map: %s", err.text);
	free(ids);
}

void apply_targets(struct daemon *daemon, const struct build *old)
{
	if (old)
		departing_add_missing(daemon, old);
	set_health(daemon);
	outliers_apply(daemon);
	show_all(daemon);
	retain_rows(daemon);
}
