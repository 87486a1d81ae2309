/*
 * The first bytes of a connection, looked at in the socket before there is a stream: the PROXY
 * header, and for listeners with a policy the ClientHello, unless the gate has judged it already.
 * Nothing but the PROXY header is taken off. On the connection's worker.
 */
#ifndef SLUICE_PROXY_PEEK_H
#define SLUICE_PROXY_PEEK_H

#include "net/proxyproto.h"
#include "proxy/conn.h"
#include "tls/clienthello.h"

enum { PEEK_BYTES_MAX = PROXYPROTO_BYTES_MAX + CLIENTHELLO_STREAM_BYTES_MAX };

/* Ends in frontend_peeked(), at once or later, or closes the connection. */
void peek_start(struct conn *conn);

#endif
