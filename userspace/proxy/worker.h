/*
 * What one worker's thread owns in this room: pools, its open connections, its pipes. Everything
 * below proxy/frontend gets it by pointer; nothing here is touched by another thread.
 */
#ifndef SLUICE_PROXY_WORKER_H
#define SLUICE_PROXY_WORKER_H

#include "core/list.h"
#include "http/h1_write.h"
#include "http/h2.h"
#include "net/stream.h"
#include "proxy/overload.h"
#include "proxy/splice.h"
#include <stdatomic.h>

struct gate_worker;
struct linering;
struct tls_thread;

/* Of one head; as many as the codecs let through. */
enum { PROXY_HEADERS_MAX = 128 };

/* Limits that hold for the node: shared by all workers, relaxed atomics. */
struct proxy_node {
	atomic_uint open cache_aligned;
	atomic_uint max_connections; /* 0: no limit */
	/* Set by the control thread (control/overload.h). */
	atomic_uint overload; /* enum overload_level */
	/* Descriptors that workers make are below; of clients, below the second. 0: no limit. */
	atomic_uint files_max, accept_max;
	/* Set by workers. */
	atomic_bool is_short_of_files;
	atomic_uint_fast64_t accept_pauses;
};

/* Over a worker's open connections (conn_walk.h); worker->walks while it is under way. */
struct conn_walk {
	struct list link;
	struct proxy_worker *worker;
	struct list *next; /* of worker->open: the list's head at the end */
	uint64_t before_id;
};

/* Looking for connections that must end, since a listener's terms have changed (conn_terms.h). */
struct terms_look {
	struct conn_walk walk;
	bool is_walking;
	struct task task; /* the next part of the walk */
	struct timer timer; /* time for another walk */
	uint64_t next_ms; /* that time, as far as is known; 0: none is needed */
};

/* Looking for connections that can make room (overload.h). */
struct overload_look {
	struct conn_walk walk;
	bool is_walking;
	struct task task; /* the next part of the walk */
	uint64_t began_ms;
};

/* The largest head (limits.header_bytes), of whose headers it is made, and what is added. */
enum { TOLD_TEXT_BYTES = (64 + 1) * 1024 };

struct proxy_worker {
	struct iothread io;
	struct tls_thread *tls;
	struct proxy_node *node;
	struct gate_worker *gate; /* set by control; NULL: nothing is judged */
	uint8_t *peek_bytes; /* PEEK_BYTES_MAX, of whichever connection is being looked at */
	char *route_text; /* ROUTE_TEXT_BYTES, of whichever request is being changed */
	char *told_text; /* twice TOLD_TEXT_BYTES, of what the target of a request is told */
	struct pool conns, exchanges, tunnels, upstreams, sessions;
	struct h2_thread h2;
	struct http_header *request_headers, *response_headers; /* exchange_lend_request() */
	struct pipes pipes;
	struct list open;      /* struct conn, all of them, by id */
	struct list walks;     /* struct conn_walk: over `open`, under way */
	struct terms_look terms;
	struct overload_look shedding;
	enum overload_level overload; /* as of this turn */
	uint64_t conns_made;
	uint64_t
		out_of_files_ms; /* loop_now_ms() when there was none for a connection to a target */
	struct list upstreams_open; /* struct upstream, all of them */
	uint64_t generation; /* of the snapshot this turn goes by; 0: none */
	/* Lines of the connection log; NULL: there is none. Set by the control thread, and stays good
	 * as long as the worker. */
	_Atomic(struct linering *) connlog;
	/* accesslog.c: what the time of day is ahead of loop_now_us()'s clock, looked at once a second */
	uint64_t unix_ahead_us, unix_due_ms;
	time_t date_s; /* of the text, which answers without a Date get */
	char date[HTTP_DATE_BYTES];
	bool leaving; /* connections are not kept for further requests */
	bool draining; /* finish what is under way, keep nothing alive */
};

/* Whether a connection of a client may wait for another request. */
static inline bool proxy_worker_keeps_clients(const struct proxy_worker *worker)
{
	return !worker->leaving && !worker->draining && worker->overload < OVERLOAD_PAUSED;
}

int proxy_worker_init(
	struct proxy_worker *worker, struct proxy_node *node, uint32_t index) must_check;
/* Every connection must be closed (conn_close_all) and a turn have passed. */
void proxy_worker_fini(struct proxy_worker *worker);

#endif
