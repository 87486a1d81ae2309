/*
 * How many requests a rule lets through: in all, and of each client. A number holds for the node: workers
 * share it without locks, by one exchange of an atomic word. Of clients there is a table that never
 * grows; when more than it holds are active at a time, those who asked least are forgotten (they may then
 * ask more than their share): no client is refused for what another one does.
 *
 * GCRA: each request moves a point in time on by one period, and may be no further ahead of now than the
 * burst allows. Counted like target groups; lives on in the next generation while its terms are the same.
 */
#ifndef SLUICE_PROXY_RATE_LIMIT_H
#define SLUICE_PROXY_RATE_LIMIT_H

#include "net/addr.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	RATE_MAX = 1000000, /* per second */
	RATE_BURST_MAX = 2000000,
	RATE_CLIENTS_MIN = 1024,
	RATE_CLIENTS_MAX = 1024 * 1024, /* 8 bytes each */
};

struct rate {
	uint32_t per_second; /* 0: any number */
	uint32_t burst; /* at once; 0: as many as in a second */
};

struct rate_limit_spec {
	struct rate all, client;
	uint8_t ipv6_bits; /* addresses that have so many in common are one client */
	uint32_t max_clients;
	bool dry_run; /* whoever asks lets requests through */
};

struct rate_limit;

struct rate_limit *rate_limit_new(const struct rate_limit_spec *spec);
struct rate_limit *rate_limit_get(struct rate_limit *limit);
/* The last one frees it. NULL is ignored. */
void rate_limit_put(struct rate_limit *limit);
const struct rate_limit_spec *rate_limit_spec(const struct rate_limit *limit);
bool rate_limit_spec_eq(const struct rate_limit_spec *a, const struct rate_limit_spec *b);

/* A request: 0, or it is one too many for the seconds to come. */
uint32_t rate_limit_take(struct rate_limit *limit, const union addr *client, uint64_t now_us);

#endif
