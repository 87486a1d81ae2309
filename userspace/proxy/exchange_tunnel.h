/*
 * WebSockets where one of the two sides speaks HTTP/2 (RFC 8441): a CONNECT that opens one goes on as an
 * Upgrade of HTTP/1.1, and the other way round, or as a CONNECT to a target whose HTTP/2 takes that;
 * behind the answer the exchange moves bytes both ways, and each direction ends by itself. Part of the
 * exchange, on its thread.
 */
#ifndef SLUICE_PROXY_EXCHANGE_TUNNEL_H
#define SLUICE_PROXY_EXCHANGE_TUNNEL_H

#include "http/message.h"
#include "http/websocket.h"
#include <stdbool.h>

struct exchange;

/* May the request ask for another protocol? False: it was refused. */
bool exchange_tunnel_admit(struct exchange *exchange) must_check;
/* Fills in the header that the target gets for it, if it gets one: `key` holds its value. How many: 0 or 1. */
uint32_t exchange_tunnel_asks(struct exchange *exchange, struct http_header *ret_header,
	char key[static WEBSOCKET_KEY_BYTES]);
/* The target's version is known: an Upgrade to WebSocket becomes what that has for it. False: it was
 * refused. */
bool exchange_tunnel_convert(struct exchange *exchange) must_check;
/* The final answer to such a request is in `response`: it becomes what the client gets. -EPROTO: it is no
 * answer to that. */
int exchange_tunnel_answered(struct exchange *exchange) must_check;
/* Fills in the header that the client gets for it, if it gets one: `accept` holds its value. How many: 0 or 1. */
uint32_t exchange_tunnel_tells(const struct exchange *exchange, struct http_header *ret_header,
	char accept[static WEBSOCKET_ACCEPT_BYTES]);
/* The client has got the head of the answer that opens it. */
void exchange_tunnel_begin(struct exchange *exchange);
/* Moves what can be moved; the exchange may be gone. */
void exchange_tunnel_run(struct exchange *exchange);

#endif
