/* The client's side of exchanges in HTTP/2: each is a stream of a session. See conn_h2.h. */
#ifndef SLUICE_PROXY_EXCHANGE_H2_H
#define SLUICE_PROXY_EXCHANGE_H2_H

#include "http/h2.h"
#include "proxy/exchange.h"

/* h2_ops.request. Without memory the stream stays without an owner. */
void exchange_h2_start(struct conn *conn, struct h2_stream *stream,
	const struct http_request *request, unsigned int refusal);

#endif
