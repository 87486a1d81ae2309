/* How a listener takes requests, of its configuration: see build_http.h. */
#include "control/build_http.h"

struct http_terms build_http_terms(const struct config_listener *wanted)
{
	const struct config_listener_limits *limits = &wanted->limits;

	return (struct http_terms){
		.limits = {.head_bytes = limits->header_bytes,
			.target_bytes = limits->request_line_bytes,
			.line_bytes = limits->header_line_bytes,
			.headers = limits->headers},
		.desync = (enum desync_mode)wanted->http.desync_mode,
		.names = (enum http_names)wanted->http.header_names,
		.client_port = wanted->http.client_port,
		.upgrades = wanted->http.upgrades,
		.hides_server = !wanted->http.server,
		.dates = wanted->http.date,
		.origin = {.forwarded = (enum http_rfc7239)wanted->http.forwarded,
			.request_id = (enum http_request_id)wanted->http.request_id,
			.trace_id = wanted->http.trace_id},
		.alt_svc = wanted->http.alt_svc ? slice_of(wanted->http.alt_svc)
						: (struct slice){NULL, 0},
		.x_forwarded_for = (enum http_forwarded_mode)wanted->x_forwarded_for,
		.x_forwarded_proto = (enum http_forwarded_proto)wanted->http.x_forwarded_proto,
	};
}
