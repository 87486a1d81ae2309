/* Targets that leave: see departing.h. */
#define LOG_MODULE "apply"
#include "control/departing.h"
#include "control/apply.h"
#include "control/daemon.h"
#include "control/ids.h"
#include "control/renewal.h"
#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_backends.h"

#include <stdlib.h>

static void depart(struct daemon *daemon, struct target *target, uint32_t delay_ms)
{
	struct departing *departing = mem_zalloc(sizeof(*departing));
	struct health_state state = {
		.state = BACKEND_DRAINING,
		.reason = WHY_DEREGISTRATION_IN_PROGRESS,
		.changed_unix_s = clock_unix_s(),
	};

	shared_get(&target->shared);
	departing->target = target;
	departing->since_unix_s = state.changed_unix_s;
	departing->expires_mono_ms = loop_now_ms(daemon->io.loop) + delay_ms;
	list_add_tail(&daemon->departing, &departing->link);
	atomic_store(&target->removed, true);
	apply_show_target(daemon, target, &state);
	log_info("target %s/%s is draining", target->group_name, target->name);
}

void departing_add_missing(struct daemon *daemon, const struct build *old)
{
	uint32_t group, i;

	for (group = 0; group < old->config->target_groups_count; group++)
		for (i = 0; i < old->groups[group].n_targets; i++)
			if (!build_has_target(daemon->build, old->groups[group].targets[i]))
				depart(daemon, old->groups[group].targets[i],
					old->config->target_groups[group].deregistration_delay_ms);
}

bool departing_has(const struct list *list, const struct target *target)
{
	const struct list *link;

	for (link = list ? list->next : NULL; link && link != list; link = link->next)
		if (container_of(link, struct departing, link)->target == target)
			return true;
	return false;
}

/* What it has under way was never cut. */
static void take_back(struct departing *departing)
{
	struct target *target = departing->target;

	atomic_store(&target->expired, false);
	atomic_store(&target->removed, false);
	log_info("target %s/%s is wanted again", target->group_name, target->name);
	list_del(&departing->link);
	target_put(target);
	free(departing);
}

void departing_take_back(struct daemon *daemon, const struct build *build)
{
	struct departing *departing;
	struct list *link, *after;

	list_for_each_safe(link, after, &daemon->departing) {
		departing = container_of(link, struct departing, link);
		if (build_has_target(build, departing->target))
			take_back(departing);
	}
}

static void departing_end(struct daemon *daemon, struct departing *departing)
{
	struct target *target = departing->target;
	struct err err;

	if (dp_backend_del(daemon->dataplane, target->id, &err) < 0)
		log_warn("target %s/%s stays in the map: %s", target->group_name, target->name,
			err.text);
	log_info("target %s/%s is gone", target->group_name, target->name);
	ids_put(daemon->env.target_ids, target->id);
	list_del(&departing->link);
	target_put(target);
	free(departing);
}

void departing_tick(struct daemon *daemon)
{
	struct departing *departing;
	struct list *link, *after;
	uint32_t i;

	if (daemon->reload || renewal_is_running(daemon))
		return; /* it may be taken back */
	list_for_each_safe(link, after, &daemon->departing) {
		departing = container_of(link, struct departing, link);
		if (atomic_load(&departing->target->outstanding) == 0) {
			departing_end(daemon, departing);
			continue;
		}
		if (loop_now_ms(daemon->io.loop) < departing->expires_mono_ms)
			continue;
		atomic_store(&departing->target->expired, true);
		for (i = 0; i < daemon->env.n_workers; i++)
			worker_tell_sweep(&daemon->workers[i]);
	}
}

void departing_free_all(struct daemon *daemon)
{
	struct list *link, *after;

	list_for_each_safe(link, after, &daemon->departing)
		departing_end(daemon, container_of(link, struct departing, link));
}
