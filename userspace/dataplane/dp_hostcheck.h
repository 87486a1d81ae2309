/* What this kernel allows, for `sluiced --check-host`. Tries each thing and leaves nothing behind. */
#ifndef SLUICE_DATAPLANE_DP_HOSTCHECK_H
#define SLUICE_DATAPLANE_DP_HOSTCHECK_H

#include "dataplane/dataplane.h"

enum { DP_HOSTCHECK_MAX = 16 };

struct dp_hostcheck_row {
	const char *name; /* "native XDP on eth0" is name "xdp_native", text says which interface */
	bool ok;
	char text[200]; /* what was found, and what is used instead when it is not ok */
};

/* `interface` (may be NULL) is where native and generic XDP are tried: only asked about when it
 * carries no program yet. Returns the number of rows. */
size_t dp_hostcheck(const char *interface, struct dp_hostcheck_row ret_rows[DP_HOSTCHECK_MAX]);

#endif
