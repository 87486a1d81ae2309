/* Passive health, notes and ejection: see outlier.h. What compares targets is outlier_judge.c. */
#include "proxy/outlier.h"
#include "core/counter.h"
#include "proxy/group_state.h"
#include "proxy/outlier_parts.h"

#include <inttypes.h>
#include <stdio.h>

const char *outlier_cause_name(enum outlier_cause cause)
{
	static const char *const names[OUTLIER_CAUSES] = {
		[OUTLIER_NONE] = "none",
		[OUTLIER_ERRORS] = "consecutive_5xx",
		[OUTLIER_GATEWAY_ERRORS] = "consecutive_gateway_errors",
		[OUTLIER_SUCCESS_RATE] = "success_rate",
		[OUTLIER_LATENCY] = "latency",
	};

	return names[cause];
}

const char *outlier_text(const struct target_group *group, const struct target *target,
	char text[static OUTLIER_TEXT_BYTES])
{
	const struct target_outlier *outlier = &target->outlier;

	text[0] = '\0';
	switch (outlier_cause_of(outlier)) {
	case OUTLIER_ERRORS:
		snprintf(text, OUTLIER_TEXT_BYTES, "%u errors (status 5xx or no answer) in a row",
			group->spec.outlier.errors);
		break;
	case OUTLIER_GATEWAY_ERRORS:
		snprintf(text, OUTLIER_TEXT_BYTES,
			"%u errors (status 502, 503, 504 or no answer) in a row",
			group->spec.outlier.gateway_errors);
		break;
	case OUTLIER_SUCCESS_RATE:
		snprintf(text, OUTLIER_TEXT_BYTES,
			"%" PRIu64 " %% of its answers are good, %" PRIu64 " %% of the others'",
			outlier->value, outlier->others);
		break;
	case OUTLIER_LATENCY:
		snprintf(text, OUTLIER_TEXT_BYTES,
			"answers after %" PRIu64 " us on average, the others after %" PRIu64,
			outlier->value, outlier->others);
		break;
	case OUTLIER_NONE:
	case OUTLIER_CAUSES:
		break;
	}
	return text;
}

/* May one more be out? Not the last that is of use. */
static bool may_eject(const struct target_group *group, const struct target *target)
{
	const struct group_spec *spec = &group->spec;
	uint64_t n = 0, out = 0, usable = 0;
	const struct target *member;
	uint32_t i;

	for (i = 0; i < spec->n_members; i++) {
		member = spec->members[i].target;
		n += spec->members[i].weight != 0;
		out += outlier_cause_of(&member->outlier) != OUTLIER_NONE;
		usable += member != target && target_member_is_usable(group, &spec->members[i]);
	}
	return usable && (!out || (out + 1) * 100 <= n * spec->outlier.max_ejected_percent);
}

bool outlier_eject(struct target_group *group, struct target *target, enum outlier_cause cause)
{
	struct group_state *state = group->spec.state;
	bool is_out = false;

	/* Whoever has it counts for the same reason: the next error asks again. */
	if (pthread_mutex_trylock(&state->ejecting) != 0)
		return false;
	if (outlier_cause_of(&target->outlier) == OUTLIER_NONE && may_eject(group, target)) {
		atomic_store_explicit(&target->outlier.cause, cause, memory_order_relaxed);
		is_out = true;
	}
	pthread_mutex_unlock(&state->ejecting);
	if (is_out)
		target_group_recount(group);
	return is_out;
}

/* One more in a row; `limit` 0: any number. */
static void note_error(struct target_group *group, struct target *target, atomic_uint *in_row,
	uint32_t limit, enum outlier_cause cause)
{
	uint32_t n = atomic_fetch_add_explicit(in_row, 1, memory_order_relaxed) + 1;

	if (limit && n >= limit && outlier_cause_of(&target->outlier) == OUTLIER_NONE)
		outlier_eject(group, target, cause);
}

bool outlier_give(const struct target *target, struct outlier_state *ret_state)
{
	const struct target_outlier *outlier = &target->outlier;

	*ret_state = (struct outlier_state){
		.cause = outlier_cause_of(outlier),
		.errors = atomic_load_explicit(&outlier->errors, memory_order_relaxed),
		.gateway_errors =
			atomic_load_explicit(&outlier->gateway_errors, memory_order_relaxed),
		.ejections = outlier->ejections,
		.is_told = outlier->is_told,
		.ejections_total = outlier->ejections_total,
		.until_ms = outlier->until_ms,
		.since_unix_s = outlier->since_unix_s,
		.value = outlier->value,
		.others = outlier->others,
	};
	return ret_state->cause || ret_state->errors || ret_state->gateway_errors ||
	       ret_state->ejections_total;
}

void outlier_take(
	struct target_group *group, struct target *target, const struct outlier_state *state)
{
	struct target_outlier *outlier = &target->outlier;

	if (state->cause >= OUTLIER_CAUSES)
		return;
	outlier->is_told = state->is_told;
	outlier->ejections = state->ejections;
	outlier->ejections_total = state->ejections_total;
	outlier->until_ms = state->until_ms;
	outlier->since_unix_s = state->since_unix_s;
	outlier->value = state->value;
	outlier->others = state->others;
	atomic_store_explicit(&outlier->errors, state->errors, memory_order_relaxed);
	atomic_store_explicit(
		&outlier->gateway_errors, state->gateway_errors, memory_order_relaxed);
	atomic_store_explicit(
		&outlier->cause, (enum outlier_cause)state->cause, memory_order_relaxed);
	target_group_recount(group);
}

/* Most of the time it is 0, and its cache line stays with all workers. */
static void forget(atomic_uint *in_row)
{
	if (atomic_load_explicit(in_row, memory_order_relaxed))
		atomic_store_explicit(in_row, 0, memory_order_relaxed);
}

static void note(struct target_group *group, struct target *target, bool is_error, bool is_gateway)
{
	const struct outlier_spec *spec = &group->spec.outlier;
	struct target_outlier *outlier = &target->outlier;

	if (is_gateway)
		note_error(group, target, &outlier->gateway_errors, spec->gateway_errors,
			OUTLIER_GATEWAY_ERRORS);
	else
		forget(&outlier->gateway_errors);
	if (is_error)
		note_error(group, target, &outlier->errors, spec->errors, OUTLIER_ERRORS);
	else
		forget(&outlier->errors);
}

void outlier_note_answer(struct target_group *group, struct target *target, uint32_t worker,
	unsigned int status, uint64_t us)
{
	struct target_worker *row = &target->workers[worker];
	bool is_error = status >= 500;

	if (!group->spec.outlier.enabled)
		return;
	counter_inc(&row->answers);
	counter_add(&row->answers_us, us);
	if (is_error)
		counter_inc(&row->answers_bad);
	note(group, target, is_error, status >= 502 && status <= 504);
}

void outlier_note_failure(struct target_group *group, struct target *target, uint32_t worker)
{
	struct target_worker *row = &target->workers[worker];

	if (!group->spec.outlier.enabled)
		return;
	counter_inc(&row->answers);
	counter_inc(&row->answers_bad);
	note(group, target, true, true);
}
