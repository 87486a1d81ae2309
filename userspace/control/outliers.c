/* Passive health of targets: see outliers.h. */
#define LOG_MODULE "outlier"
#include "control/outliers.h"
#include "control/apply.h"
#include "core/clock.h"
#include "core/log.h"

static void tell(void *arg, struct target_group *group, struct target *target)
{
	struct daemon *daemon = arg;
	char text[OUTLIER_TEXT_BYTES];
	const struct health_state *checked = health_get(target);

	if (outlier_cause_of(&target->outlier) == OUTLIER_NONE)
		log_info("target %s/%s is let in again", target->group_name, target->name);
	else
		log_warn("target %s/%s is taken out for %.1f s: %s", target->group_name,
			target->name,
			(double)(target->outlier.until_ms - loop_now_ms(daemon->io.loop)) / 1000,
			outlier_text(group, target, text));
	if (checked)
		apply_show_target(daemon, target, checked);
	apply_show_group(daemon, target);
}

static void look(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, outliers);
	const struct build *build = daemon->build;
	bool again = false;
	uint32_t i;

	for (i = 0; i < build->config->target_groups_count; i++)
		again |= outlier_look(
			build->groups[i].group, loop_now_ms(daemon->io.loop), tell, daemon);
	if (again)
		timer_set(daemon->io.loop, &daemon->outliers, OUTLIER_LOOK_MS);
}

void outliers_init(struct daemon *daemon)
{
	daemon->outliers.fire = look;
}

void outliers_fini(struct daemon *daemon)
{
	timer_clear(&daemon->outliers);
}

void outliers_apply(struct daemon *daemon)
{
	look(&daemon->outliers);
}

const struct health_state *outliers_state(const struct target_group *group,
	const struct target *target, const struct health_state *checked,
	struct health_state *scratch)
{
	static const struct health_state unchecked = {.state = BACKEND_UNUSED};
	char text[OUTLIER_TEXT_BYTES];

	if (!checked)
		return &unchecked;
	if (!target->outlier.is_told || !target_is_ejected(group, target) ||
		checked->state == BACKEND_UNHEALTHY)
		return checked;
	*scratch = *checked;
	scratch->state = BACKEND_UNHEALTHY;
	scratch->reason = WHY_ANOMALY;
	scratch->changed_unix_s = target->outlier.since_unix_s;
	snprintf(scratch->detail, sizeof(scratch->detail), "%s", outlier_text(group, target, text));
	return scratch;
}

void outliers_count_states(
	const struct target_group *group, uint32_t counts[static BACKEND_STATE_COUNT])
{
	const struct target *target;
	struct health_state scratch;
	uint32_t i;

	for (i = 0; i < group->spec.n_members; i++) {
		target = group->spec.members[i].target;
		counts[outliers_state(group, target, health_get(target), &scratch)->state]++;
	}
}
