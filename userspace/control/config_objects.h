/* What a configuration is made of: see config.h, which is the header to include. The struct config
 * owns everything these point to. */
#ifndef SLUICE_CONTROL_CONFIG_OBJECTS_H
#define SLUICE_CONTROL_CONFIG_OBJECTS_H

#include "control/config_admin.h"
#include "control/config_alerts.h"
#include "control/config_errors.h"
#include "control/config_listener.h"
#include "control/config_security.h"
#include "control/config_targets.h"
#include "control/config_values.h"
#include <stdbool.h>
#include <stdint.h>

/* Every struct below begins with the place where it is written (line 0: it is not). */

struct config_trust_store {
	struct config_mark mark;
	char *name;
	char *ca_path;
	char **crl_paths;
	uint32_t crl_paths_count;
};

struct config_target {
	struct config_mark mark;
	char *name; /* NULL: the address is the name */
	struct config_endpoint address;
	uint32_t weight; /* 0: no new traffic */
};

struct config_check_tls {
	struct config_mark mark;
	bool verify;
	char *server_name; /* NULL: the group's */
};

struct config_health_check {
	struct config_mark mark;
	enum config_check protocol;
	uint32_t port; /* 0: the target's own */
	char *path;
	char *host; /* NULL: the target's address */
	struct config_matcher matcher;
	char *method, *service; /* gRPC; service NULL: the whole server */
	struct config_matcher codes;
	uint32_t interval_ms, timeout_ms;
	uint32_t rise, fall;
	uint32_t jitter_percent;
	struct config_check_tls tls;
};

struct config_group_tls {
	struct config_mark mark;
	bool verify;
	char *ca_path;     /* NULL: the system's certificates */
	char *server_name; /* sent as SNI and verified; NULL: none sent, the address is verified */
	const struct config_certificate *certificate; /* shown to the targets; NULL: none */
	char *policy; /* config_policy_find() knows it */
	enum config_ktls ktls;
};

struct config_group_timeouts {
	struct config_mark mark;
	uint32_t connect_ms, response_ms;
};

struct config_pool {
	struct config_mark mark;
	uint32_t idle_per_worker; /* kept connections per target; 0: none */
	uint32_t idle_timeout_ms;
};

struct config_target_group {
	struct config_mark mark;
	char *name;
	enum config_protocol protocol;
	enum config_protocol_version protocol_version;
	enum config_algorithm algorithm;
	struct config_hash hash;
	bool fail_open;
	uint32_t fail_open_below, fail_open_below_percent;
	uint32_t slow_start_ms; /* 0: off */
	struct config_group_limits limits;
	struct config_outliers outliers;
	struct config_retries retries;
	struct config_stickiness stickiness;
	uint32_t deregistration_delay_ms;
	struct config_group_dns dns;
	enum config_proxy_out proxy_protocol;
	struct config_group_tls tls;
	struct config_group_timeouts timeouts;
	struct config_pool pool;
	struct config_target *targets;
	uint32_t targets_count;
	struct config_health_check health_check;
};

/* 0 per second: no limit; burst 0: one second's worth. */
struct config_rates {
	struct config_mark mark;
	uint32_t packets_per_second, packets_burst;
	uint32_t connections_per_second, connections_burst;
	uint32_t handshakes_per_second, handshakes_burst;
};

struct config_handshake_rate {
	struct config_mark mark;
	uint32_t handshakes_per_second, handshakes_burst;
};

struct config_limits {
	struct config_mark mark;
	uint32_t connections, flights_per_prefix;
	uint64_t memory_bytes;
	bool dry_run;
	struct config_rates source, prefix;
	struct config_handshake_rate per_name, per_ja4;
};

struct config_dns {
	struct config_mark mark;
	struct config_address *servers;
	uint32_t servers_count; /* 0: those of the system */
	uint32_t timeout_ms;
};

struct config_log {
	struct config_mark mark;
	enum config_log_level level;
	char *connections_path; /* NULL: none */
};

struct config_xdp {
	struct config_mark mark;
	enum config_xdp_mode mode;
	enum config_handover handover;
	enum config_dispatcher dispatcher;
	char *cookie_secret_path; /* NULL: a random one */
	char **interfaces;
	uint32_t interfaces_count;
	char *pin_dir_path;
};

#endif
