/* Writing `listener_table`. Control thread; for dp_listeners.c. */
#ifndef SLUICE_DATAPLANE_DP_GUARDS_H
#define SLUICE_DATAPLANE_DP_GUARDS_H

#include "core/err.h"
#include "dataplane/dataplane.h"

#include <sluice/abi.h>

/* Makes the XDP program guard exactly these addresses (no two have one key, at most
 * SLUICE_MAX_LISTENERS), all of them from one packet to the next. */
int dp_guards_set(struct dataplane *dp, const struct sluice_guard *guards, size_t count,
	struct err *err) must_check;

#endif
