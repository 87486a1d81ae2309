/*
 * The memory limit that this process runs into first, of its control group and those around it
 * (cgroups of version 2 and 1), and what is used of it: without files' pages, which the kernel takes
 * back when it needs room. Files are read anew each time, for limits change. Any one thread.
 */
#ifndef SLUICE_CONTROL_CGROUP_MEMORY_H
#define SLUICE_CONTROL_CGROUP_MEMORY_H

#include "core/attr.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CGROUP_MEMORY_DEPTH = 8, CGROUP_MEMORY_PATH = 512 };

struct cgroup_memory {
	bool is_v2;
	size_t root_len; /* of `path` */
	char path[CGROUP_MEMORY_PATH]; /* "": memory is not limited by groups here */
};

/* `proc` and `sys` are /proc/self/cgroup and /sys/fs/cgroup. */
void cgroup_memory_init(struct cgroup_memory *memory, const char *proc, const char *sys);
/* The one of the limits that is nearest. False: there is none. */
bool cgroup_memory_read(
	const struct cgroup_memory *memory, uint64_t *ret_used, uint64_t *ret_limit);

#endif
