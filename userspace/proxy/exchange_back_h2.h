/* The target's side of exchanges in HTTP/2. See struct back_ops. */
#ifndef SLUICE_PROXY_EXCHANGE_BACK_H2_H
#define SLUICE_PROXY_EXCHANGE_BACK_H2_H

#include "proxy/upstream.h"

/* upstream_ops.response of exchanges. */
void exchange_back_h2_response(struct upstream *upstream, const struct http_response *response);

#endif
