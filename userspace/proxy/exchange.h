/*
 * One HTTP request and its answer on a client's connection: head read, target chosen, bodies
 * moved both ways, the connection handed on to the next request, a tunnel, or its end. Owned by
 * its connection; exists only while a request is under way.
 */
#ifndef SLUICE_PROXY_EXCHANGE_H
#define SLUICE_PROXY_EXCHANGE_H

#include "proxy/conn.h"

struct exchange;

size_t exchange_bytes(void);
/* The idle connection has bytes. */
void exchange_start(struct conn *conn);
/* An event on the client's stream. */
void exchange_front_event(struct exchange *exchange);
void exchange_timed_out(struct exchange *exchange);
/* Part of a target's answer has been handed to the client. */
bool exchange_is_answering(const struct exchange *exchange);
/* The connection to a target that it has now; NULL: none. */
const struct upstream *exchange_upstream(const struct exchange *exchange);
/* Why it is about to end, for the access log; the first reason counts. */
void exchange_log_reason(struct exchange *exchange, enum close_reason reason);
/* Gives everything back. Called by conn_close and when the connection goes idle. */
void exchange_free(struct exchange *exchange);

#endif
