/*
 * Keys of session tickets, shared by all listeners, workers and rebuilt servers (a reload keeps
 * resumption working). Tickets are encrypted with the current key and accepted under the current
 * and the previous one. Counted; tls_tickets_rotate() by one thread at a time, use by any.
 */
#ifndef SLUICE_TLS_TICKETS_H
#define SLUICE_TLS_TICKETS_H

#include "core/attr.h"

struct tls_tickets;
struct ssl_ctx_st;

/* Starts with a random key. */
struct tls_tickets *tls_tickets_new(void);
struct tls_tickets *tls_tickets_get(struct tls_tickets *tickets);
void tls_tickets_put(struct tls_tickets *tickets);
/* A new random key; the current one becomes the previous one. A ticket lives between one and two
 * rotation intervals (and never longer than tls_server_spec.ticket_life_s). */
void tls_tickets_rotate(struct tls_tickets *tickets);

/* Makes a context use the keys. The context must not outlive `tickets`. */
void tls_tickets_attach(struct tls_tickets *tickets, struct ssl_ctx_st *ctx);

#endif
