/*
 * What consistent hashing goes by: a part of the request that stays the same for one user or one
 * object. The hash has no secret: all nodes must send the same key to the same target. Pure.
 */
#ifndef SLUICE_PROXY_BALANCE_KEY_H
#define SLUICE_PROXY_BALANCE_KEY_H

#include "http/message.h"
#include "net/addr.h"

/* The order of the words in settings.def. */
enum balance_key_part {
	BALANCE_KEY_SOURCE_IP,
	BALANCE_KEY_HEADER,
	BALANCE_KEY_COOKIE,
	BALANCE_KEY_QUERY,
};

struct balance_key_spec {
	enum balance_key_part part;
	const char *name; /* of the header, cookie or parameter */
};

#define BALANCE_NO_KEY UINT64_C(0)

/* `request` is NULL for a tunnel. BALANCE_NO_KEY: the request does not have that part. */
uint64_t balance_key(const struct balance_key_spec *spec, const struct http_request *request,
	const union addr *client);
/* The hash itself; never BALANCE_NO_KEY. */
uint64_t balance_key_of(struct slice bytes);

#endif
