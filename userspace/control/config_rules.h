/* Rules of listeners in a configuration: see config.h, which is the header to include. Sections that
 * may be left out have line 0 in their mark then. */
#ifndef SLUICE_CONTROL_CONFIG_RULES_H
#define SLUICE_CONTROL_CONFIG_RULES_H

#include "control/config_errors.h"
#include "control/config_values.h"
#include <stdbool.h>
#include <stdint.h>

struct config_target_group;

struct config_named_values {
	struct config_mark mark;
	char *name;
	char **values; /* none: it must be there */
	uint32_t values_count;
};

struct config_query_value {
	struct config_mark mark;
	char *key, *value; /* NULL: any */
};

struct config_condition {
	struct config_mark mark;
	char **hosts;
	uint32_t hosts_count;
	char **paths;
	uint32_t paths_count;
	char **methods;
	uint32_t methods_count;
	struct config_named_values header, cookie;
	struct config_query_value *query;
	uint32_t query_count;
	struct config_prefix *source_ip;
	uint32_t source_ip_count;
	bool negated;
};

struct config_weighted_group {
	struct config_mark mark;
	const struct config_target_group *target_group;
	uint32_t weight;
};

struct config_forward {
	struct config_mark mark;
	struct config_weighted_group *target_groups;
	uint32_t target_groups_count;
	uint32_t stickiness_ms; /* 0: none */
};

struct config_redirect {
	struct config_mark mark;
	enum config_redirect_status status;
	char *protocol, *host, *port, *path, *query;
};

struct config_fixed_response {
	struct config_mark mark;
	uint32_t status;
	char *content_type, *body; /* NULL: none */
};

struct config_action {
	struct config_mark mark;
	struct config_forward forward;
	struct config_redirect redirect;
	struct config_fixed_response fixed_response;
};

struct config_rewrite {
	struct config_mark mark;
	char *host, *path, *query;
};

struct config_header_value {
	struct config_mark mark;
	char *name, *value;
};

struct config_header_edits {
	struct config_mark mark;
	struct config_header_value *set;
	uint32_t set_count;
	struct config_header_value *add;
	uint32_t add_count;
	char **remove;
	uint32_t remove_count;
};

/* 0 per second: no limit; burst 0: one second's worth. */
struct config_client_rate {
	struct config_mark mark;
	uint32_t requests_per_second, requests_burst;
	uint32_t ipv6_prefix;
	uint32_t max_clients;
};

struct config_rate_limit {
	struct config_mark mark;
	uint32_t requests_per_second, requests_burst;
	struct config_client_rate client;
	bool dry_run;
};

struct config_rule {
	struct config_mark mark;
	char *name; /* NULL: "rule-PRIORITY" */
	uint32_t priority;
	struct config_condition *conditions;
	uint32_t conditions_count;
	const struct config_target_group *target_group; /* short for an action that forwards */
	struct config_action *actions; /* one, if there is no target_group */
	uint32_t actions_count;
	struct config_rewrite rewrite;
	struct config_header_edits request_headers, response_headers;
	struct config_rate_limit rate_limit;
};

/* What a rule is called: its name, or "rule-PRIORITY" in `scratch`. */
enum { CONFIG_RULE_NAME_BYTES = 24 };
const char *config_rule_name(const struct config_rule *rule, char scratch[CONFIG_RULE_NAME_BYTES]);

struct config_listener;

/* Every target group that a listener leads to, by its default, routes and rules; some more than once. */
typedef void config_each_group(const struct config_target_group *group, void *arg);
void config_rules_groups(
	const struct config_listener *listener, config_each_group *each, void *arg);

#endif
