/* The admin API: its sockets and clients coming. See admin.h, admin_conn.h. */
#include "control/admin_conn.h"

#include "core/mem.h"
#include "net/socket.h"
#include "tls/server.h"
#include "tls/stream.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define LOG_MODULE "admin"
#include "core/log.h"

enum {
	ACCEPT_PAUSE_MS = 1000,
	BACKLOG = 64,
	/* Over TCP anybody may come: so many handshakes or heads at most are what the control thread
	 * has time for; the others wait in the kernel. */
	PACE_MS = 100,
	METRICS_PACE_MS = 1000, /* the whole text is made for each */
	PACE_CONNECTIONS = 10,
	REMOTE_CONNECTIONS_MAX = 32, /* a browser opens several */
};

static uint32_t connections_max(const struct admin *admin)
{
	return admin->kind == ADMIN_REMOTE ? REMOTE_CONNECTIONS_MAX : ADMIN_CONNECTIONS_MAX;
}

/* Strangers must not use up the room: of those who have not shown who they are the one that has been
 * at what it does for longest goes. */
static bool make_room(struct admin *admin)
{
	struct admin_conn *conn, *longest = NULL;
	struct list *link;

	list_for_each(link, &admin->conns) {
		conn = container_of(link, struct admin_conn, link);
		if (!conn->is_known && conn->state != ADMIN_CONN_LINGERING &&
			(!longest || conn->since_ms < longest->since_ms))
			longest = conn;
	}
	if (longest)
		admin_conn_close(longest);
	return longest;
}

static bool is_full(struct admin *admin)
{
	if (admin->n_conns - admin->n_lingering < connections_max(admin))
		return false;
	return admin->kind == ADMIN_LOCAL || !make_room(admin);
}

/* Above the limit a client is told so; above twice the limit there is no memory even for that. One that
 * would have to shake hands first is not. */
static void welcome(struct admin *admin, int fd)
{
	static const struct admin_refusal full = {503, "too_many_connections",
		"too many clients are connected: close one and try again", false};
	bool has_no_room = is_full(admin);
	struct admin_conn *conn;
	int rc;

	if (admin->n_conns >= 2 * connections_max(admin) ||
		(has_no_room && admin->kind == ADMIN_REMOTE)) {
		close(fd);
		return;
	}
	rc = admin_conn_new(admin, fd, &conn);
	if (rc)
		log_warn("%s: a client cannot be served: %s", admin->name, strerror(-rc));
	else if (has_no_room)
		admin_conn_refuse(conn, &full);
}

/* --- listening */

static void stop_listening(struct admin *admin)
{
	uint32_t i;

	for (i = 0; i < admin->n_doors; i++)
		loop_del(admin->io->loop, &admin->doors[i].watch);
}

static void accept_ready(struct watch *watch, uint32_t events);

static int start_listening(struct admin *admin)
{
	uint32_t i;
	int r;

	for (i = 0; i < admin->n_doors; i++) {
		admin->doors[i].watch.ready = accept_ready;
		r = loop_add_level(admin->io->loop, &admin->doors[i].watch);
		if (r < 0) {
			stop_listening(admin);
			return r;
		}
	}
	return 0;
}

static void pause_listening(struct admin *admin, uint32_t pause_ms)
{
	stop_listening(admin);
	timer_set(admin->io->loop, &admin->accept_again, pause_ms);
}

static void accept_again(struct timer *timer)
{
	struct admin *admin = container_of(timer, struct admin, accept_again);

	if (start_listening(admin))
		timer_set(admin->io->loop, timer, ACCEPT_PAUSE_MS);
}

static void keep_pace(struct admin *admin)
{
	uint32_t span_ms = admin->kind == ADMIN_METRICS ? METRICS_PACE_MS : PACE_MS;
	uint64_t now_ms = loop_now_ms(admin->io->loop);

	if (now_ms - admin->accepted_since_ms >= span_ms) {
		admin->accepted_since_ms = now_ms;
		admin->n_accepted = 0;
	}
	if (++admin->n_accepted >= PACE_CONNECTIONS)
		pause_listening(admin, span_ms);
}

/* The sockets are level triggered: an error that stays (no descriptors left) pauses them. */
static void accept_ready(struct watch *watch, uint32_t events)
{
	struct admin *admin = container_of(watch, struct admin_door, watch)->admin;
	int fd;

	if (timer_is_set(&admin->accept_again))
		return; /* another one's event of this turn */
	fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd >= 0) {
		welcome(admin, fd);
		if (admin->kind != ADMIN_LOCAL)
			keep_pace(admin);
	} else if (errno != EAGAIN && errno != ECONNABORTED && errno != EINTR) {
		log_warn(
			"%s: cannot accept clients for a second: %s", admin->name, strerror(errno));
		pause_listening(admin, ACCEPT_PAUSE_MS);
	}
}

/* --- access */

/* Who holds another certificate, or none any more, must not go on. */
static void judge_again(struct admin_conn *conn, bool is_tighter)
{
	struct tls_stream_facts facts;
	enum admin_role before = conn->known.role;

	if (conn->state == ADMIN_CONN_HANDSHAKE) { /* with the old server */
		conn->closing = is_tighter;
		return;
	}
	tls_stream_facts(conn->front, &facts);
	admin_access_judge_cert(conn->admin->access, facts.peer, &conn->by_cert);
	if (conn->known.token_sha256[0])
		admin_access_judge_again(conn->admin->access, &conn->known);
	else
		conn->known = conn->by_cert;
	if (conn->known.role < before || (is_tighter && facts.peer))
		conn->closing = true;
}

static void end_if_closing(struct admin_conn *conn)
{
	if (conn->closing && conn->state != ADMIN_CONN_ANSWERING &&
		conn->state != ADMIN_CONN_WRITING && conn->state != ADMIN_CONN_LINGERING)
		admin_conn_close(conn);
}

void admin_set_access(struct admin *admin, struct admin_access *access)
{
	struct admin_access *old = admin ? admin->access : NULL;
	struct list *link, *next;
	struct admin_conn *conn;
	bool is_tighter;

	if (!admin || access == old)
		return;
	is_tighter =
		tls_server_is_tighter(admin_access_server(old), admin_access_server(access)) ||
		tls_server_is_another_auth(admin_access_server(old), admin_access_server(access));
	admin->access = admin_access_get(access);
	for (link = admin->conns.next; link != &admin->conns; link = next) {
		next = link->next;
		conn = container_of(link, struct admin_conn, link);
		judge_again(conn, is_tighter);
		end_if_closing(conn);
	}
	admin_access_put(old);
}

/* --- life */

static void add_door(struct admin *admin, int fd)
{
	struct admin_door *door = &admin->doors[admin->n_doors++];

	*door = (struct admin_door){{.fd = fd}, admin};
}

static void close_doors(struct admin *admin)
{
	uint32_t i;

	if (admin->kind == ADMIN_LOCAL) {
		admin_socket_close(&admin->socket);
		return;
	}
	for (i = 0; i < admin->n_doors; i++)
		close(admin->doors[i].watch.fd);
}

static int open_doors(struct admin *admin, const struct admin_spec *spec, struct err *err)
{
	uint32_t i;
	int fd;

	if (admin->kind == ADMIN_LOCAL) {
		fd = admin_socket_open(&admin->socket, spec->socket_path, err);
		if (fd < 0)
			return fd;
		add_door(admin, admin->socket.fd);
		return 0;
	}
	for (i = 0; i < spec->n_addresses && i < ADMIN_ADDRESSES_MAX; i++) {
		fd = spec->may_share ? 0 : socket_probe(&spec->addresses[i], err);
		if (fd == 0)
			fd = socket_listen(&spec->addresses[i], BACKLOG, 0, err);
		if (fd < 0) {
			close_doors(admin);
			return err_context(err, fd, "%s", admin->name);
		}
		add_door(admin, fd);
	}
	return 0;
}

int admin_new(struct iothread *io, const struct admin_spec *spec, struct admin **ret_admin,
	struct err *err)
{
	struct admin *admin = mem_zalloc(sizeof(*admin));
	int rc;

	list_init(&admin->conns);
	admin->io = io;
	admin->kind = spec->kind;
	admin->name = spec->kind == ADMIN_LOCAL ? spec->socket_path : spec->setting;
	admin->tls = spec->tls;
	admin->source = spec->source;
	admin->arg = spec->arg;
	admin->idle_ms = spec->idle_ms ? spec->idle_ms : ADMIN_IDLE_MS;
	admin->accept_again.fire = accept_again;
	rc = open_doors(admin, spec, err);
	if (rc < 0)
		goto fail;
	rc = start_listening(admin);
	if (rc < 0) {
		err_set(err, rc, "%s: %s", admin->name, strerror(-rc));
		goto fail_doors;
	}
	if (spec->access)
		admin->access = admin_access_get(spec->access);
	*ret_admin = admin;
	return 0;

fail_doors:
	close_doors(admin);
fail:
	free(admin);
	return rc;
}

void admin_leave(struct admin *admin)
{
	if (!admin)
		return;
	stop_listening(admin);
	timer_clear(&admin->accept_again);
	close_doors(admin);
	admin->n_doors = 0;
}

int admin_return(struct admin *admin, struct err *err)
{
	struct admin_spec spec = {.socket_path = admin->name};
	int r = open_doors(admin, &spec, err);

	if (r == 0)
		r = start_listening(admin);
	return r;
}

static void free_admin(struct task *task)
{
	free(container_of(task, struct admin, free_task));
}

void admin_free(struct admin *admin)
{
	struct admin_conn *conn;

	if (!admin)
		return;
	while (!list_is_empty(&admin->conns)) {
		conn = container_of(admin->conns.next, struct admin_conn, link);
		admin_stream_finish_now(conn);
		admin_conn_close(conn);
	}
	stop_listening(admin);
	timer_clear(&admin->accept_again);
	close_doors(admin);
	admin_access_put(admin->access);
	admin->free_task.run = free_admin;
	loop_defer(admin->io->loop, &admin->free_task);
}
