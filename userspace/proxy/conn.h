/*
 * A client's connection, from accept to close. It goes through the states below in order; in
 * IDLE it owns nothing but its stream. Owned by one worker.
 */
#ifndef SLUICE_PROXY_CONN_H
#define SLUICE_PROXY_CONN_H

#include "net/addr.h"
#include "net/stream.h"
#include "proxy/listener.h"
#include "proxy/upstream.h"
#include "proxy/worker.h"
#include "tls/ja4.h"

struct accesslog_common;
struct exchange;
struct h2;
struct tunnel;

enum conn_state {
	CONN_PEEK,      /* no stream yet: peek.c looks at the first bytes */
	CONN_HANDSHAKE,    /* TLS handshake */
	CONN_IDLE,         /* HTTP: between requests; owns no buffer */
	CONN_EXCHANGE,     /* HTTP: conn->exchange */
	CONN_HTTP2,        /* conn->h2, which has the exchanges */
	CONN_TUNNEL,       /* conn->tunnel */
	CONN_LINGER, /* sends what is left, and our end; reads on so that no RST eats the answer */
	CONN_CLOSED, /* freed at the end of the turn */
};

struct conn {
	struct list link; /* worker->open */
	uint64_t id; /* conn_walk.h; unique in this daemon */
	uint64_t epoch; /* of the terms on which it was let in: listener_terms */
	uint64_t
		drain_until_ms; /* loop_now_ms(): then it ends, whatever it does; 0: no such time */
	uint64_t accepted_ms, active_ms; /* loop_now_ms(): active when a time-out last began */
	struct proxy_worker *worker;
	struct listener *listener; /* held; conn_renew_listener() */
	struct stream *front; /* NULL in CONN_PEEK */
	struct watch peek; /* the descriptor in CONN_PEEK */
	struct timer timer; /* the one time-out that applies in this state */
	struct task free_task;
	enum conn_state state;
	bool is_tls;
	bool has_header_addrs; /* client and local are from a PROXY header */
	bool is_judged; /* a first flight of its client came through the gate, and was charged */
	bool told_why; /* CONN_PEEK: refused by an alert */
	bool is_refused; /* CONN_HANDSHAKE: it has failed, and was logged */
	char ja4[JA4_BYTES]; /* "" where there is no policy */
	uint32_t peek_needs; /* CONN_PEEK: fewer bytes would say nothing new; 0: not known */
	uint32_t requests;
	uint32_t linger_bytes;
	uint64_t linger_acked_bytes; /* CONN_LINGER, CONN_HTTP2: of what is sent, when last asked */
	enum close_reason end_reason; /* CONN_LINGER, CONN_HTTP2: what conn_close() will be told */
	bool front_ended; /* CONN_LINGER: all is sent, our end too */
	bool client_over; /* CONN_LINGER: the client has ended, or is not waited for */
	struct target_group *route_group; /* the listener's, by server name; NULL: its default */
	struct exchange *exchange;
	struct h2 *h2; /* conn_h2.h */
	struct tunnel *tunnel;
	struct accesslog_common *log_common; /* accesslog.c's; NULL: it has had no line yet */
	uint64_t counted_in, counted_out; /* of front->bytes_*, already in the statistics */
	/* As the client sees them. `local` is the listener's, maybe a wildcard, unless a PROXY header
	 * said more or the target group sends one. */
	union addr client, local;
};

/* Takes over an accepted descriptor, closes it if it cannot. */
void conn_new(struct proxy_worker *worker, struct listener *listener, int fd,
	const union addr *client, const union addr *local);
void conn_change_state(struct conn *conn, enum conn_state state);
/* The one way out, from any state. Frees exchange or tunnel, closes the stream, counts. What the
 * stream has taken and not sent is lost, and the client told so by a RST where that can be. */
void conn_close(struct conn *conn, enum close_reason reason);
/* The way there for an HTTP connection that owes no answer any more: in order, behind what the
 * stream still has to send. May close it at once. */
void conn_end(struct conn *conn, enum close_reason reason);
/* Counts why a request was refused or the connection ends; a line in the log at level debug. */
void conn_count_reason(struct conn *conn, enum close_reason reason);
/* There is nothing more to send: ends our direction and waits (bounded) for the client to end its
 * own. */
void conn_linger(struct conn *conn, enum close_reason reason);
/* CONN_LINGER: an event on the client's stream. */
void conn_linger_event(struct conn *conn);
void conn_linger_timed_out(struct conn *conn);
/* An HTTP connection waits for its next request. */
void conn_set_idle(struct conn *conn);
/* Before a request: goes over to the listener of this name that is in force now, so that a reload
 * (other targets, limits, time-outs) holds for connections that were open before it; unless its
 * terms are others (conn_terms.h). */
void conn_renew_listener(struct conn *conn);
/* Before the TLS handshake: the same, and it is let in on the terms of that listener. */
void conn_take_terms(struct conn *conn);
/* Its listener was removed: the request it makes is its last. */
bool conn_is_orphan(const struct conn *conn);
/* The time-out of the present state. */
void conn_set_timeout(struct conn *conn, uint32_t after_ms);
/* Brings the listener's byte counters up to date. */
void conn_count_bytes(struct conn *conn);

/* For all connections of a worker: idle ones are closed, the others end after what they do. */
void conn_drain_all(struct proxy_worker *worker);
void conn_close_all(struct proxy_worker *worker, enum close_reason reason);

/* For whom a connection to a target is made. */
static inline struct upstream_client conn_as_client(const struct conn *conn)
{
	return (struct upstream_client){
		.client = &conn->client,
		.local = &conn->local,
		.front = conn->front,
		.front_is_tls = conn->is_tls,
	};
}

/* Where a tunnel goes. */
static inline struct target_group *conn_group(const struct conn *conn)
{
	return conn->route_group ? conn->route_group : conn->listener->spec.group;
}

static inline struct listener_counts *conn_counts(const struct conn *conn)
{
	return listener_counts(conn->listener, conn->worker->io.worker);
}

#endif
