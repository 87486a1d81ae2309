/*
 * A text of metrics in the exposition format of Prometheus (text/plain; version=0.0.4): families,
 * each with its HELP and TYPE, then samples with labels. Owned by whoever writes it; no I/O.
 */
#ifndef SLUICE_CONTROL_METRICS_H
#define SLUICE_CONTROL_METRICS_H

#include "core/attr.h"
#include "core/latency.h"
#include <stddef.h>
#include <stdint.h>

#define METRICS_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

/* Zeroed: empty. */
struct metrics {
	char *text; /* not ended by a NUL */
	size_t len, room;
	const char *name; /* of the family; its samples follow */
};

enum metrics_type { METRICS_GAUGE, METRICS_COUNTER, METRICS_HISTOGRAM };

/* `value` may be any bytes. */
struct metrics_label {
	const char *name, *value;
};

void metrics_fini(struct metrics *metrics);
/* Forgets the text; the family goes on. */
void metrics_clear(struct metrics *metrics);
/* `name` (static) as it should be: the unit at its end, then _total for a counter. */
void metrics_family(
	struct metrics *metrics, const char *name, enum metrics_type type, const char *help);
/* A sample of that family. The labels end with a name that is NULL; NULL: none. */
void metrics_sample(struct metrics *metrics, const struct metrics_label *labels, int64_t value);
/* The samples of one histogram of that family; `labels` as above, none is called "le". */
void metrics_histogram(
	struct metrics *metrics, const struct metrics_label *labels, const struct latency *latency);
/* A family of one sample without labels. */
void metrics_one(struct metrics *metrics, const char *name, enum metrics_type type,
	const char *help, int64_t value);

/* As an array of labels for one call. */
#define METRICS_LABELS(...) ((const struct metrics_label[]){__VA_ARGS__, {NULL, NULL}})

#endif
