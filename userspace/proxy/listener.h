/*
 * Listeners: what is served on which addresses. Three objects, because they change at different
 * times: the sockets (bound once, kept while some snapshot names the address), the statistics
 * (kept while a listener of that name exists), and the listener itself, immutable. The control
 * thread makes and drops them; workers hold listeners per connection and write their own rows.
 */
#ifndef SLUICE_PROXY_LISTENER_H
#define SLUICE_PROXY_LISTENER_H

#include "core/err.h"
#include "core/shared.h"
#include "net/addr.h"
#include "proxy/accesslog_line.h"
#include "proxy/group.h"
#include "proxy/http_terms.h"
#include "proxy/listener_counts.h"
#include "proxy/listener_terms.h"
#include "proxy/tls_headers.h"
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

struct accesslog_output;
struct gate_policy;
struct tls_server;

enum listener_protocol { LISTEN_HTTP, LISTEN_HTTPS, LISTEN_TLS, LISTEN_TCP };
enum proxy_in { PROXY_IN_OFF, PROXY_IN_ACCEPT, PROXY_IN_REQUIRE };

struct listener;

/* The listener of a name in the snapshot a worker goes by; that worker only. */
struct listener_now {
	struct listener *listener;
	uint64_t generation; /* of the snapshot: valid in that one only */
	uint64_t epoch; /* of its terms */
};

struct listener_stats {
	struct shared shared;
	char *name;
	uint32_t id; /* row of the packet plane's limits and counters */
	atomic_uint open cache_aligned; /* connections now, all workers */
	struct listener_counts
		*workers; /* and one more: the control thread's, of other processes */
	struct listener_now *now; /* per worker */
};

/* One address: a listening socket per worker, all in one SO_REUSEPORT group. */
struct listener_socket {
	struct shared shared;
	union addr addr;
	uint32_t id; /* row of the packet plane's listeners map */
	bool defers; /* TCP_DEFER_ACCEPT is on */
	uint32_t n_fds;
	int fds[]; /* of worker index % workers: there are more than workers where another process had more */
};

struct listener_spec {
	const char *name;
	struct listener_terms terms;
	enum listener_protocol protocol;
	enum proxy_in proxy_in;
	struct http_terms http; /* http, https; alt_svc is copied */
	bool http2; /* http, https: offered to clients */
	struct accesslog_output *access; /* http, https: NULL: no log; a count is taken */
	enum accesslog_format access_format;
	struct tls_headers tls_headers; /* http, https; the names are copied */
	struct tls_server *tls; /* https, tls */
	/* Whom it lets in; NULL: everybody. Judged by the gate, or after accept. A count is taken. */
	struct gate_policy *policy;
	struct target_group *group;
	struct rules *rules; /* NULL: all to `group`; taken over */
	/* tcp with a policy: where connections go by server name. The policy's names have indices of
	 * this list; other names go to `group`. The list is copied, a count taken on each. */
	struct target_group **route_groups;
	uint32_t n_route_groups;
	struct listener_stats *stats;
	/* Not counted, valid while the listener is in the snapshot: its connections keep no port open. */
	struct listener_socket **sockets;
	uint32_t n_sockets;
	uint32_t handshake_ms, header_ms, request_body_ms, idle_ms, keep_alive_ms;
	uint32_t lifetime_ms; /* 0: no limit */
	uint32_t drain_ms; /* what is under way may take so long when its connection is to drain */
	uint32_t max_connections, max_requests_per_connection; /* 0: no limit */
	uint64_t max_body_bytes; /* 0: no limit */
	uint32_t n_workers;
};

struct listener {
	struct shared shared;
	struct listener_spec spec; /* own copies and counts */
};

struct listener *listener_new(const struct listener_spec *spec);
struct listener_stats *listener_stats_new(const char *name, uint32_t id, uint32_t n_workers);
/* Binds and listens, one socket per worker. */
int listener_socket_new(const union addr *addr, uint32_t id, bool defers, uint32_t n_workers,
	struct listener_socket **ret_socket, struct err *err) must_check;

/* The same of sockets that another process made, `n_fds` of them, which are taken over. Where there are
 * fewer than workers the others are missing until listener_socket_complete(), which nobody may see; where
 * there are more, they are shared out: none is closed that a client may wait on. */
void listener_socket_adopt(const union addr *addr, uint32_t id, bool defers, uint32_t n_workers,
	const int *fds, uint32_t n_fds, struct listener_socket **ret_socket);
int listener_socket_complete(
	struct listener_socket *sock, uint32_t n_workers, struct err *err) must_check;
/* Another process has them: lets go of them. When no worker has them in its loop any more. */
void listener_socket_leave(struct listener_socket *sock);

static inline struct listener_counts *listener_counts(
	const struct listener *listener, uint32_t worker)
{
	return &listener->spec.stats->workers[worker];
}

/* A worker has picked up the snapshot `generation`, which has this listener. True: its terms are
 * others than in the one before. */
static inline bool listener_set_current(
	struct listener *listener, uint32_t worker, uint64_t generation)
{
	struct listener_now *now = &listener->spec.stats->now[worker];
	uint64_t before = now->epoch;

	*now = (struct listener_now){listener, generation, listener->spec.terms.epoch};
	return now->epoch != before;
}

/* NULL: the listener was removed. */
static inline struct listener *listener_current(
	const struct listener_stats *stats, uint32_t worker, uint64_t generation)
{
	const struct listener_now *now = &stats->now[worker];

	return now->generation == generation ? now->listener : NULL;
}

#endif
