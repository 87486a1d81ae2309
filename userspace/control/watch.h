/*
 * Watching drops as they happen: takes the packet plane's samples and the gates' refusals, hands
 * them as lines to whoever watches, and keeps a table of the sources that were dropped most. While
 * nobody watches only a trickle of samples is taken, for that table, and the gates write nothing.
 * A watcher that reads too slowly misses lines and is told how many. Control thread.
 */
#ifndef SLUICE_CONTROL_WATCH_H
#define SLUICE_CONTROL_WATCH_H

#include "control/admin.h"
#include "control/watch_line.h"
#include "control/worker.h"
#include "core/err.h"
#include "gate/top.h"

struct watch_hub;

enum {
	WATCH_WATCHERS_MAX = 8, /* half of the admin API's connections */
	WATCH_TRICKLE_PER_S = 10,  /* samples of each CPU while nobody watches */
	WATCH_SAMPLES_PER_S = 250, /* and while somebody does */
	WATCH_POLL_MS = 100,       /* how often the gates' refusals are taken */
};

struct watch_hub_spec {
	struct loop *loop;
	struct dataplane *dp;
	struct worker *workers;
	uint32_t n_workers;
	/* The listener that has this id, or (UINT32_MAX) serves this address; NULL: none. */
	const char *(*listener_name)(void *arg, uint32_t id, const union addr *local);
	void *arg;
};

/* Where the packet plane has no samples (it is inactive) the gates' refusals are all there is. */
int watch_hub_new(
	const struct watch_hub_spec *spec, struct watch_hub **ret_hub, struct err *err) must_check;
/* Every stream must have ended: after admin_free(). NULL is ignored. */
void watch_hub_free(struct watch_hub *hub);
/* About once a second. */
void watch_hub_tick(struct watch_hub *hub);

/* Answers with a stream of what `filter` takes. */
void watch_hub_open(
	struct watch_hub *hub, const struct watch_filter *filter, struct admin_reply *reply);
/* To whoever wants it. For the sources of drops, and tests. */
void watch_hub_put(struct watch_hub *hub, const struct watch_drop *drop);

/* Sampled drops by source: `refused` of a row is how many, estimated. */
size_t watch_hub_sources(const struct watch_hub *hub, struct top_row ret_rows[static TOP_ROWS]);

#endif
