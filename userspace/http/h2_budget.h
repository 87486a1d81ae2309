/* A token bucket over what is cheap to send and not to deal with: see h2_costs.def. Pure. */
#ifndef SLUICE_HTTP_H2_BUDGET_H
#define SLUICE_HTTP_H2_BUDGET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum h2_cost {
#define H2_COST(id, points, help) H2_COST_##id,
#include "http/h2_costs.def"
#undef H2_COST
	H2_COSTS,
};

enum {
	H2_BUDGET_MAX = 10000,
	H2_BUDGET_PER_S = 1000,
	H2_BUDGET_PER_KIB = 1,     /* of bodies, either way */
	H2_BUDGET_PER_ANSWER = 10, /* to its end */
	/* A client may well open two windows and send a PING for each piece of a body it gets. */
	H2_REPLIES_PER_DATA = 3,
	H2_REPLIES_MAX = 1000,
};

struct h2_budget {
	uint64_t filled_ms; /* when it was filled up last */
	int32_t points;
	uint32_t bytes; /* moved, less than 1 KiB: not paid yet */
	uint32_t replies; /* frames of the client that cost nothing */
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

/* Bytes of a body have come, or gone. */
static inline void h2_budget_moved(struct h2_budget *budget, size_t bytes)
{
	size_t sum = budget->bytes + bytes;

	budget->bytes = (uint32_t)(sum % 1024);
	h2_budget_earn(budget, sum / 1024 * H2_BUDGET_PER_KIB);
}

/* A DATA frame that the client's windows have not made small was sent. */
static inline void h2_budget_data_sent(struct h2_budget *budget)
{
	budget->replies += H2_REPLIES_PER_DATA;
	if (budget->replies > H2_REPLIES_MAX)
		budget->replies = H2_REPLIES_MAX;
}

/* The client's WINDOW_UPDATE or PING answers one of those. */
static inline bool h2_budget_is_reply(struct h2_budget *budget)
{
	if (!budget->replies)
		return false;
	budget->replies--;
	return true;
}

/* False: it is overdrawn. */
bool h2_budget_spend(struct h2_budget *budget, enum h2_cost cost, uint64_t now_ms);

#endif
