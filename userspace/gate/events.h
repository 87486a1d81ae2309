/*
 * Refused first flights, for whoever watches (`sluicectl watch drops`): a bounded ring per worker,
 * one writer (the worker), one reader (the control thread). What does not fit is counted and lost.
 */
#ifndef SLUICE_GATE_EVENTS_H
#define SLUICE_GATE_EVENTS_H

#include "core/attr.h"
#include "gate/judge.h"
#include "net/addr.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { GATE_EVENT_NAME_BYTES = 128, GATE_EVENTS_MAX = 256 };

struct gate_event {
	int64_t at_unix_us;
	union addr client, local;
	enum gate_reason reason;
	bool ungated;
	uint32_t listener_id;
	char server_name[GATE_EVENT_NAME_BYTES]; /* printable; "" unknown */
	char ja4[JA4_BYTES];                     /* "" unknown */
};

struct gate_events;

struct gate_events *gate_events_new(void);
void gate_events_free(struct gate_events *events);
/* Control thread: nothing is written while nobody watches. */
void gate_events_watch(struct gate_events *events, bool on);
void gate_events_put(struct gate_events *events, const struct gate_event *event);
bool gate_events_wanted(const struct gate_events *events);
/* False: empty. */
bool gate_events_take(struct gate_events *events, struct gate_event *ret_event);
uint64_t gate_events_lost(const struct gate_events *events);

#endif
