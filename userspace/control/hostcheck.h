/*
 * `sluiced --check-host`: what this kernel, these interfaces and CPUs allow, and what is used
 * instead of what they do not. Tries each thing and leaves nothing behind. Any one thread.
 */
#ifndef SLUICE_CONTROL_HOSTCHECK_H
#define SLUICE_CONTROL_HOSTCHECK_H

#include "control/config.h"
#include <stdio.h>

/* `config` may be NULL: then nothing is said about particular interfaces and limits.
 * 0, or -ENOTSUP: sluiced cannot run here (the rows that say why are marked "REQUIRED"). */
int hostcheck_print(FILE *out, const struct config *config) must_check;

#endif
