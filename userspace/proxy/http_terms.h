/* What a listener makes of HTTP requests before anything else is done with them. Part of its spec,
 * constant. */
#ifndef SLUICE_PROXY_HTTP_TERMS_H
#define SLUICE_PROXY_HTTP_TERMS_H

#include "http/desync.h"
#include "http/h1_head.h"
#include "http/headers.h"
#include "http/origin.h"

/* Headers in whose names is more than letters, digits and hyphens. */
enum http_names { HTTP_NAMES_FORWARD, HTTP_NAMES_DROP, HTTP_NAMES_REFUSE };

/* What was done with requests in which something was found: columns of listener_counts.desync. */
enum { LISTENER_DESYNC_FORWARDED, LISTENER_DESYNC_REFUSED };

struct http_terms {
	struct h1_limits limits;
	enum desync_mode desync;
	enum http_names names;
	enum http_forwarded_mode x_forwarded_for;
	enum http_forwarded_proto x_forwarded_proto;
	bool client_port; /* goes with the client's address */
	struct http_origin_terms origin;
	bool upgrades; /* to other protocols: requests for it go to targets */
	bool hides_server; /* what targets say of themselves */
	bool dates; /* answers of targets that have no Date */
	struct slice alt_svc; /* of every answer; empty: none */
};

#endif
