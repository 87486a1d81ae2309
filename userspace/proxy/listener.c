/* Listeners, their sockets and statistics: see listener.h. */
#include "proxy/listener.h"
#include "core/mem.h"
#include "gate/policy.h"
#include "net/socket.h"
#include "proxy/accesslog.h"
#include "proxy/rules.h"
#include "tls/server.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { BACKLOG = 4096, DEFER_S = 5 };

static void stats_free(struct shared *shared)
{
	struct listener_stats *stats = container_of(shared, struct listener_stats, shared);

	free(stats->workers);
	free(stats->now);
	free(stats->name);
	shared_fini(shared);
	free(stats);
}

struct listener_stats *listener_stats_new(const char *name, uint32_t id, uint32_t n_workers)
{
	struct listener_stats *stats = aligned_alloc(CACHE_LINE, sizeof(*stats));
	size_t bytes = (n_workers + 1) * sizeof(*stats->workers);

	if (!stats)
		abort();
	memset(stats, 0, sizeof(*stats));
	shared_init(&stats->shared, n_workers, stats_free);
	stats->name = mem_strdup(name);
	stats->id = id;
	stats->workers = aligned_alloc(CACHE_LINE, bytes);
	if (!stats->workers)
		abort();
	memset(stats->workers, 0, bytes);
	stats->now = mem_zalloc(n_workers * sizeof(*stats->now));
	return stats;
}

static void socket_free(struct shared *shared)
{
	struct listener_socket *sock = container_of(shared, struct listener_socket, shared);
	uint32_t i;

	for (i = 0; i < sock->n_fds; i++)
		close(sock->fds[i]);
	shared_fini(shared);
	free(sock);
}

int listener_socket_new(const union addr *addr, uint32_t id, bool defers, uint32_t n_workers,
	struct listener_socket **ret_socket, struct err *err)
{
	struct listener_socket *sock = mem_zalloc(sizeof(*sock) + n_workers * sizeof(int));
	int fd;

	shared_init(&sock->shared, n_workers, socket_free);
	sock->addr = *addr;
	sock->id = id;
	sock->defers = defers;
	while (sock->n_fds < n_workers) {
		fd = socket_listen(addr, BACKLOG, defers ? DEFER_S : 0, err);
		if (fd < 0) {
			shared_put(&sock->shared);
			return fd;
		}
		sock->fds[sock->n_fds++] = fd;
	}
	*ret_socket = sock;
	return 0;
}

void listener_socket_adopt(const union addr *addr, uint32_t id, bool defers, uint32_t n_workers,
	const int *fds, uint32_t n_fds, struct listener_socket **ret_socket)
{
	uint32_t room = n_fds > n_workers ? n_fds : n_workers;
	struct listener_socket *sock = mem_zalloc(sizeof(*sock) + room * sizeof(int));

	shared_init(&sock->shared, n_workers, socket_free);
	sock->addr = *addr;
	sock->id = id;
	sock->defers = defers;
	sock->n_fds = n_fds;
	memcpy(sock->fds, fds, n_fds * sizeof(int));
	*ret_socket = sock;
}

int listener_socket_complete(struct listener_socket *sock, uint32_t n_workers, struct err *err)
{
	int fd;

	while (sock->n_fds < n_workers) {
		fd = socket_listen(&sock->addr, BACKLOG, sock->defers ? DEFER_S : 0, err);
		if (fd < 0)
			return fd;
		sock->fds[sock->n_fds++] = fd;
	}
	return 0;
}

void listener_socket_leave(struct listener_socket *sock)
{
	while (sock->n_fds)
		close(sock->fds[--sock->n_fds]);
}

static void listener_free(struct shared *shared)
{
	struct listener *listener = container_of(shared, struct listener, shared);
	struct listener_spec *spec = &listener->spec;
	uint32_t i;

	if (spec->tls)
		tls_server_put(spec->tls);
	if (spec->policy)
		shared_put(&spec->policy->shared);
	for (i = 0; i < spec->n_route_groups; i++)
		target_group_put(spec->route_groups[i]);
	free(spec->route_groups);
	target_group_put(spec->group);
	rules_free(spec->rules);
	if (spec->access)
		shared_put(&spec->access->shared);
	shared_put(&spec->stats->shared);
	free(spec->sockets);
	tls_headers_fini(&spec->tls_headers);
	free((char *)spec->http.alt_svc.ptr);
	free((char *)spec->name);
	shared_fini(shared);
	free(listener);
}

struct listener *listener_new(const struct listener_spec *spec)
{
	struct listener *listener = mem_zalloc(sizeof(*listener));
	size_t bytes = spec->n_sockets * sizeof(*spec->sockets);
	size_t route_bytes = spec->n_route_groups * sizeof(*spec->route_groups);
	uint32_t i;

	shared_init(&listener->shared, spec->n_workers, listener_free);
	listener->spec = *spec;
	listener->spec.name = mem_strdup(spec->name);
	listener->spec.http.alt_svc.ptr =
		spec->http.alt_svc.len ? mem_strndup(spec->http.alt_svc.ptr, spec->http.alt_svc.len)
				       : NULL;
	tls_headers_copy(&spec->tls_headers, &listener->spec.tls_headers);
	listener->spec.sockets = memcpy(mem_alloc(bytes), spec->sockets, bytes);
	if (spec->tls)
		tls_server_get(spec->tls);
	if (spec->policy)
		shared_get(&spec->policy->shared);
	if (spec->access)
		shared_get(&spec->access->shared);
	listener->spec.route_groups = mem_alloc(route_bytes + 1);
	for (i = 0; i < spec->n_route_groups; i++) {
		listener->spec.route_groups[i] = spec->route_groups[i];
		shared_get(&spec->route_groups[i]->shared);
	}
	shared_get(&spec->group->shared);
	shared_get(&spec->stats->shared);
	return listener;
}
