/* Listeners of a configuration: see config.h, which is the header to include. */
#ifndef SLUICE_CONTROL_CONFIG_LISTENER_H
#define SLUICE_CONTROL_CONFIG_LISTENER_H

#include "control/config_errors.h"
#include "control/config_rules.h"
#include "control/config_values.h"
#include <stdbool.h>
#include <stdint.h>

struct config_certificate;
struct config_target_group;
struct config_trust_store;

struct config_listener_tls {
	struct config_mark mark;
	char *policy; /* config_policy_find() knows it */
	enum config_tls_version min_version, max_version; /* narrow the policy */
	bool session_tickets;
	enum config_ktls ktls;
	enum config_existing existing; /* connections, when a change tightens who is let in */
	char **alpn; /* tls listeners only, most preferred first; https: see http2 */
	uint32_t alpn_count;
};

/* Names; "off": that header is not sent. */
struct config_auth_headers {
	struct config_mark mark;
	char *serial_number, *issuer, *subject, *validity, *leaf, *chain;
};

struct config_tls_headers {
	struct config_mark mark;
	char *version, *cipher_suite;
};

struct config_access_log {
	struct config_mark mark;
	char *path; /* NULL: none */
	enum config_access_format format;
};

struct config_client_auth {
	struct config_mark mark;
	enum config_client_auth_mode mode;
	const struct config_trust_store *trust_store; /* NULL: none */
	uint32_t max_depth;
	bool ignore_expiry, advertise_ca_names;
	struct config_auth_headers headers;
};

struct config_listener_timeouts {
	struct config_mark mark;
	uint32_t handshake_ms, header_ms, request_body_ms, idle_ms, keep_alive_ms, lifetime_ms;
};

struct config_listener_limits {
	struct config_mark mark;
	uint32_t connections;
	uint32_t packets_per_second, packets_burst;
	uint32_t connections_per_second, connections_burst;
	uint32_t handshakes_per_second, handshakes_burst;
	uint32_t syns_per_second, syns_burst;
	uint32_t header_bytes, request_line_bytes, header_line_bytes, headers;
	uint64_t body_bytes;
	uint32_t requests_per_connection;
};

/* How requests are taken, whatever becomes of them. */
struct config_listener_http {
	struct config_mark mark;
	enum config_desync desync_mode;
	enum config_header_names header_names;
	enum config_rfc7239 forwarded;
	enum config_xfp x_forwarded_proto;
	enum config_request_id request_id;
	bool trace_id, client_port, upgrades, server, date;
	char *alt_svc; /* NULL: none */
};

struct config_route {
	struct config_mark mark;
	char **server_names;
	uint32_t server_names_count;
	const struct config_target_group *target_group;
};

struct config_gate {
	struct config_mark mark;
	enum config_gate_mode mode;
	enum config_name_action unknown_name, missing_name;
	enum config_refusal refusal;
	char **ja4_deny;
	uint32_t ja4_deny_count;
	char **ja4_allow;
	uint32_t ja4_allow_count;
};

struct config_listener {
	struct config_mark mark;
	char *name;
	enum config_protocol protocol;
	struct config_address *address;
	uint32_t address_count;
	const struct config_certificate **certificates; /* [0] is the default */
	uint32_t certificates_count;
	struct config_route *routes;
	uint32_t routes_count;
	/* Of what no route and no rule is for; NULL: a default action says it. */
	const struct config_target_group *target_group;
	struct config_rule *rules;
	uint32_t rules_count;
	struct config_action *default_actions; /* one, if there is no target_group */
	uint32_t default_actions_count;
	struct config_header_edits request_headers, response_headers; /* of all its rules */
	enum config_proxy_in proxy_protocol;
	enum config_xff x_forwarded_for;
	bool http2;
	struct config_listener_http http;
	struct config_listener_tls tls;
	struct config_client_auth client_auth;
	struct config_tls_headers tls_headers;
	struct config_access_log access_log;
	enum config_syn_cookies syn_cookies;
	struct config_gate gate;
	struct config_listener_timeouts timeouts;
	struct config_listener_limits limits;
};

#endif
