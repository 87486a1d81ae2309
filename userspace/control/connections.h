/*
 * The open connections of all workers, as a stream: asked for worker by worker and page by page
 * (connections_page.h), the next page when the client has taken the one before. However many there
 * are and however slowly somebody reads: a listing holds one page and what waits in its stream.
 * Control thread.
 */
#ifndef SLUICE_CONTROL_CONNECTIONS_H
#define SLUICE_CONTROL_CONNECTIONS_H

#include "control/admin.h"
#include "control/connections_page.h"
#include "core/err.h"

struct worker;
struct connections_hub;

enum {
	CONNECTIONS_LISTINGS_MAX = 4, /* at a time */
	CONNECTIONS_LIMIT = 1000,     /* rows, unless asked for more */
	CONNECTIONS_LIMIT_MAX = 10 * 1000 * 1000,
};

struct connections_hub_spec {
	struct loop *loop;
	struct worker *workers;
	uint32_t n_workers;
};

struct connections_query {
	struct connections_filter filter;
	uint32_t limit;
};

int connections_hub_new(const struct connections_hub_spec *spec, struct connections_hub **ret_hub,
	struct err *err) must_check;
/* Every stream must have ended, and the workers: what they still had is freed. NULL is ignored. */
void connections_hub_free(struct connections_hub *hub);

/* Answers with a stream. */
void connections_open(struct connections_hub *hub, const struct connections_query *query,
	struct admin_reply *reply);

#endif
