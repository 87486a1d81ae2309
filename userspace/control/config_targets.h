/* Settings of target groups: how a target is chosen, and when it is not. Plain data. */
#ifndef SLUICE_CONTROL_CONFIG_TARGETS_H
#define SLUICE_CONTROL_CONFIG_TARGETS_H

#include "control/config_errors.h"
#include "control/config_values.h"
#include <stdbool.h>
#include <stdint.h>

/* The order of the words in settings.def. */
enum config_hash_key {
	CONFIG_HASH_SOURCE_IP,
	CONFIG_HASH_HEADER,
	CONFIG_HASH_COOKIE,
	CONFIG_HASH_QUERY
};

struct config_hash {
	struct config_mark mark;
	enum config_hash_key key;
	char *name; /* NULL: source_ip */
};

/* 0: no limit. */
struct config_group_limits {
	struct config_mark mark;
	uint32_t connections, requests, pending;
};

/* How the names of targets are looked up. */
struct config_group_dns {
	struct config_mark mark;
	uint32_t interval_ms; /* 0: as the answer says */
	enum config_family family;
	uint32_t max_addresses; /* of a name */
	uint32_t hold_ms; /* of one that answers are without; 0: none */
};

struct config_outliers {
	struct config_mark mark;
	bool enabled;
	uint32_t errors, gateway_errors; /* 0: off */
	uint32_t success_percent, latency_ratio; /* 0: off */
	uint32_t min_requests;
	uint32_t interval_ms, ejection_ms, max_ejection_ms;
	uint32_t max_ejected_percent;
};

struct config_retries {
	struct config_mark mark;
	uint32_t attempts; /* beside the first */
	struct config_matcher status; /* count 0: none */
	uint32_t budget_percent, budget_per_second;
};

struct config_stickiness {
	struct config_mark mark;
	enum config_sticky type;
	uint32_t duration_ms;
	char *cookie; /* NULL: "SLUICE-" and the name of the group */
	char *app_cookie;
};

#endif
