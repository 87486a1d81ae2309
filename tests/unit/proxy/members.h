/* Targets for the tests of what chooses among them: healthy, of equal weights. */
#ifndef SLUICE_TESTS_UNIT_PROXY_MEMBERS_H
#define SLUICE_TESTS_UNIT_PROXY_MEMBERS_H

#include "proxy/group.h"

#include <stdio.h>

/* The caller puts the targets. */
static inline void members_make(struct target **ret_targets, struct target_member *ret_members,
	uint32_t n, uint32_t n_workers)
{
	char text[ADDR_TEXT_BYTES];
	union addr addr;
	uint32_t i;

	for (i = 0; i < n; i++) {
		snprintf(text, sizeof(text), "192.0.2.%u:80", i + 1);
		assert_int_equal(addr_parse(text, &addr), 0);
		ret_targets[i] = target_new("group", NULL, &addr, i, n_workers);
		atomic_store(&ret_targets[i]->health, TARGET_HEALTHY);
		ret_members[i] = (struct target_member){ret_targets[i], 1};
	}
}

#endif
