/*
 * A client's connection that speaks HTTP/2 (CONN_HTTP2): its session, whose requests are exchanges of
 * their own, and its end. Owned by the connection.
 */
#ifndef SLUICE_PROXY_CONN_H2_H
#define SLUICE_PROXY_CONN_H2_H

#include "core/buf.h"
#include "proxy/conn.h"

/* `in`: bytes of it that were read already; NULL: none. */
void conn_h2_start(struct conn *conn, const struct buf *in);
/* An event on the client's stream. */
void conn_h2_event(struct conn *conn);
void conn_h2_timed_out(struct conn *conn);
/* It ends when what is under way is answered. */
void conn_h2_drain(struct conn *conn, enum close_reason reason);
/* Gives back the session, if there is one, with its exchanges, which end for that reason. */
void conn_h2_free(struct conn *conn, enum close_reason reason);

#endif
