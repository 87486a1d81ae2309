/*
 * The terms on which a connection was let in, against those in force: a change of a listener that
 * turns away clients which were let in before (struct listener_terms) says what becomes of the
 * connections that are there. The worker's thread only.
 */
#ifndef SLUICE_PROXY_CONN_TERMS_H
#define SLUICE_PROXY_CONN_TERMS_H

#include "proxy/conn.h"

enum conn_terms {
	CONN_TERMS_GOOD,   /* it may go over to the listener in force */
	CONN_TERMS_DRAIN,  /* what is under way is its last, by the listener it has */
	CONN_TERMS_CLOSE,  /* it ends now */
};

/* An HTTP connection looks before each request, and before it waits for another. */
enum conn_terms conn_terms(const struct conn *conn);
/* Whether another request may come on an HTTP connection after its `requests`, all counted: not where its
 * worker, its listener, its keys or its time have come to their end. */
bool conn_goes_on(const struct conn *conn, uint32_t requests);
/* Whether the listener it has vouches for the certificate its client has shown. */
static inline bool conn_is_vouched_for(const struct conn *conn)
{
	return conn->epoch >= conn->listener->spec.terms.identity_below;
}

/* A listener's terms have changed: ends what must end, now and when its time is over. */
void conn_terms_look(struct proxy_worker *worker);

/* proxy_worker_init(), proxy_worker_fini() */
void conn_terms_init(struct proxy_worker *worker);
void conn_terms_fini(struct proxy_worker *worker);

#endif
