/*
 * May what failed at one target be tried at another? The budget of a group keeps retries in
 * proportion: each request pays a share of one into it, time pays some more, a retry takes one out. A
 * worker has its own part of it.
 */
#ifndef SLUICE_PROXY_RETRY_H
#define SLUICE_PROXY_RETRY_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>

struct target_group;

struct retry_status {
	uint16_t first, last;
};

enum { RETRY_STATUS_MAX = 16 };

struct retry_spec {
	uint32_t attempts; /* beside the first */
	struct retry_status
		status[RETRY_STATUS_MAX]; /* answers that are not passed on if possible */
	uint32_t n_status;
	uint32_t budget_percent, budget_per_second;
};

/* One worker's part, in thousandths of a retry. */
struct retry_budget {
	uint64_t saved, refilled_ms;
	uint64_t rest; /* of a thousandth: in parts of which there are as many as workers */
	bool is_started;
};

/* A request begins. */
void retry_note_request(struct target_group *group, uint32_t worker, uint64_t now_ms);
/* Takes one out and counts it; false: nothing is left, which is counted, too. */
bool retry_take(struct target_group *group, uint32_t worker, uint64_t now_ms) must_check;
bool retry_is_wanted(const struct retry_spec *spec, unsigned int status);

#endif
