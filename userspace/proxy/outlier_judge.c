/*
 * Passive health on the control thread: see outlier.h. Ejections end, and once in an interval every
 * target is compared with the median of the others: that holds for few targets, too, where a mean
 * and its deviation would be made by the outlier itself.
 */
#include "core/clock.h"
#include "core/mem.h"
#include "proxy/group_state.h"
#include "proxy/outlier_parts.h"

#include <stdlib.h>

/* Faster than that nobody is slow. */
enum { LATENCY_FLOOR_US = 5000 };

struct sample {
	struct target *target;
	uint64_t success_percent, mean_us;
	bool has_latency;
};

static uint32_t n_workers_of(const struct target_group *group)
{
	return group->spec.n_workers;
}

static void add_up(const struct target *target, uint32_t n_workers, struct outlier_sums *ret_sums)
{
	const struct target_worker *row;
	uint32_t i;

	*ret_sums = (struct outlier_sums){.answers = 0};
	for (i = 0; i < n_workers; i++) {
		row = &target->workers[i];
		ret_sums->bad += __atomic_load_n(&row->answers_bad, __ATOMIC_RELAXED);
		ret_sums->us += __atomic_load_n(&row->answers_us, __ATOMIC_RELAXED);
		ret_sums->answers += __atomic_load_n(&row->answers, __ATOMIC_RELAXED);
	}
}

/* What came since the last look; false: too little to say anything. */
static bool take_sample(
	const struct target_group *group, struct target *target, struct sample *ret_sample)
{
	struct outlier_sums now, before = target->outlier.before;
	uint64_t answers, bad;

	add_up(target, n_workers_of(group), &now);
	target->outlier.before = now;
	answers = now.answers - before.answers;
	bad = now.bad - before.bad;
	if (!answers || answers < group->spec.outlier.min_requests)
		return false;
	if (bad > answers)
		bad = answers; /* read while they were written */
	*ret_sample = (struct sample){
		.target = target,
		.success_percent = (answers - bad) * 100 / answers,
		.mean_us = (now.us - before.us) / answers,
		.has_latency = bad < answers, /* a failure takes no time, or all there is */
	};
	return true;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

/* The `at`th smallest. Of two in the middle the one in favour of the target is its median. */
static uint64_t nth(uint64_t *numbers, uint32_t n, uint32_t at)
{
	qsort(numbers, n, sizeof(*numbers), compare_numbers);
	return numbers[at];
}

static void judge_success(struct target_group *group, const struct sample *samples, uint32_t n,
	uint32_t index, uint64_t *scratch)
{
	struct target *target = samples[index].target;
	uint64_t value = samples[index].success_percent, others;
	uint32_t i, n_others = 0;

	for (i = 0; i < n; i++)
		if (i != index)
			scratch[n_others++] = samples[i].success_percent;
	others = nth(scratch, n_others, (n_others - 1) / 2);
	if (value * 100 >= others * group->spec.outlier.success_percent)
		return;
	target->outlier.value = value;
	target->outlier.others = others;
	outlier_eject(group, target, OUTLIER_SUCCESS_RATE);
}

static void judge_latency(struct target_group *group, const struct sample *samples, uint32_t n,
	uint32_t index, uint64_t *scratch)
{
	struct target *target = samples[index].target;
	uint64_t value = samples[index].mean_us, others;
	uint32_t i, n_others = 0;

	for (i = 0; i < n; i++)
		if (i != index && samples[i].has_latency)
			scratch[n_others++] = samples[i].mean_us;
	if (!n_others || !samples[index].has_latency || value < LATENCY_FLOOR_US)
		return;
	others = nth(scratch, n_others, n_others / 2);
	if (value <= others * group->spec.outlier.latency_ratio)
		return;
	target->outlier.value = value;
	target->outlier.others = others;
	outlier_eject(group, target, OUTLIER_LATENCY);
}

/* Only those that are in can be compared; whoever is not ejected meanwhile is forgiven one time. */
static void judge(struct target_group *group)
{
	const struct group_spec *spec = &group->spec;
	struct sample *samples = mem_zalloc((spec->n_members + 1) * sizeof(*samples));
	uint64_t *scratch = mem_zalloc((spec->n_members + 1) * sizeof(*scratch));
	struct target *target;
	uint32_t i, n = 0;

	for (i = 0; i < spec->n_members; i++) {
		target = spec->members[i].target;
		if (take_sample(group, target, &samples[n]) &&
			target_member_is_usable(group, &spec->members[i]))
			n++;
		if (outlier_cause_of(&target->outlier) == OUTLIER_NONE && target->outlier.ejections)
			target->outlier.ejections--;
	}
	for (i = 0; n > 1 && spec->outlier.success_percent && i < n; i++)
		judge_success(group, samples, n, i, scratch);
	for (i = 0; n > 1 && spec->outlier.latency_ratio && i < n; i++)
		judge_latency(group, samples, n, i, scratch);
	free(scratch);
	free(samples);
}

static void begin_ejection(struct target_group *group, struct target *target, uint64_t now_ms)
{
	const struct outlier_spec *spec = &group->spec.outlier;
	struct target_outlier *outlier = &target->outlier;
	uint64_t ms;

	outlier->is_told = true;
	outlier->ejections++;
	outlier->ejections_total++;
	ms = (uint64_t)spec->ejection_ms * outlier->ejections;
	outlier->until_ms = now_ms + (ms < spec->max_ejection_ms ? ms : spec->max_ejection_ms);
	outlier->since_unix_s = clock_unix_s();
	target_group_recount(group); /* the worker may have had a group of the generation before */
}

/* What it did before does not count any more. */
static void end_ejection(struct target_group *group, struct target *target, uint64_t now_ms)
{
	struct target_outlier *outlier = &target->outlier;

	atomic_store_explicit(&outlier->errors, 0, memory_order_relaxed);
	atomic_store_explicit(&outlier->gateway_errors, 0, memory_order_relaxed);
	add_up(target, n_workers_of(group), &outlier->before);
	outlier->is_told = false;
	target_group_ramp(group, target, now_ms);
	atomic_store_explicit(&outlier->cause, OUTLIER_NONE, memory_order_relaxed);
	target_group_recount(group);
}

bool outlier_look(struct target_group *group, uint64_t now_ms, outlier_notify *notify, void *arg)
{
	const struct group_spec *spec = &group->spec;
	struct target_outlier *outlier;
	struct target *target;
	uint32_t i;

	if (spec->outlier.enabled && now_ms >= spec->state->judged_ms + spec->outlier.interval_ms) {
		if (spec->state->judged_ms)
			judge(group);
		spec->state->judged_ms = now_ms;
	}
	for (i = 0; i < spec->n_members; i++) {
		target = spec->members[i].target;
		outlier = &target->outlier;
		if (outlier_cause_of(outlier) == OUTLIER_NONE)
			continue;
		if (spec->outlier.enabled && !outlier->is_told)
			begin_ejection(group, target, now_ms);
		else if (!spec->outlier.enabled || now_ms >= outlier->until_ms)
			end_ejection(group, target, now_ms);
		else
			continue;
		notify(arg, group, target);
	}
	return spec->outlier.enabled;
}
