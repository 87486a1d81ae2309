/*
 * Sampled drops of the XDP and tc programs: reads their ring buffer. The kernel side writes a bounded
 * few a second and CPU; somebody has to read them, or newer ones are lost. Control thread.
 */
#ifndef SLUICE_DATAPLANE_DP_SAMPLES_H
#define SLUICE_DATAPLANE_DP_SAMPLES_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/sample.h>

struct dp_samples;

typedef void dp_sample_fn(void *arg, const struct sluice_sample *sample);

/* An inactive plane has no samples: the object is there, its descriptor is -1. */
int dp_samples_open(struct dataplane *dp, dp_sample_fn *each, void *arg,
	struct dp_samples **ret_samples, struct err *err) must_check;
void dp_samples_close(struct dp_samples *samples);

/* Readable when there are samples, level triggered: for the loop. */
int dp_samples_fd(const struct dp_samples *samples);
/* Calls `each` for what is there; returns how many. */
int dp_samples_read(struct dp_samples *samples);

/* How many samples a second each CPU writes at most; 0: none. */
void dp_samples_pace_set(struct dataplane *dp, uint32_t per_second);

#endif
