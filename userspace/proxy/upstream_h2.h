/*
 * Targets that speak HTTP/2: a connection carries a session, on which each exchange that is lent an
 * upstream has a place. A worker has few sessions to a target, and a place on one that is up is had at
 * once. upstream.h has what is common to both.
 */
#ifndef SLUICE_PROXY_UPSTREAM_H2_H
#define SLUICE_PROXY_UPSTREAM_H2_H

#include "http/h2_client.h"
#include "proxy/upstream.h"

size_t upstream_session_bytes(void);
/* Sends a request on the place, which is LENT: upstream->stream is its body then. 0 or
 * -errno; -EAGAIN: ops->ready comes again; -EOPNOTSUPP: the target does not take CONNECT. */
int upstream_ask(struct upstream *upstream, const struct h2_ask *ask) must_check;
/* Of a request that failed; false for what is no place. The target said that it has not looked at it. */
bool upstream_is_unprocessed(const struct upstream *upstream);
/* And of this request alone: it says nothing of going. */
bool upstream_was_refused(const struct upstream *upstream);
/* What came as an answer broke the rules. */
bool upstream_is_faulty(const struct upstream *upstream);
/* The request was, and not the connection. */
bool upstream_was_reset(const struct upstream *upstream);

#endif
