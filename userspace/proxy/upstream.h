/*
 * Connections to targets: made, kept in a pool per target and worker, lent to an exchange or a
 * tunnel, given back or closed. To targets that speak HTTP/2 many share a connection: what is lent
 * is one request's place on it (upstream_h2.h). Owned by one worker.
 */
#ifndef SLUICE_PROXY_UPSTREAM_H
#define SLUICE_PROXY_UPSTREAM_H

#include "net/stream.h"
#include "proxy/balance.h"
#include "proxy/listener.h"
#include "proxy/worker.h"

struct http_response;
struct upstream;
struct upstream_session;

/* How a borrower hears of its connection. Calls come from the loop, never from within
 * upstream_get(). */
struct upstream_ops {
	/* It is up: PROXY header sent, TLS established. Not called for a pooled one. */
	void (*ready)(struct upstream *upstream);
	/* It could not be made; it is closed when this returns. */
	void (*failed)(struct upstream *upstream, enum close_reason reason);
	/* Bytes, room, or an end: upstream->stream says. */
	void (*event)(struct upstream *upstream);
	/* HTTP/2: the head of an answer, or an interim one; the slices hold until this returns. */
	void (*response)(struct upstream *upstream, const struct http_response *response);
};

enum upstream_state {
	UPSTREAM_WAITING, /* for a descriptor: others will end */
	UPSTREAM_DIALING, /* PROXY header before TLS: own watch, no stream yet */
	UPSTREAM_HANDSHAKE, /* connect() or TLS under way */
	UPSTREAM_LENT,
	UPSTREAM_IDLE, /* in target_worker.idle */
	UPSTREAM_CLOSED,
};

enum { UPSTREAM_PROXY_HEADER_MAX = 536 };

struct upstream {
	struct list link; /* target_worker.idle while IDLE; session->places */
	struct list all; /* worker->upstreams_open */
	struct proxy_worker *worker;
	struct target *target; /* held */
	struct target_group *group; /* held */
	/* NULL while WAITING, DIALING. Of a place: the body of its request, NULL before upstream_ask(). */
	struct stream *stream;
	struct upstream_session *session; /* it is a place on it; NULL: a connection */
	bool is_carrier; /* a connection that carries a session, which is its owner */
	struct watch dial;
	struct timer timer; /* connect time-out, pool time-out, the next try to get a descriptor */
	uint64_t wait_until_ms; /* WAITING: loop_now_ms() */
	struct task free_task;
	const struct upstream_ops *ops;
	void *owner;
	enum upstream_state state;
	bool reused; /* carried a request before the present one */
	bool awaits_settings; /* of the session, to ask: ops->ready comes when they are here */
	bool is_pending; /* counted in group_state.pending */
	uint16_t proxy_header_len;
	uint8_t *proxy_header; /* to be sent before anything else; NULL: none */
};

/* Who asks: what a PROXY header says, if the group sends one. */
struct upstream_client {
	const union addr *client, *local;
	const struct stream *front; /* TLS facts, if it is a TLS stream */
	bool front_is_tls;
};

/*
 * Lends a connection to a target of the group: a pooled one (state LENT, use it at once) or a new
 * one (wait for ops->ready). Counts as outstanding.
 * 0, -ENOENT: no target, -EBUSY: limits are reached, -ENOMEM, or another -errno if the socket could not be made.
 */
int upstream_get(struct proxy_worker *worker, struct target_group *group, struct balance_ask *ask,
	const struct upstream_client *client, const struct upstream_ops *ops, void *owner,
	bool fresh, struct upstream **ret_upstream) must_check;
/* Gives it back. KEEP: the last answer was read to its end and the target keeps alive; CLOSE: in
 * order, what was sent still arrives; ABORT: the target learns that we gave up (RST). */
enum upstream_end { UPSTREAM_END_KEEP, UPSTREAM_END_CLOSE, UPSTREAM_END_ABORT };
void upstream_put(struct upstream *upstream, enum upstream_end end);

/* The connection that carries it: for what is to be told of TLS. NULL: none yet. */
const struct stream *upstream_connection(const struct upstream *upstream);

/* After a new snapshot: closes what leads to removed targets and is idle, or has expired. */
void upstream_sweep(struct proxy_worker *worker);
/* Closes what has been idle for so long, 0: all of it, and sessions of HTTP/2 soon; how many. */
uint32_t upstream_trim(struct proxy_worker *worker, uint64_t idle_ms);
/* Why a client is refused for an error of upstream_get(). */
enum close_reason upstream_refusal(int error);
void upstream_close_all(struct proxy_worker *worker);

#endif
