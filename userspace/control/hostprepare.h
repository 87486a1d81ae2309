/*
 * `sluiced --prepare-host`: what a daemon that has few rights cannot do for its host and a start of
 * the host may have left undone. Nothing that is as it should be is touched. Any one thread.
 */
#ifndef SLUICE_CONTROL_HOSTPREPARE_H
#define SLUICE_CONTROL_HOSTPREPARE_H

#include "core/attr.h"
#include <stdio.h>

/* Where things are; a test has places of its own. */
struct hostprepare_places {
	const char *bpffs, *tun, *sysctls;
};

extern const struct hostprepare_places hostprepare_host;

/* 0, or -EPERM: something could not be done (the row says why). */
int hostprepare_print(FILE *out, const struct hostprepare_places *places) must_check;

#endif
