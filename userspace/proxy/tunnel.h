/*
 * A byte tunnel between a client and a target: `tcp` and `tls` listeners, and HTTP connections
 * after 101. Each direction ends by itself (half-close) and moves its bytes by splice() when they
 * come in bulk and both streams can; otherwise through a buffer that is held only while it has
 * bytes. Owned by one connection.
 */
#ifndef SLUICE_PROXY_TUNNEL_H
#define SLUICE_PROXY_TUNNEL_H

#include "core/buf.h"
#include "proxy/balance.h"
#include "proxy/conn.h"
#include "proxy/splice.h"
#include "proxy/upstream.h"

struct accesslog_note;

struct tunnel_flow {
	struct stream *src, *dst;
	struct buf buf;
	struct splice_way way; /* never holds bytes while `buf` does */
	bool ended; /* src has ended and dst has been told */
	bool is_broken; /* dst takes no more */
	bool cut; /* src was TLS and ended without close_notify; dst gets a RST behind its bytes */
};

struct tunnel {
	struct conn *conn;
	struct upstream *upstream; /* NULL before a target was found */
	struct tunnel_flow to_target, to_client;
	struct task resume_task; /* the turn's share was used up */
	struct accesslog_note *note; /* of the request it comes from; NULL: no line */
	bool is_up;
	uint8_t tries;
	struct balance_tried tried;
};

/* The connection's stream is established: finds a target and starts. */
void tunnel_start(struct conn *conn);
/* Takes over a running pair (HTTP 101) with bytes already read from either side; the buffers'
 * blocks change hands, and so does the note (may be NULL). */
void tunnel_adopt(struct conn *conn, struct upstream *upstream, struct buf *from_client,
	struct buf *from_target, struct accesslog_note *note);
/* An event on the client's stream. */
void tunnel_front_event(struct tunnel *tunnel);
/* Gives back the target's connection and all memory. Called by conn_close, with its reason. */
void tunnel_free(struct tunnel *tunnel, enum close_reason reason);

#endif
