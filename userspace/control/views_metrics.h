/* The parts of the metrics (views_metrics.c); control thread. */
#ifndef SLUICE_CONTROL_VIEWS_METRICS_H
#define SLUICE_CONTROL_VIEWS_METRICS_H

#include "control/daemon.h"
#include "control/metrics.h"

/* Latencies, rules, target groups, targets. */
void views_metrics_web(struct metrics *metrics, const struct daemon *daemon);

#endif
