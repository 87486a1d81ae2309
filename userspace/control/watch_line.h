/*
 * One dropped packet or refused first flight as a line of JSON, and which of them a watcher wants.
 * Pure; any thread.
 */
#ifndef SLUICE_CONTROL_WATCH_LINE_H
#define SLUICE_CONTROL_WATCH_LINE_H

#include "core/attr.h"
#include "dataplane/dp_deny.h"
#include "gate/events.h"
#include "net/addr.h"

#include <sluice/sample.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The texts belong to the caller; NULL: not known. */
struct watch_drop {
	int64_t at_unix_us;
	const char *where;  /* "xdp", "gate", "accept" */
	const char *reason; /* a row of counters.def or gate_reasons.def */
	union addr source, destination; /* AF_UNSPEC: not known */
	const char *interface;
	uint32_t length_bytes; /* of the frame; 0: not known */
	uint64_t weight;       /* drops this one stands for */
	uint8_t tcp_flags;
	bool has_tcp_flags;
	const char *server_name, *ja4, *listener;
};

/* Without interface and listener. */
void watch_drop_from_sample(
	const struct sluice_sample *sample, int64_t at_unix_us, struct watch_drop *ret_drop);
/* Borrows the names in `event`; without listener. */
void watch_drop_from_event(const struct gate_event *event, struct watch_drop *ret_drop);

/* One line with its end, malloc'd. */
char *watch_line(const struct watch_drop *drop, size_t *ret_len);

enum { WATCH_REASON_BYTES = 64 };

struct watch_filter {
	char reason[WATCH_REASON_BYTES]; /* "": any */
	bool has_source;
	struct dp_prefix source;
};

bool watch_prefix_holds(const struct dp_prefix *prefix, const union addr *addr);
bool watch_filter_takes(const struct watch_filter *filter, const struct watch_drop *drop);
/* Whether there is such a reason. */
bool watch_reason_exists(const char *name);

#endif
