/*
 * Filters of calls (seccomp): part of confine.c, nobody else's. A filter is of the thread that installs
 * it and of those that this one starts; filters add up.
 */
#ifndef SLUICE_CORE_CONFINE_FILTER_H
#define SLUICE_CORE_CONFINE_FILTER_H

#include "core/confine.h"

void confine_filter_choose(enum confine_calls calls, bool has_libraries);
/* What a role must not do that the threads above it may. Nothing where filters are off. */
int confine_filter_install(enum confine_role role, struct err *err) must_check;

#endif
