/*
 * Shedding load before descriptors, memory or connections run out. The control thread looks at what
 * is used of them and sets the node's level (control/overload.h); each worker goes by it from its
 * next turn on. What a worker opens never takes the last descriptors: those are for the control
 * thread's health checks, admin clients and files. The worker's thread only.
 */
#ifndef SLUICE_PROXY_OVERLOAD_H
#define SLUICE_PROXY_OVERLOAD_H

#include "core/attr.h"
#include <stdbool.h>

struct proxy_worker;

/* Each does what those before it do, too. */
enum overload_level {
	OVERLOAD_NONE,
	OVERLOAD_SHORT, /* who waits between requests, clients and targets, ends after a second */
	OVERLOAD_PAUSED, /* nobody is accepted, nothing is kept alive */
	OVERLOAD_SHED, /* requests are answered 503 */
};

/* At the end of each turn. */
void overload_turn(struct proxy_worker *worker);
/* A descriptor that accept() returned: false if no more should be accepted now. Some are left for
 * connections to targets, without which nobody who was accepted could ever be done. */
bool overload_accepts_more(struct proxy_worker *worker, int fd);
/* A descriptor for a connection to a target, or the error of making it: false if it is one too many. */
bool overload_fits(struct proxy_worker *worker, int fd);

/* proxy_worker_init(), proxy_worker_fini() */
void overload_init(struct proxy_worker *worker);
void overload_fini(struct proxy_worker *worker);

#endif
