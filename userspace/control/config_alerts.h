/* Alerts, session tickets, the end of the program and what it may do in a configuration: see config.h, which is the header to include. */
#ifndef SLUICE_CONTROL_CONFIG_ALERTS_H
#define SLUICE_CONTROL_CONFIG_ALERTS_H

#include "control/config_errors.h"
#include "core/confine.h"
#include <stdint.h>

struct config_alerts {
	struct config_mark mark;
	uint64_t *expiry_ms; /* in any order */
	uint32_t expiry_ms_count;
	char *webhook; /* NULL: none */
	char *ca_path; /* NULL: the system's */
	uint32_t retry_ms;
};

struct config_shutdown {
	struct config_mark mark;
	uint32_t grace_ms, timeout_ms;
};

struct config_upgrade {
	struct config_mark mark;
	char *socket_path; /* NULL: beside admin.socket */
	uint32_t timeout_ms;
};

struct config_confinement {
	struct config_mark mark;
	enum confine_calls system_calls; /* the words are in its order */
};

struct config_tickets {
	struct config_mark mark;
	char *keys_path; /* NULL: random ones */
	uint32_t rotation_ms, lifetime_ms, session_age_ms;
};

#endif
