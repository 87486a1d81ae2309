/*
 * The order of a connection's first steps: accept, PROXY header and verdict (peek.c), TLS, ALPN,
 * then HTTP or tunnel.
 * This is the only file that knows it.
 */
#ifndef SLUICE_PROXY_FRONTEND_H
#define SLUICE_PROXY_FRONTEND_H

#include "proxy/conn.h"

/* A listening socket in a worker's loop. `listener` changes with each snapshot; NULL while the
 * address belongs to none. */
struct acceptor {
	struct watch watch;
	struct proxy_worker *worker;
	struct listener_socket *socket; /* counted */
	struct listener *listener;      /* of the current snapshot: not counted */
	struct timer pause;             /* out of descriptors: not in the loop for a while */
};

/* Puts it into the loop. 0 or -errno. */
int acceptor_start(struct acceptor *acceptor) must_check;
void acceptor_stop(struct acceptor *acceptor);

/* watch.ready of an acceptor: takes what has come, a bounded number a turn. */
void frontend_accept(struct watch *watch, uint32_t events);
/* Before the socket goes: takes all that wait, or the kernel would reset them. */
void frontend_accept_last(struct acceptor *acceptor);

/* For conn.c: the first step, and the next one whenever the stream has news. */
void frontend_start(struct conn *conn);
/* For peek.c: the first bytes were looked at, the connection may go on. */
void frontend_peeked(struct conn *conn);
void frontend_handshake(struct conn *conn);
/* watch.ready of every client stream (conn.c). */
void conn_stream_ready(struct watch *watch, uint32_t events);

#endif
