/* Budgets of retries: see retry.h. A worker's own thread only. */
#include "proxy/retry.h"
#include "core/counter.h"
#include "proxy/group.h"
#include "proxy/group_state.h"

enum { ONE = 1000, SAVED_MAX = 100 * ONE, START_S = 3 };

/* A group begins with what a few seconds pay, and each worker's part with one at least: the first
 * failure is no sign of many. */
static void start(const struct target_group *group, struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t rate = group->spec.retry.budget_per_second;
	uint64_t paid = rate * START_S * ONE / group->spec.n_workers;

	budget->is_started = true;
	budget->refilled_ms = now_ms;
	budget->saved += rate && paid < ONE ? ONE : paid;
}

/* What time has paid. */
static void refill(const struct target_group *group, struct retry_budget *budget, uint64_t now_ms)
{
	uint64_t rate = group->spec.retry.budget_per_second, n = group->spec.n_workers, parts;

	if (!budget->is_started) {
		start(group, budget, now_ms);
	} else {
		parts = (now_ms - budget->refilled_ms) * rate +
			budget->rest; /* of ms: thousandths */
		budget->refilled_ms = now_ms;
		budget->saved += parts / n;
		budget->rest = parts % n;
	}
	if (budget->saved > SAVED_MAX)
		budget->saved = SAVED_MAX;
}

void retry_note_request(struct target_group *group, uint32_t worker, uint64_t now_ms)
{
	struct retry_budget *budget = &group->spec.state->workers[worker].budget;

	budget->saved += group->spec.retry.budget_percent * (ONE / 100);
	if (!budget->is_started)
		start(group, budget, now_ms);
	if (budget->saved > SAVED_MAX)
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
