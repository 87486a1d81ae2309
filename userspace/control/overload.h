/*
 * Looks at what of this node can run out (descriptors, memory, connections) ten times a second, or
 * once while the process has nothing to do, and sets the level that workers go by (proxy/overload.h).
 * Each change of it is a line in the log. Control thread.
 */
#ifndef SLUICE_CONTROL_OVERLOAD_H
#define SLUICE_CONTROL_OVERLOAD_H

#include "control/cgroup_memory.h"
#include "control/loader.h"
#include "control/overload_gauge.h"
#include "core/loop.h"

struct daemon;

enum overload_resource {
	OVERLOAD_FILES,
	OVERLOAD_MEMORY,      /* of the control group */
	OVERLOAD_OWN_MEMORY,  /* of limits.memory */
	OVERLOAD_CONNECTIONS, /* of limits.connections */
	OVERLOAD_RESOURCES,
};

struct overload {
	struct timer timer;
	struct overload_gauge gauges[OVERLOAD_RESOURCES];
	struct cgroup_memory group;
	uint64_t cpu_us; /* that all threads had spent at the last tick */
	uint64_t looked_ms; /* at all of it */
	enum overload_level level; /* the highest of them */
	uint64_t n_changes; /* of it */
	struct job trim; /* what was freed is given back to the kernel */
	bool is_trimming;
	uint64_t trimmed_ms; /* when it was begun */
};

void overload_start(struct daemon *daemon);
void overload_stop(struct daemon *daemon);

/* For people: "files", "keep_alive_short". */
const char *overload_resource_name(enum overload_resource resource);
const char *overload_level_name(enum overload_level level);

#endif
