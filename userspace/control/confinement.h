/*
 * What the daemon gives up of its rights at the start, by its configuration (core/confine.h does it).
 * Control thread.
 */
#ifndef SLUICE_CONTROL_CONFINEMENT_H
#define SLUICE_CONTROL_CONFINEMENT_H

#include "control/config.h"
#include "core/err.h"
#include "dataplane/dataplane.h"

/* The library of a PKCS#11 token, with which workers sign, needs calls that they may not make any more if
 * there was no such key at the start: true, with the reason in `errors`. Any thread. */
bool confinement_forbids(const struct config *config, struct config_errors *errors);
/* Before there are other threads, and before any file is read that a reload reads again. */
int confinement_begin(const struct config *config, struct err *err) must_check;
/* Once programs are attached: gives up what that took, and says what is left. */
int confinement_end(
	const struct dataplane *dp, const struct config *config, struct err *err) must_check;
/* For people: what becomes of calls of the kernel, and why not more is refused (NULL: nothing more could
 * be). */
const char *confinement_calls(const struct config *config, const char **ret_why);

#endif
