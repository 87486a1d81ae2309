/*
 * Looking at a worker's open connections, a few at a time, while they come and go: a walk stands
 * between two of them and is moved on when the next one closes. Connections are in the order of
 * their ids; those accepted after a walk began are not part of it. The worker's thread only.
 */
#ifndef SLUICE_PROXY_CONN_WALK_H
#define SLUICE_PROXY_CONN_WALK_H

#include "proxy/conn.h"
#include "tls/stream.h"

void conn_walk_begin(struct conn_walk *walk, struct proxy_worker *worker);
/* NULL: this was the last one. */
struct conn *conn_walk_next(struct conn_walk *walk);
/* Nothing happens to one that has ended, or is zeroed. */
void conn_walk_end(struct conn_walk *walk);
/* For conn_close(): the connection leaves the list. */
void conn_walks_leave(struct conn *conn);

/* An id says which worker has the connection, and in which order that worker accepted its own. */
static inline uint64_t conn_id_make(uint64_t sequence, uint32_t worker)
{
	return sequence * SHARED_WORKERS_MAX + worker;
}

static inline uint32_t conn_id_worker(uint64_t id)
{
	return (uint32_t)(id % SHARED_WORKERS_MAX);
}

/* For people: "request". */
const char *conn_state_name(enum conn_state state);

/* What there is to say about a connection; valid until it does something. */
struct conn_facts {
	const struct conn *conn;
	uint64_t age_ms, idle_ms;
	uint64_t bytes_in, bytes_out;
	bool has_tls; /* `tls` is set */
	struct tls_stream_facts tls;
	const struct target *target; /* NULL: none now */
	bool has_target_tls;
	struct tls_stream_facts target_tls;
};

void conn_facts(const struct conn *conn, struct conn_facts *ret_facts);

#endif
