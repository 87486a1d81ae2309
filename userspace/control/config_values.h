/* Values a setting can have that are more than a number or a string. Plain data, no ownership. */
#ifndef SLUICE_CONTROL_CONFIG_VALUES_H
#define SLUICE_CONTROL_CONFIG_VALUES_H

#include <stdint.h>

enum { CONFIG_NAME_MAX = 63, CONFIG_DENY_MAX = 1000, CONFIG_MATCHER_MAX = 16 };

struct config_address {
	uint16_t family; /* AF_INET or AF_INET6 */
	uint16_t port;   /* host byte order, never 0 */
	uint8_t ip[16];  /* network byte order, IPv4 in the first 4 */
};

/* An address, or a name that stands for any number of them. */
struct config_endpoint {
	struct config_address address; /* with a host: the port only, family 0 */
	char *host; /* in small letters; NULL: there is an address */
};

struct config_prefix {
	uint16_t family;
	uint16_t len_bits;
	uint8_t ip[16]; /* host bits are 0 */
};

/* HTTP status codes that count as healthy. */
struct config_matcher {
	uint32_t count;
	struct config_status_range {
		uint16_t first, last;
	} range[CONFIG_MATCHER_MAX];
};

/* The order of each enum is the order of the words in its row of settings.def. */
enum config_protocol { CONFIG_HTTP, CONFIG_HTTPS, CONFIG_TLS, CONFIG_TCP };
enum config_protocol_version { CONFIG_HTTP1, CONFIG_HTTP2, CONFIG_GRPC };
enum config_check {
	CONFIG_CHECK_OFF,
	CONFIG_CHECK_TCP,
	CONFIG_CHECK_TLS,
	CONFIG_CHECK_HTTP,
	CONFIG_CHECK_HTTPS,
	CONFIG_CHECK_GRPC,
	CONFIG_CHECK_GRPCS
};
enum config_algorithm {
	CONFIG_ROUND_ROBIN,
	CONFIG_LEAST_OUTSTANDING,
	CONFIG_WEIGHTED_RANDOM,
	CONFIG_CONSISTENT_HASH
};
enum config_family { CONFIG_FAMILY_ANY, CONFIG_FAMILY_V4, CONFIG_FAMILY_V6 };
enum config_sticky { CONFIG_STICKY_OFF, CONFIG_STICKY_LB, CONFIG_STICKY_APP };
enum config_proxy_in { CONFIG_PROXY_IN_OFF, CONFIG_PROXY_IN_ACCEPT, CONFIG_PROXY_IN_REQUIRE };
enum config_proxy_out { CONFIG_PROXY_OUT_OFF, CONFIG_PROXY_OUT_V1, CONFIG_PROXY_OUT_V2 };
enum config_desync { CONFIG_DESYNC_MONITOR, CONFIG_DESYNC_DEFENSIVE, CONFIG_DESYNC_STRICTEST };
enum config_header_names { CONFIG_NAMES_FORWARD, CONFIG_NAMES_DROP, CONFIG_NAMES_REFUSE };
enum config_rfc7239 { CONFIG_RFC7239_PRESERVE, CONFIG_RFC7239_APPEND, CONFIG_RFC7239_REMOVE };
enum config_request_id { CONFIG_REQUEST_ID_OFF, CONFIG_REQUEST_ID_KEEP, CONFIG_REQUEST_ID_SET };
enum config_xff { CONFIG_XFF_APPEND, CONFIG_XFF_PRESERVE, CONFIG_XFF_REMOVE };
enum config_xfp { CONFIG_XFP_SET, CONFIG_XFP_PRESERVE, CONFIG_XFP_REMOVE };
/* The first: as the security policy says. */
enum config_tls_version {
	CONFIG_TLS_ANY,
	CONFIG_TLS_1_0,
	CONFIG_TLS_1_1,
	CONFIG_TLS_1_2,
	CONFIG_TLS_1_3
};
enum config_access_format { CONFIG_ACCESS_JSON, CONFIG_ACCESS_ALB };
enum config_role { CONFIG_ROLE_READ, CONFIG_ROLE_OPERATE, CONFIG_ROLE_ADMIN };
enum config_existing { CONFIG_EXISTING_KEEP, CONFIG_EXISTING_DRAIN, CONFIG_EXISTING_CLOSE };
enum config_ktls { CONFIG_KTLS_AUTO, CONFIG_KTLS_OFF, CONFIG_KTLS_TX, CONFIG_KTLS_REQUIRE };
enum config_client_auth_mode {
	CONFIG_CLIENT_AUTH_OFF,
	CONFIG_CLIENT_AUTH_OPTIONAL,
	CONFIG_CLIENT_AUTH_VERIFY,
	CONFIG_CLIENT_AUTH_PASSTHROUGH
};
enum config_redirect_status {
	CONFIG_REDIRECT_301,
	CONFIG_REDIRECT_302,
	CONFIG_REDIRECT_303,
	CONFIG_REDIRECT_307,
	CONFIG_REDIRECT_308
};
enum config_xdp_mode { CONFIG_XDP_AUTO, CONFIG_XDP_NATIVE, CONFIG_XDP_GENERIC, CONFIG_XDP_OFF };
enum config_handover {
	CONFIG_HANDOVER_AUTO,
	CONFIG_HANDOVER_OWN_COOKIES,
	CONFIG_HANDOVER_KERNEL_COOKIES,
	CONFIG_HANDOVER_NONE
};
enum config_dispatcher {
	CONFIG_DISPATCHER_AUTO,
	CONFIG_DISPATCHER_ALWAYS,
	CONFIG_DISPATCHER_NEVER
};
enum config_syn_cookies { CONFIG_SYN_ALWAYS, CONFIG_SYN_UNDER_ATTACK, CONFIG_SYN_OFF };
enum config_gate_mode { CONFIG_GATE_AUTO, CONFIG_GATE_ON, CONFIG_GATE_OFF };
enum config_name_action { CONFIG_NAME_SERVE, CONFIG_NAME_REFUSE };
enum config_refusal { CONFIG_REFUSAL_ALERT, CONFIG_REFUSAL_RESET };
/* auto: where the certificate says that it must be stapled. */
enum config_ocsp { CONFIG_OCSP_AUTO, CONFIG_OCSP_ON, CONFIG_OCSP_OFF };
enum config_log_level { CONFIG_LOG_ERROR, CONFIG_LOG_WARN, CONFIG_LOG_INFO, CONFIG_LOG_DEBUG };

#endif
