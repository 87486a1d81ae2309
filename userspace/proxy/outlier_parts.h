/* What the files of outlier share; nobody else includes it. See outlier.h. */
#ifndef SLUICE_PROXY_OUTLIER_PARTS_H
#define SLUICE_PROXY_OUTLIER_PARTS_H

#include "proxy/group.h"

/* False: it is out already, or too many are, or it is the last, or another thread is at it. */
bool outlier_eject(struct target_group *group, struct target *target, enum outlier_cause cause);

#endif
