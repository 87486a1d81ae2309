/*
 * Everything that is counted about packets, first flights, connections and handshakes, as one list:
 * a row for each reason of each table (counters.def, gate_reasons.def, close_reasons.def,
 * tls_failures.def, ktls_places.def, and what the kernel tells), and how fast and when each was counted last. The
 * counts come from outside, about once a second. Control thread.
 */
#ifndef SLUICE_CONTROL_TALLIES_H
#define SLUICE_CONTROL_TALLIES_H

#include "gate/reasons.h"
#include "proxy/listener.h"
#include "tls/failure.h"
#include "tls/ktls.h"

#include <sluice/counters.h>
#include <stdbool.h>
#include <stdint.h>

/* The rows, table by table. */
enum tally {
	TALLY_XDP,       /* + enum sluice_counter */
	TALLY_XSK_DROPPED = TALLY_XDP + COUNTER_COUNT,      /* struct xsk_counts */
	TALLY_XSK_RING_FULL,
	TALLY_XSK_FILL_EMPTY,
	TALLY_GATE,      /* + enum gate_reason */
	TALLY_GATE_DRY = TALLY_GATE + GATE_REASONS,         /* + enum gate_reason: would_refuse */
	TALLY_ACCEPT_QUEUE_FULL = TALLY_GATE_DRY + GATE_REASONS,
	TALLY_CLOSE,     /* + enum close_reason */
	TALLY_TLS = TALLY_CLOSE + CLOSE_REASONS,            /* + enum tls_failure */
	TALLY_KTLS = TALLY_TLS + TLS_FAILURES, /* + direction * KTLS_PLACES + enum ktls_place */
	TALLIES = TALLY_KTLS + TLS_DIRECTIONS * KTLS_PLACES,
};

enum { TALLY_REASON_BYTES = 64 };

struct tally_row {
	const char *where; /* "xdp", "xsk", "gate", "kernel", "user"; NULL: no such row */
	char reason[TALLY_REASON_BYTES];
	const char *verdict; /* "drop", "tx", "pass", "note", "release", "refuse" */
	const char *help;
	bool is_drop; /* something was dropped or refused */
};

struct tally_row tally_describe(uint32_t tally);

/* A rate is over this many samples but one. */
enum { TALLY_SAMPLES = 6 };

struct tally_sample {
	uint64_t at_mono_us;
	uint64_t counts[TALLIES];
};

/* Zero-initialised: nothing was sampled yet. */
struct tallies {
	struct tally_sample samples[TALLY_SAMPLES]; /* a ring */
	uint32_t n, newest;
	int64_t last_seen_unix_s[TALLIES]; /* 0: never since the first sample */
};

/* Whether it is time for another sample. */
bool tallies_is_due(const struct tallies *tallies, uint64_t now_mono_us);
void tallies_add(struct tallies *tallies, const uint64_t counts[static TALLIES],
	uint64_t now_mono_us, int64_t now_unix_s);

/* How fast a row has been rising up to `count` now; negative: it was not watched long enough. */
double tallies_rate(
	const struct tallies *tallies, uint32_t tally, uint64_t count, uint64_t now_mono_us);
/* When it rose last; 0: never since the first sample. */
int64_t tallies_last_seen(
	const struct tallies *tallies, uint32_t tally, uint64_t count, int64_t now_unix_s);

#endif
