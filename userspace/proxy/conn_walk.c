/* Looking at a worker's open connections: see conn_walk.h. */
#include "proxy/conn_walk.h"
#include "proxy/exchange.h"
#include "proxy/tunnel.h"

void conn_walk_begin(struct conn_walk *walk, struct proxy_worker *worker)
{
	*walk = (struct conn_walk){
		.worker = worker,
		.next = worker->open.next,
		.before_id = conn_id_make(worker->conns_made, worker->io.worker),
	};
	list_add_tail(&worker->walks, &walk->link);
}

struct conn *conn_walk_next(struct conn_walk *walk)
{
	struct conn *conn;

	if (walk->next == &walk->worker->open)
		return NULL;
	conn = container_of(walk->next, struct conn, link);
	if (conn->id >= walk->before_id)
		return NULL;
	walk->next = walk->next->next;
	return conn;
}

void conn_walk_end(struct conn_walk *walk)
{
	list_del(&walk->link);
}

void conn_walks_leave(struct conn *conn)
{
	struct list *link;

	list_for_each(link, &conn->worker->walks) {
		struct conn_walk *walk = container_of(link, struct conn_walk, link);

		if (walk->next == &conn->link)
			walk->next = conn->link.next;
	}
}

const char *conn_state_name(enum conn_state state)
{
	static const char *const names[] = {
		[CONN_PEEK] = "peek",
		[CONN_HANDSHAKE] = "handshake",
		[CONN_IDLE] = "idle",
		[CONN_EXCHANGE] = "request",
		[CONN_HTTP2] = "http2",
		[CONN_TUNNEL] = "tunnel",
		[CONN_LINGER] = "linger",
		[CONN_CLOSED] = "closed",
	};

	return names[state];
}

static const struct upstream *upstream_of(const struct conn *conn)
{
	if (conn->exchange)
		return exchange_upstream(conn->exchange);
	return conn->tunnel ? conn->tunnel->upstream : NULL;
}

/* True: it is a TLS stream. */
static bool tls_facts(const struct stream *stream, struct tls_stream_facts *ret_facts)
{
	if (!stream || stream->ops->is_plain)
		return false;
	tls_stream_facts(stream, ret_facts);
	return true;
}

void conn_facts(const struct conn *conn, struct conn_facts *ret_facts)
{
	const struct upstream *upstream = upstream_of(conn);
	uint64_t now_ms = loop_now_ms(conn->worker->io.loop);

	*ret_facts = (struct conn_facts){
		.conn = conn,
		.age_ms = now_ms - conn->accepted_ms,
		.idle_ms = now_ms - conn->active_ms,
		.bytes_in = conn->front ? conn->front->bytes_in : 0,
		.bytes_out = conn->front ? conn->front->bytes_out : 0,
		.target = upstream ? upstream->target : NULL,
	};
	ret_facts->has_tls = tls_facts(conn->front, &ret_facts->tls);
	ret_facts->has_target_tls =
		tls_facts(upstream ? upstream_connection(upstream) : NULL, &ret_facts->target_tls);
}
