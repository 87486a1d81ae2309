/* A worker's own things: see worker.h. */
#include "proxy/worker.h"
#include "proxy/conn.h"
#include "proxy/conn_terms.h"
#include "proxy/exchange.h"
#include "proxy/peek.h"
#include "proxy/route.h"
#include "proxy/tunnel.h"
#include "proxy/upstream_h2.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>

enum {
	KEEP_CONNS = 4096,
	KEEP_EXCHANGES = 256,
	KEEP_TUNNELS = 1024,
	KEEP_UPSTREAMS = 1024,
	KEEP_SESSIONS = 256,
};

int proxy_worker_init(struct proxy_worker *worker, struct proxy_node *node, uint32_t index)
{
	int r;

	*worker = (struct proxy_worker){.node = node};
	r = iothread_init(&worker->io, index);
	if (r < 0)
		return r;
	worker->tls = tls_thread_new(&worker->io);
	if (!worker->tls) {
		iothread_fini(&worker->io);
		*worker = (struct proxy_worker){0};
		return -ENOMEM;
	}
	r = h2_thread_init(&worker->h2, &worker->io);
	if (r < 0) {
		tls_thread_free(worker->tls);
		iothread_fini(&worker->io);
		*worker = (struct proxy_worker){0};
		return r;
	}
	worker->peek_bytes = mem_alloc(PEEK_BYTES_MAX);
	worker->request_headers = mem_alloc(PROXY_HEADERS_MAX * sizeof(struct http_header));
	worker->response_headers = mem_alloc(PROXY_HEADERS_MAX * sizeof(struct http_header));
	worker->route_text = mem_alloc(ROUTE_TEXT_BYTES);
	worker->told_text = mem_alloc((size_t)2 * TOLD_TEXT_BYTES);
	pool_init(&worker->conns, sizeof(struct conn), KEEP_CONNS);
	pool_init(&worker->exchanges, exchange_bytes(), KEEP_EXCHANGES);
	pool_init(&worker->tunnels, sizeof(struct tunnel), KEEP_TUNNELS);
	pool_init(&worker->upstreams, sizeof(struct upstream), KEEP_UPSTREAMS);
	pool_init(&worker->sessions, upstream_session_bytes(), KEEP_SESSIONS);
	list_init(&worker->open);
	list_init(&worker->walks);
	list_init(&worker->upstreams_open);
	conn_terms_init(worker);
	overload_init(worker);
	pipes_init(&worker->pipes, &node->files_max);
	return 0;
}

void proxy_worker_fini(struct proxy_worker *worker)
{
	upstream_close_all(worker);
	conn_terms_fini(worker);
	overload_fini(worker);
	pipes_fini(&worker->pipes);
	/* The loop first: it frees the streams that were closed last into the pools of the others. */
	iothread_fini(&worker->io);
	tls_thread_free(worker->tls);
	h2_thread_fini(&worker->h2);
	pool_fini(&worker->conns);
	pool_fini(&worker->exchanges);
	pool_fini(&worker->tunnels);
	pool_fini(&worker->upstreams);
	pool_fini(&worker->sessions);
	free(worker->peek_bytes);
	free(worker->request_headers);
	free(worker->response_headers);
	free(worker->route_text);
	free(worker->told_text);
}
