/* Budgets of retries: see retry.h. A worker's own thread only. */
#include "proxy/retry.h"
#include "core/counter.h"
#include "proxy/group.h"
#include "proxy/group_state.h"

enum { ONE = 1000, SAVED_MAX = 100 * ONE, START_S = 3 };

/* What time has paid. A group begins with that of a few seconds. */
static void refill(const struct target_group *group, struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t rate = group->spec.retry.budget_per_second, passed_ms;

	passed_ms = budget->is_started ? now_ms - budget->refilled_ms : START_S * 1000;
	budget->is_started = true;
	budget->refilled_ms = now_ms;
	if (passed_ms > 100000)
		passed_ms = 100000; /* whatever the rate, that is enough to fill it or it is 0 */
	budget->saved += passed_ms * rate * ONE / 1000 / group->spec.n_workers;
	if (budget->saved > SAVED_MAX)
		budget->saved = SAVED_MAX;
}

void retry_note_request(struct target_group *group, uint32_t worker, uint64_t now_ms)
{
	struct retry_budget *budget = &group->spec.state->workers[worker].budget;

	budget->saved += group->spec.retry.budget_percent * (ONE / 100);
	/* Time that is less than a millisecond pays nothing, and must not be lost. */
	if (!budget->is_started || now_ms - budget->refilled_ms >= 100)
		refill(group, budget, now_ms);
	else if (budget->saved > SAVED_MAX)
		budget->saved = SAVED_MAX;
}

bool retry_take(struct target_group *group, uint32_t worker, uint64_t now_ms)
{
	struct group_counts *counts = &group->spec.state->workers[worker];

	refill(group, &counts->budget, now_ms);
	if (counts->budget.saved < ONE) {
		counter_inc(&counts->retries_refused);
		return false;
	}
	counts->budget.saved -= ONE;
	counter_inc(&counts->retries);
	return true;
}

bool retry_is_wanted(const struct retry_spec *spec, unsigned int status)
{
	uint32_t i;

	for (i = 0; i < spec->n_status; i++)
		if (status >= spec->status[i].first && status <= spec->status[i].last)
			return true;
	return false;
}
