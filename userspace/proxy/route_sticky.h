/* The cookie by which a client comes back to the target group it was sent to first: who may use it for
 * how long, signed. See route.h. */
#ifndef SLUICE_PROXY_ROUTE_STICKY_H
#define SLUICE_PROXY_ROUTE_STICKY_H

#include "http/message.h"
#include "proxy/rules_parts.h"

/* The group that the request's cookie is for, and whether it is time for another one (ret_is_old); NULL:
 * it has none that is good. */
struct target_group *route_sticky_find(const struct rules_rule *rule,
	const struct http_headers *headers, int64_t now_unix_s, bool *ret_is_old);
/* The value of Set-Cookie. */
struct slice route_sticky_make(const struct rules_rule *rule, const struct target_group *group,
	int64_t now_unix_s, bool is_secure, char *out, size_t size);

#endif
