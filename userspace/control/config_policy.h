/* Security policies of a configuration: those it defines itself, and those that are built in. Reads
 * a configuration that has been read whole; any thread that may read it. */
#ifndef SLUICE_CONTROL_CONFIG_POLICY_H
#define SLUICE_CONTROL_CONFIG_POLICY_H

#include "control/config.h"
#include "core/attr.h"
#include "tls/policy.h"

/* By name. False: there is none, or what it is based on leads back to itself. Names of algorithms
 * that nobody knows are left out: config_check_policies() has refused them. */
bool config_policy_find(
	const struct config *config, const char *name, struct tls_policy *ret_policy) must_check;
/* The policy of a listener, narrowed to its versions. False: none, or nothing is left. */
bool config_policy_of_listener(const struct config *config, const struct config_listener *listener,
	struct tls_policy *ret_policy) must_check;

#endif
