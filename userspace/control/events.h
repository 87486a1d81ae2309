/*
 * Events for the dashboard (text/event-stream): the overview, about once a second, to everybody who
 * listens. Nobody listens: nothing is done. Control thread.
 */
#ifndef SLUICE_CONTROL_EVENTS_H
#define SLUICE_CONTROL_EVENTS_H

#include "control/admin.h"

enum {
	EVENTS_LISTENERS_MAX = 8,
	EVENTS_MS = 1000, /* from one to the next, ... */
	EVENTS_SHARE =
		50, /* ... and so many times what it took to make it: 2 % of the thread's time */
};

struct daemon;
struct events;

struct events *events_new(struct daemon *daemon);
/* The admin servers are gone, and their streams. NULL is ignored. */
void events_free(struct events *events);
/* Answers by a stream that begins with the past. */
void events_open(struct events *events, struct admin_reply *reply);

#endif
