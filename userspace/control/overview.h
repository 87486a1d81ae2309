/*
 * What the dashboard shows, as one document: parts of the views, each cut to what a page has room for,
 * and the sums of the last minutes. Control thread.
 */
#ifndef SLUICE_CONTROL_OVERVIEW_H
#define SLUICE_CONTROL_OVERVIEW_H

#include "control/tallies.h"
#include <stdint.h>
#include <yyjson.h>

struct daemon;
struct overview_end;

enum {
	OVERVIEW_SAMPLES = 300, /* of the past */
	OVERVIEW_SAMPLE_S = 2,
	OVERVIEW_REASONS = 12, /* for which something was dropped, with a past of their own */
};

/* Sums since the start, as they were. */
struct overview_sample {
	int64_t at_unix_ms;
	uint64_t accepted, requests, bytes_in, bytes_out;
	uint64_t handshakes_full, handshakes_resumed, handshakes_failed;
	uint64_t p50_us, p90_us,
		p99_us; /* of the requests since the sample before; 0: there were none */
	uint32_t connections;
};

/* Zeroed: empty. */
struct overview {
	struct overview_sample samples[OVERVIEW_SAMPLES]; /* a ring */
	uint64_t (*drops)[TALLIES]; /* of the same samples; NULL before the first */
	uint64_t latencies[LATENCY_BUCKETS]; /* at the newest */
	uint32_t n, newest;
	struct overview_end
		*ends; /* the certificates that expire first; NULL before the first look */
	uint32_t n_ends;
	uint64_t n_certs; /* of listeners, all of them */
	uint64_t ends_generation;
	int64_t ends_unix_s; /* when that was looked at; 0: never */
};

/* About once a second. */
void overview_tick(struct daemon *daemon);
void overview_fini(struct overview *overview);

/* overview_ends.c: the list "certificates"; looks at them again after a minute, or when they changed. */
void overview_put_ends(
	struct daemon *daemon, yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_mut_val *surplus);

/* Adds the members of /v1/overview to `root`; with `past` the samples, too. 0 or -errno. */
int overview_put(struct daemon *daemon, bool past, yyjson_mut_doc *doc, yyjson_mut_val *root);

#endif
