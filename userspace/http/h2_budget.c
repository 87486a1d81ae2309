/* The budget of HTTP/2 connections: see h2_budget.h. */
#include "http/h2_budget.h"

static const struct {
	const char *name;
	int32_t points;
} rows[H2_COSTS] = {
#define H2_COST(id, points, help) [H2_COST_##id] = {#id, points},
#include "http/h2_costs.def"
#undef H2_COST
};

const char *h2_cost_name(enum h2_cost cost)
{
	return rows[cost].name;
}

static void fill(struct h2_budget *budget, uint64_t now_ms)
{
	uint64_t points = (now_ms - budget->filled_ms) * H2_BUDGET_PER_S / 1000;

	if (!points)
		return;
	h2_budget_earn(budget, points);
	budget->filled_ms = now_ms;
}

bool h2_budget_spend(struct h2_budget *budget, enum h2_cost cost, uint64_t now_ms)
{
	fill(budget, now_ms);
	if (budget->points < rows[cost].points) {
		budget->points = 0;
		return false;
	}
	budget->points -= rows[cost].points;
	return true;
}
