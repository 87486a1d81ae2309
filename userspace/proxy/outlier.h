/*
 * Passive health: what requests themselves say about targets. Workers note answers and failures and
 * take a target out as soon as its errors in a row are too many; the control thread compares the
 * targets of a group once in an interval, and lets those that are out in again when their time is
 * over. Out: nothing new, as if a check had failed; never the last usable one.
 */
#ifndef SLUICE_PROXY_OUTLIER_H
#define SLUICE_PROXY_OUTLIER_H

#include "core/attr.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct target;
struct target_group;

enum outlier_cause {
	OUTLIER_NONE,
	OUTLIER_ERRORS, /* statuses of 500 and above, or no answer, in a row */
	OUTLIER_GATEWAY_ERRORS, /* 502, 503, 504, or no answer, in a row */
	OUTLIER_SUCCESS_RATE,
	OUTLIER_LATENCY,
	OUTLIER_CAUSES,
};

struct outlier_spec {
	bool enabled;
	uint32_t errors, gateway_errors; /* in a row; 0: any number */
	uint32_t success_percent; /* of the median of the others' rates; 0: not compared */
	uint32_t latency_ratio; /* to the median of the others' means; 0: not compared */
	uint32_t min_requests; /* answers in the interval, to be compared */
	uint32_t interval_ms;
	uint32_t ejection_ms, max_ejection_ms; /* the first time; grows by itself each time */
	uint32_t max_ejected_percent; /* of the targets; one is always allowed */
};

/* Sums of all workers at the last look. */
struct outlier_sums {
	uint64_t answers, bad, us;
};

struct target_outlier {
	_Atomic enum outlier_cause cause; /* it is out; NONE: it is not */
	atomic_uint errors, gateway_errors; /* in a row */
	/* Control thread: */
	bool is_told;
	uint32_t ejections; /* those that make the next one longer */
	uint64_t ejections_total;
	uint64_t until_ms; /* monotonic */
	int64_t since_unix_s;
	struct outlier_sums before;
	uint64_t value, others; /* what the comparison gave: percent, or microseconds */
} cache_aligned;

/* All of that but what is compared: from one process to the next, on one host. */
struct outlier_state {
	uint32_t cause; /* enum outlier_cause */
	uint32_t errors, gateway_errors, ejections, is_told;
	uint64_t ejections_total, until_ms;
	int64_t since_unix_s;
	uint64_t value, others;
};

/* False: there is nothing to say of it. Control thread, as the next, before workers start. */
bool outlier_give(const struct target *target, struct outlier_state *ret_state);
void outlier_take(
	struct target_group *group, struct target *target, const struct outlier_state *state);

/* The head of an answer came, `us` after the request was sent; a tunnel's target accepted: 200. */
void outlier_note_answer(struct target_group *group, struct target *target, uint32_t worker,
	unsigned int status, uint64_t us);
/* No connection, or no answer. */
void outlier_note_failure(struct target_group *group, struct target *target, uint32_t worker);

static inline enum outlier_cause outlier_cause_of(const struct target_outlier *outlier)
{
	return atomic_load_explicit(&outlier->cause, memory_order_relaxed);
}

/* The words of the API. */
const char *outlier_cause_name(enum outlier_cause cause);
/* For people: "5 errors in a row". Returns `text`. */
enum { OUTLIER_TEXT_BYTES = 96 };
const char *outlier_text(const struct target_group *group, const struct target *target,
	char text[static OUTLIER_TEXT_BYTES]);

/* Called for a target that has just been taken out or let in again. */
typedef void outlier_notify(void *arg, struct target_group *group, struct target *target);

/* Often (OUTLIER_LOOK_MS) for every group, also one without: then who is out is let in. Control
 * thread. True: it must be called again. */
enum { OUTLIER_LOOK_MS = 100 };
bool outlier_look(struct target_group *group, uint64_t now_ms, outlier_notify *notify, void *arg);

#endif
