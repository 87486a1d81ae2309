/*
 * What the tests of proxy/ share: one worker with its loop, run turn by turn by the test, targets
 * that are listening sockets of the test, and peers: the test's ends of connections, read without
 * blocking. Nothing here sleeps: WAIT() runs turns until a condition holds or a deadline is over.
 */
#ifndef SLUICE_TESTS_UNIT_PROXY_RIG_H
#define SLUICE_TESTS_UNIT_PROXY_RIG_H

#include "core/clock.h"
#include "core/mem.h"
#include "net/socket.h"
#include "proxy/conn.h"
#include "proxy/exchange.h"
#include "proxy/frontend.h"
#include "proxy/tunnel.h"
#include "proxy/upstream.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { RIG_DEADLINE_MS = 5000, RIG_TARGETS_MAX = 4, PEER_BYTES = 4 << 20 };

struct peer {
	int fd;
	size_t len;
	bool ended; /* a FIN came */
	bool reset; /* a RST came */
	char *data; /* what was read, NUL behind it */
};

struct rig {
	struct proxy_node node;
	struct proxy_worker worker;
	int turns;
	int front_fd;
	union addr front_addr;
	struct target *targets[RIG_TARGETS_MAX];
	int target_fds[RIG_TARGETS_MAX]; /* -1: nobody listens */
	struct target_member members[RIG_TARGETS_MAX];
	struct group_spec group_spec;
	struct listener_spec listener_spec;
	struct listener_socket *no_sockets[1]; /* connections are accepted by the test */
	struct listener_stats *stats;
	struct target_group *group;
	struct listener *listener;
};

static inline int rig_listen(union addr *ret_addr)
{
	struct err err = {""};
	int fd;

	assert_int_equal(addr_parse("127.0.0.1:0", ret_addr), 0);
	fd = socket_listen(ret_addr, 64, 0, &err);
	assert_true(fd >= 0);
	assert_int_equal(socket_local_addr(fd, ret_addr), 0);
	return fd;
}

/* Two turns: the first takes the wake-up that ended the ones before. */
static inline void rig_turn_end(void *arg)
{
	struct rig *rig = arg;

	if (++rig->turns >= 2)
		loop_stop(rig->worker.io.loop);
}

static inline void rig_turn(struct rig *rig)
{
	rig->turns = 0;
	loop_run(rig->worker.io.loop);
}

/* One turn, which does not wait: what was sent on loopback is there already. */
static inline void rig_step(struct rig *rig)
{
	rig->turns = 1;
	loop_run(rig->worker.io.loop);
}

/* A worker and `n` healthy targets; the specs may be changed before rig_serve(). */
static inline void rig_init(struct rig *rig, uint32_t n)
{
	union addr addr;
	uint32_t i;

	signal(SIGPIPE, SIG_IGN);
	*rig = (struct rig){.turns = 0};
	assert_int_equal(proxy_worker_init(&rig->worker, &rig->node, 0), 0);
	loop_hooks_set(rig->worker.io.loop,
		&(struct loop_hooks){.turn_end = rig_turn_end, .arg = rig, .max_wait_ms = 1});
	rig->front_fd = rig_listen(&rig->front_addr);
	for (i = 0; i < n; i++) {
		rig->target_fds[i] = rig_listen(&addr);
		rig->targets[i] = target_new("group", NULL, &addr, i, 1);
		atomic_store(&rig->targets[i]->health, TARGET_HEALTHY);
		rig->members[i] = (struct target_member){rig->targets[i], 1};
	}
	rig->stats = listener_stats_new("listener", 0, 1);
	rig->group_spec = (struct group_spec){
		.name = "group",
		.connect_ms = RIG_DEADLINE_MS,
		.response_ms = RIG_DEADLINE_MS,
		.pool_per_worker = 8,
		.pool_idle_ms = RIG_DEADLINE_MS,
		.retry = {.attempts = 2, .budget_per_second = 10},
		.members = rig->members,
		.n_members = n,
		.n_workers = 1,
	};
	rig->listener_spec = (struct listener_spec){
		.name = "listener",
		.protocol = LISTEN_HTTP,
		.http = {.upgrades = true,
			.limits = H1_LIMITS_DEFAULT,
			.desync = DESYNC_DEFENSIVE,
			.x_forwarded_for = HTTP_FORWARDED_REMOVE,
			.x_forwarded_proto = HTTP_FORWARDED_PROTO_REMOVE},
		.stats = rig->stats,
		.sockets = rig->no_sockets,
		.handshake_ms = RIG_DEADLINE_MS,
		.header_ms = RIG_DEADLINE_MS,
		.request_body_ms = RIG_DEADLINE_MS,
		.idle_ms = RIG_DEADLINE_MS,
		.keep_alive_ms = RIG_DEADLINE_MS,
		.n_workers = 1,
	};
}

static inline void rig_serve(struct rig *rig)
{
	rig->group = target_group_new(&rig->group_spec);
	rig->listener_spec.group = rig->group;
	rig->listener = listener_new(&rig->listener_spec);
}

/* Puts another generation in force, as a reload does: the specs as they are now. */
static inline void rig_reload(struct rig *rig)
{
	struct listener *old = rig->listener;
	struct target_group *old_group = rig->group;

	rig_serve(rig);
	listener_set_current(rig->listener, 0, ++rig->worker.generation);
	shared_put(&old->shared);
	target_group_put(old_group);
}

/* Closes everything and asserts that nothing is left: memory, counts, holds. */
static inline void rig_fini(struct rig *rig)
{
	struct proxy_worker *worker = &rig->worker;
	uint32_t i;

	conn_close_all(worker, CLOSE_shutdown);
	rig_turn(rig);
	upstream_close_all(worker);
	rig_turn(rig);
	assert_int_equal(worker->conns.used, 0);
	assert_int_equal(worker->exchanges.used, 0);
	assert_int_equal(worker->tunnels.used, 0);
	assert_int_equal(worker->upstreams.used, 0);
	assert_int_equal(worker->io.plain_streams.used, 0);
	assert_int_equal(worker->io.bufs.tiny.used, 0);
	assert_int_equal(worker->io.bufs.small.used, 0);
	assert_int_equal(worker->io.bufs.large.used, 0);
	assert_int_equal(atomic_load(&rig->node.open), 0);
	assert_int_equal(atomic_load(&rig->stats->open), 0);
	shared_put(&rig->listener->shared);
	target_group_put(rig->group);
	assert_int_equal(atomic_load(&rig->stats->shared.refs), 1);
	shared_put(&rig->stats->shared);
	for (i = 0; i < RIG_TARGETS_MAX && rig->targets[i]; i++) {
		assert_int_equal(atomic_load(&rig->targets[i]->outstanding), 0);
		assert_int_equal(rig->targets[i]->workers[0].n_open, 0);
		assert_int_equal(rig->targets[i]->workers[0].n_idle, 0);
		assert_int_equal(atomic_load(&rig->targets[i]->shared.refs), 1);
		target_put(rig->targets[i]);
		if (rig->target_fds[i] >= 0)
			close(rig->target_fds[i]);
	}
	close(rig->front_fd);
	proxy_worker_fini(worker);
}

#define WAIT(rig, condition)                                                                       \
	do {                                                                                       \
		uint64_t wait_until_ms_ = clock_mono_ms() + RIG_DEADLINE_MS;                       \
		while (!(condition)) {                                                             \
			if (clock_mono_ms() > wait_until_ms_)                                      \
				fail_msg("not in time: %s", #condition);                           \
			rig_turn(rig);                                                             \
		}                                                                                  \
	} while (0)

static inline uint64_t rig_reason(const struct rig *rig, enum close_reason reason)
{
	return rig->stats->workers[0].reasons[reason];
}

/* --- peers */

static inline struct peer peer_of(int fd)
{
	assert_true(fd >= 0);
	return (struct peer){.fd = fd, .data = calloc(1, PEER_BYTES)};
}

static inline void peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

static inline void peer_fini(struct peer *peer)
{
	peer_close(peer);
	free(peer->data);
}

static inline void peer_abort(struct peer *peer)
{
	struct linger linger = {.l_onoff = 1};

	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	peer_close(peer);
}

/* Forgets what was read. */
static inline void peer_clear(struct peer *peer)
{
	peer->len = 0;
	peer->data[0] = '\0';
}

/* Reads what is there. */
static inline struct peer *peer_read(struct peer *peer)
{
	ssize_t got;

	while (!peer->ended && !peer->reset) {
		assert_true(peer->len < PEER_BYTES - 1);
		got = recv(
			peer->fd, peer->data + peer->len, PEER_BYTES - 1 - peer->len, MSG_DONTWAIT);
		if (got < 0 && errno == EAGAIN)
			break;
		if (got < 0)
			peer->reset = true;
		else if (got == 0)
			peer->ended = true;
		else
			peer->len += (size_t)got;
	}
	peer->data[peer->len] = '\0';
	return peer;
}

static inline bool peer_has(struct peer *peer, const char *text)
{
	return strstr(peer_read(peer)->data, text) != NULL;
}

static inline bool peer_got(struct peer *peer, const char *text)
{
	return peer_read(peer)->len >= strlen(text);
}

static inline bool peer_over(struct peer *peer)
{
	return peer_read(peer)->ended || peer->reset;
}

static inline void peer_send_bytes(struct peer *peer, const void *bytes, size_t len)
{
	assert_int_equal(send(peer->fd, bytes, len, MSG_NOSIGNAL), len);
}

static inline void peer_send(struct peer *peer, const char *text)
{
	peer_send_bytes(peer, text, strlen(text));
}

/* A blocking socket connected to the front; the daemon's end becomes a connection. */
static inline struct peer rig_client(struct rig *rig)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), accepted;
	union addr client;

	assert_int_equal(connect(fd, &rig->front_addr.any, addr_len(&rig->front_addr)), 0);
	assert_int_equal(
		poll(&(struct pollfd){.fd = rig->front_fd, .events = POLLIN}, 1, RIG_DEADLINE_MS),
		1);
	accepted = socket_accept(rig->front_fd, &client);
	assert_true(accepted >= 0);
	conn_new(&rig->worker, rig->listener, accepted, &client, &rig->front_addr);
	return peer_of(fd);
}

static inline int rig_try_accept(struct rig *rig, uint32_t target)
{
	return accept4(rig->target_fds[target], NULL, NULL, SOCK_CLOEXEC);
}

/* The next connection that the worker makes to a target. */
static inline struct peer rig_accept(struct rig *rig, uint32_t target)
{
	int fd = -1;

	WAIT(rig, (fd = rig_try_accept(rig, target)) >= 0);
	return peer_of(fd);
}

static inline struct conn *rig_conn(struct rig *rig)
{
	assert_false(list_is_empty(&rig->worker.open));
	return container_of(rig->worker.open.next, struct conn, link);
}

/* Of this process; more than before means that something was not closed. */
static inline int rig_open_files(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int n = 0;

	assert_non_null(folder);
	while (readdir(folder))
		n++;
	closedir(folder);
	return n;
}

#endif
