/* What is counted of a listener: see listener.h, which is the header to include. */
#ifndef SLUICE_PROXY_LISTENER_COUNTS_H
#define SLUICE_PROXY_LISTENER_COUNTS_H

#include "core/attr.h"
#include "core/latency.h"
#include "http/desync.h"
#include "proxy/close_reasons.h"
#include "tls/failure.h"
#include "tls/ktls.h"
#include <stdint.h>

/* Answers of our own to what went wrong: their statuses, from 400 on. */
enum { OWN_STATUS_FIRST = 400, OWN_STATUSES = 106 };

/* One worker's counters of one listener; written by that worker, read relaxed by the admin API. */
struct listener_counts {
	uint64_t accepted, closed, requests, rule_evaluations, redirects, fixed_responses;
	uint64_t handshakes_full, handshakes_resumed, handshake_us, tickets_refused;
	uint64_t bytes_in, bytes_out; /* of closed connections and finished requests */
	uint64_t status[6];           /* answers by class: 1xx at [1] ... 5xx at [5] */
	uint64_t own_status[OWN_STATUSES];
	struct latency latency; /* of requests that were answered whole */
	uint64_t reasons[CLOSE_REASONS];
	uint64_t desync[DESYNCS][2]; /* requests that went on, or were refused */
	uint64_t tls_failures[TLS_FAILURES];
	/* Where the records of closed TLS connections were at their end: enum ktls_place. */
	uint64_t places[TLS_DIRECTIONS][KTLS_PLACES];
} cache_aligned;

#endif
