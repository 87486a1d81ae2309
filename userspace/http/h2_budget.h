/* A token bucket over what is cheap to send and not to deal with: see h2_costs.def. Pure. */
#ifndef SLUICE_HTTP_H2_BUDGET_H
#define SLUICE_HTTP_H2_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

enum h2_cost {
#define H2_COST(id, points, help) H2_COST_##id,
#include "http/h2_costs.def"
#undef H2_COST
	H2_COSTS,
};

enum { H2_BUDGET_MAX = 10000, H2_BUDGET_PER_S = 1000, H2_BUDGET_PER_DATA = 10 };

struct h2_budget {
	uint64_t filled_ms; /* when it was filled up last */
	int32_t points;
};

/* "ping" */
const char *h2_cost_name(enum h2_cost cost);

static inline void h2_budget_init(struct h2_budget *budget, uint64_t now_ms)
{
	*budget = (struct h2_budget){.filled_ms = now_ms, .points = H2_BUDGET_MAX};
}

static inline void h2_budget_earn(struct h2_budget *budget, uint64_t points)
{
	uint64_t sum = (uint64_t)budget->points + points;

	budget->points = (int32_t)(sum > H2_BUDGET_MAX ? H2_BUDGET_MAX : sum);
}

/* False: it is overdrawn. */
bool h2_budget_spend(struct h2_budget *budget, enum h2_cost cost, uint64_t now_ms);

#endif
