/*
 * When a client may go on with a session it had: what a ticket says of the handshake it comes from,
 * and who judges it. Part of a tls_server; handshakes on any worker.
 *
 * OpenSSL sees to the listener, its policy and what it asks of clients' certificates (the session id
 * context). What is left, and is in each ticket: when the last full handshake was (OpenSSL counts
 * from the last ticket, and TLS 1.3 gives a new one each time), how long the certificates hold
 * that the client showed then, and which names the certificate was for that it was shown.
 */
#ifndef SLUICE_TLS_RESUMPTION_H
#define SLUICE_TLS_RESUMPTION_H

#include "core/attr.h"
#include "core/err.h"
#include <stdint.h>

struct client_auth;
struct ssl_ctx_st;

enum { RESUMPTION_AGE_DEFAULT_S = 24 * 3600 };

struct resumption {
	const struct client_auth *auth;
	uint32_t age_max_s; /* since the full handshake */
};

/* Sets up a context, which must not outlive `resumption`. */
int resumption_init(
	struct resumption *resumption, struct ssl_ctx_st *ctx, struct err *err) must_check;

#endif
