/* Giving everything to the next daemon: see upgrade.h. Control thread. */
#define LOG_MODULE "upgrade"
#include "control/upgrade.h"

#include "control/admin_reply.h"
#include "control/apply.h"
#include "control/daemon.h"
#include "control/leaving.h"
#include "control/logs.h"
#include "control/renewal.h"
#include "control/service.h"
#include "control/upgrade_child.h"
#include "control/upgrade_counts.h"
#include "control/upgrade_give.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	HELLO_MS = 5 * 1000,
	PREPARE_MS = 5 * 60 * 1000, /* a hundred thousand certificates are read meanwhile */
	SERVE_MS = 20 * 1000,
	GATE_LOOK_MS = 1,
	REFUSE_MS = 200,
	BACKLOG = 4,
};

enum upgrade_state {
	UPGRADE_IDLE,
	UPGRADE_GREETED,    /* somebody has connected: what does it want? */
	UPGRADE_WAITING,    /* for a reload to end */
	UPGRADE_GIVING,     /* it has all but the gate, and makes itself ready */
	UPGRADE_CLOSING,    /* our gate comes to rest, or ends */
	UPGRADE_HANDED,     /* it begins to serve, we still do */
	UPGRADE_OVER,       /* it serves */
};

struct upgrade {
	struct daemon *daemon;
	char *path;
	struct watch door; /* fd -1: there is none */
	struct watch peer; /* who takes over */
	enum upgrade_state state;
	struct upgrade_message *message;
	struct upgrade_outbox outbox;
	struct upgrade_told told; /* of our counters, to the peer */
	struct timer timer; /* for the present step, or a look at the gate */
	bool gives_gate; /* the peer knows what to do with it */
	uint32_t pid; /* of the peer */
	char peer_version[UPGRADE_NAME_BYTES];
	uint64_t failed;
	char error[UPGRADE_TEXT_BYTES];
	bool owes_reload, owes_stop; /* asked for meanwhile */
	struct watch before; /* the one that we took over from; fd -1: it is gone */
	struct upgrade_child child;
	struct admin_reply *reply; /* who waits for the child; NULL: nobody */
};

char *upgrade_socket_path(const struct config *config)
{
	return config->upgrade.socket_path ? mem_strdup(config->upgrade.socket_path)
					   : mem_printf("%s.upgrade", config->admin.socket_path);
}

bool upgrade_is_on(const struct daemon *daemon)
{
	return daemon->upgrade && daemon->upgrade->state >= UPGRADE_GIVING;
}

/* Whoever asks by a signal hears no answer: it must not be lost. */
bool upgrade_keep_reload(struct daemon *daemon)
{
	struct upgrade *upgrade = daemon->upgrade;

	if (!upgrade_is_on(daemon))
		return false;
	log_info("another process is taking over: who serves then reloads");
	if (upgrade->state != UPGRADE_OVER)
		upgrade->owes_reload = true;
	else if (upgrade->peer.fd >= 0)
		(void)!upgrade_send(upgrade->peer.fd, UPGRADE_RELOAD, NULL, 0, NULL, 0);
	return true;
}

/* --- the program that we started */

static void answer(struct upgrade *upgrade, bool has_failed)
{
	struct admin_reply *reply = upgrade->reply;
	yyjson_mut_doc *doc;
	yyjson_mut_val *root;

	if (!reply)
		return;
	upgrade_child_read(&upgrade->child);
	upgrade->reply = NULL;
	if (has_failed) {
		admin_reply_error(reply, 422, "upgrade_failed", "%s%s%s", upgrade->error,
			upgrade->child.len ? ": " : "", upgrade->child.text);
		return;
	}
	doc = admin_doc_new();
	root = yyjson_mut_doc_get_root(doc);
	yyjson_mut_obj_add_str(doc, root, "state", "serving");
	yyjson_mut_obj_add_uint(doc, root, "pid", upgrade->pid);
	yyjson_mut_obj_add_strcpy(doc, root, "version", upgrade->peer_version);
	yyjson_mut_obj_add_uint(
		doc, root, "connections_left", atomic_load(&upgrade->daemon->node.open));
	admin_reply_finish(reply, 200, doc);
}

/* Before it said who it is, or after it was given up. */
static void child_ended(struct upgrade_child *child, int status)
{
	struct upgrade *upgrade = container_of(child, struct upgrade, child);

	if (upgrade->state == UPGRADE_IDLE)
		timer_clear(&upgrade->timer);
	if (!upgrade->reply || upgrade->state >= UPGRADE_GIVING)
		return;
	snprintf(upgrade->error, sizeof(upgrade->error),
		"the program that was to take over has ended with status %d, this one goes on",
		status);
	log_warn("%s", upgrade->error);
	upgrade->failed++;
	answer(upgrade, true);
}

static bool is_leaving(const struct daemon *daemon)
{
	return daemon->stopping || daemon->leaving.state != LEAVING_NOT;
}

void upgrade_start(struct daemon *daemon, const char *program, struct admin_reply *reply)
{
	struct upgrade *upgrade = daemon->upgrade;
	struct err err;

	if (is_leaving(daemon) || !upgrade || upgrade->door.fd < 0) {
		admin_reply_error(reply, 503, "stopping", "%s",
			is_leaving(daemon) ? "the daemon is stopping"
					   : "there is no socket to take over by (see the log)");
		return;
	}
	if (upgrade->child.pid || upgrade->state != UPGRADE_IDLE) {
		admin_reply_error(reply, 409, "upgrading", "another upgrade is under way");
		return;
	}
	if (upgrade_child_start(&upgrade->child, program, &err) < 0) {
		admin_reply_error(reply, 422, "upgrade_failed", "%s", err.text);
		return;
	}
	log_info("started pid %d, which is to take over", (int)upgrade->child.pid);
	upgrade->reply = reply;
	timer_set(daemon->io.loop, &upgrade->timer, PREPARE_MS);
}

/* --- the other side */

static void hang_up(struct upgrade *upgrade)
{
	timer_clear(&upgrade->timer);
	upgrade_outbox_end(&upgrade->outbox);
	if (upgrade->peer.fd >= 0)
		loop_close(upgrade->daemon->io.loop, &upgrade->peer);
	upgrade->peer.fd = -1;
}

/* It may have prepared itself to serve, but does not. */
static void send_away(struct upgrade *upgrade, const char *why)
{
	const struct timeval patience = {.tv_usec = REFUSE_MS * 1000};
	enum upgrade_state state = upgrade->state;

	if (state == UPGRADE_IDLE || state == UPGRADE_OVER)
		return;
	/* Waits, a little: it must not go on because it has not heard of it. */
	if (fcntl(upgrade->peer.fd, F_SETFL, 0) == 0)
		(void)setsockopt(
			upgrade->peer.fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
	(void)!upgrade_send(upgrade->peer.fd, UPGRADE_REFUSED, why, strlen(why) + 1, NULL, 0);
	hang_up(upgrade);
	upgrade->state = UPGRADE_IDLE;
	if (state >= UPGRADE_GIVING)
		upgrade_give_back(upgrade->daemon, state >= UPGRADE_HANDED);
}

/* We serve on, whatever it has got. */
static void fail(struct upgrade *upgrade, const char *why)
{
	struct daemon *daemon = upgrade->daemon;

	send_away(upgrade, why);
	upgrade->failed++;
	snprintf(upgrade->error, sizeof(upgrade->error),
		"%.200s did not take over (%.200s), this one goes on",
		upgrade->pid ? "another process" : "somebody", why);
	log_warn("pid %u did not take over, this one goes on: %s", upgrade->pid, why);
	/* It may have what is ours: one that hangs must not come back to life with it. */
	if (upgrade_child_is(&upgrade->child, upgrade->pid))
		upgrade_child_signal(&upgrade->child, SIGKILL);
	answer(upgrade, true);
	if (upgrade->owes_stop)
		leaving_go_on(daemon);
	else if (upgrade->owes_reload)
		reload_start(daemon, NULL, NULL);
	upgrade->owes_reload = upgrade->owes_stop = false;
}

bool upgrade_keep_stop(struct daemon *daemon)
{
	struct upgrade *upgrade = daemon->upgrade;

	if (!upgrade)
		return false;
	if (upgrade->state == UPGRADE_CLOSING || upgrade->state == UPGRADE_HANDED) {
		log_info("pid %u is about to serve: this one stops when it does", upgrade->pid);
		upgrade->owes_stop = true;
		return true;
	}
	/* Not connected yet: it would find nobody, and serve when this one has stopped. */
	if (upgrade->state == UPGRADE_IDLE && upgrade->child.pid)
		upgrade_child_signal(&upgrade->child, SIGTERM);
	send_away(upgrade, "it is stopping");
	return false;
}

static void over(struct upgrade *upgrade)
{
	struct daemon *daemon = upgrade->daemon;

	upgrade->state = UPGRADE_OVER;
	timer_clear(&upgrade->timer);
	if (upgrade->pid)
		service_main_pid(upgrade->pid);
	service_fini();
	log_info("pid %u serves from now on, %u connections are left here", upgrade->pid,
		atomic_load(&daemon->node.open));
	answer(upgrade, false);
	if (upgrade->door.fd >= 0)
		loop_close(daemon->io.loop, &upgrade->door); /* its path is the other one's */
	upgrade->door.fd = -1;
	admin_leave(daemon->admin_remote);
	admin_leave(daemon->admin_metrics);
	gates_let_go(daemon->gates);
	dataplane_retire(daemon->dataplane);
	versions_drop_lock(daemon->objects.versions);
	if (daemon->taken)
		upgrade_taken_drop_locks(daemon->taken);
	leaving_hand_over(daemon);
	if (upgrade->owes_reload)
		(void)upgrade_keep_reload(daemon);
	if (!upgrade->owes_stop)
		return;
	leaving_go_on(daemon);
	/* A child of ours is the same service, which is to end. */
	if (upgrade_child_is(&upgrade->child, upgrade->pid))
		upgrade_child_signal(&upgrade->child, SIGTERM);
}

static void look_at_gate(struct upgrade *upgrade)
{
	struct daemon *daemon = upgrade->daemon;

	if (!gates_suspend(daemon->gates, upgrade->gives_gate)) {
		timer_set(daemon->io.loop, &upgrade->timer, GATE_LOOK_MS);
		return;
	}
	upgrade_told_forget(&upgrade->told);
	upgrade_give_rest(daemon, &upgrade->told, &upgrade->outbox);
	upgrade->state = UPGRADE_HANDED;
	timer_set(daemon->io.loop, &upgrade->timer, SERVE_MS);
}

static void give_now(struct upgrade *upgrade)
{
	struct daemon *daemon = upgrade->daemon;

	if (daemon->reload || renewal_is_running(daemon)) {
		if (upgrade->state != UPGRADE_WAITING)
			timer_set(daemon->io.loop, &upgrade->timer, PREPARE_MS);
		upgrade->state = UPGRADE_WAITING;
		return;
	}
	upgrade_give(daemon, upgrade_child_is(&upgrade->child, upgrade->pid), &upgrade->outbox);
	upgrade->state = UPGRADE_GIVING;
	timer_set(daemon->io.loop, &upgrade->timer, PREPARE_MS);
}

static void hear_hello(struct upgrade *upgrade)
{
	struct upgrade_hello hello;

	upgrade_body(upgrade->message, &hello, sizeof(hello));
	upgrade_text_end(hello.version, sizeof(hello.version));
	snprintf(upgrade->peer_version, sizeof(upgrade->peer_version), "%s", hello.version);
	log_info("sluiced %s, pid %u, with %u workers, wants to take over", hello.version,
		upgrade->pid, hello.n_workers);
	give_now(upgrade);
}

static void hear_prepared(struct upgrade *upgrade)
{
	struct upgrade_prepared prepared;

	upgrade_body(upgrade->message, &prepared, sizeof(prepared));
	if (prepared.has_own_maps)
		upgrade_give_slots(upgrade->daemon);
	upgrade->gives_gate = prepared.gate_layout == UPGRADE_GATE_LAYOUT;
	if (!upgrade->gives_gate)
		log_info("its gate is another one: ours is closed before it begins");
	upgrade->state = UPGRADE_CLOSING;
	look_at_gate(upgrade);
}

static void hear(struct upgrade *upgrade)
{
	uint32_t kind = upgrade->message->kind;

	if (kind == UPGRADE_HELLO && upgrade->state == UPGRADE_GREETED)
		hear_hello(upgrade);
	else if (kind == UPGRADE_PREPARED && upgrade->state == UPGRADE_GIVING)
		hear_prepared(upgrade);
	else if (kind == UPGRADE_SERVING && upgrade->state == UPGRADE_HANDED)
		over(upgrade);
	else if (kind == UPGRADE_REOPEN && upgrade->state == UPGRADE_OVER)
		logs_reopen(upgrade->daemon->logs, NULL);
	else if (kind <= UPGRADE_REOPEN)
		fail(upgrade, "it says things out of turn");
}

static void peer_ready(struct watch *watch, uint32_t events)
{
	struct upgrade *upgrade = container_of(watch, struct upgrade, peer);
	int r = 1;

	if (upgrade_outbox_flush(&upgrade->outbox, watch->fd) < 0)
		r = 0;
	while (r == 1 && upgrade->peer.fd >= 0) {
		r = upgrade_recv(watch->fd, upgrade->message);
		if (r == 1)
			hear(upgrade);
		upgrade_message_end(upgrade->message);
	}
	if (upgrade->peer.fd < 0)
		return;
	if (upgrade_outbox_flush(&upgrade->outbox, watch->fd) < 0)
		r = 0;
	if (r == -EAGAIN || r == 1)
		return;
	if (upgrade->state == UPGRADE_OVER)
		hang_up(upgrade); /* it is its own now */
	else
		fail(upgrade, r == 0 ? "it is gone" : strerror(-r));
}

static void time_is_up(struct timer *timer)
{
	struct upgrade *upgrade = container_of(timer, struct upgrade, timer);

	if (upgrade->state == UPGRADE_CLOSING) {
		look_at_gate(upgrade);
		if (upgrade->peer.fd >= 0 &&
			upgrade_outbox_flush(&upgrade->outbox, upgrade->peer.fd) < 0)
			fail(upgrade, "it is gone");
		return;
	}
	if (upgrade->state == UPGRADE_HANDED)
		peer_ready(&upgrade->peer, EPOLLIN); /* it may just have said that it serves */
	if (upgrade->state == UPGRADE_IDLE && upgrade->child.pid)
		upgrade_child_signal(&upgrade->child, SIGKILL); /* it has not even connected */
	else if (upgrade->state != UPGRADE_OVER && upgrade->state != UPGRADE_IDLE)
		fail(upgrade, "it does nothing");
}

/* --- the door */

static void turn_away(int fd, const char *why)
{
	(void)upgrade_send(fd, UPGRADE_REFUSED, why, strlen(why) + 1, NULL, 0);
	close(fd);
}

static void welcome(struct upgrade *upgrade, int fd)
{
	struct ucred peer = {0};

	if (upgrade_check_peer(fd, &peer) < 0) {
		log_warn("pid %d of user %u wants to take over, which it may not: refused",
			(int)peer.pid, peer.uid);
		upgrade->failed++;
		turn_away(fd, "you may not");
		return;
	}
	if (upgrade->state != UPGRADE_IDLE || is_leaving(upgrade->daemon)) {
		turn_away(fd, is_leaving(upgrade->daemon) ? "it is stopping"
							  : "another one is taking over");
		return;
	}
	upgrade->pid = (uint32_t)peer.pid;
	upgrade->peer = (struct watch){.fd = fd, .ready = peer_ready};
	if (loop_add(upgrade->daemon->io.loop, &upgrade->peer) < 0) {
		close(fd);
		upgrade->peer.fd = -1;
		return;
	}
	upgrade->state = UPGRADE_GREETED;
	timer_set(upgrade->daemon->io.loop, &upgrade->timer, HELLO_MS);
}

static void door_ready(struct watch *watch, uint32_t events)
{
	struct upgrade *upgrade = container_of(watch, struct upgrade, door);
	int fd = accept4(watch->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd >= 0)
		welcome(upgrade, fd);
}

/* The one of the process before goes; whoever has the admin socket has this one. */
static int open_door(const char *path, int *ret_fd)
{
	struct sockaddr_un address;
	int fd = upgrade_socket(path, SOCK_NONBLOCK, &address), r = 0;

	if (fd < 0)
		return fd;
	if ((unlink(path) < 0 && errno != ENOENT) || fchmod(fd, 0600) < 0 ||
		bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0 ||
		listen(fd, BACKLOG) < 0)
		r = -errno;
	if (r < 0)
		close(fd);
	else
		*ret_fd = fd;
	return r;
}

/* --- the process before */

static void before_ready(struct watch *watch, uint32_t events)
{
	struct upgrade *upgrade = container_of(watch, struct upgrade, before);
	struct upgrade_taken *taken = upgrade->daemon->taken;
	struct upgrade_left left;
	int r;

	while ((r = upgrade_recv(watch->fd, upgrade->message)) == 1) {
		if (upgrade->message->kind == UPGRADE_LEFT) {
			upgrade_body(upgrade->message, &left, sizeof(left));
			taken->connections_left = left.connections;
		} else if (upgrade->message->kind == UPGRADE_RELOAD) {
			reload_start(upgrade->daemon, NULL, NULL);
		} else if (upgrade->message->kind == UPGRADE_COUNTS) {
			upgrade_counts_add(upgrade->daemon, upgrade->message);
		} else if (upgrade->message->kind == UPGRADE_REFUSED) {
			log_error("pid %u goes on: this one has been too slow, and ends",
				taken->giver.pid);
			taken->is_serving = false;
			loop_stop(upgrade->daemon->io.loop);
		}
		upgrade_message_end(upgrade->message);
	}
	upgrade_message_end(upgrade->message);
	if (r == -EAGAIN)
		return;
	loop_close(upgrade->daemon->io.loop, watch);
	watch->fd = -1;
	taken->connections_left = 0;
	log_info("pid %u, from which this one took over, has ended", taken->giver.pid);
}

static void watch_before(struct upgrade *upgrade)
{
	struct upgrade_taken *taken = upgrade->daemon->taken;

	if (!taken || taken->fd < 0)
		return;
	upgrade->before = (struct watch){.fd = taken->fd, .ready = before_ready};
	taken->fd = -1;
	(void)fcntl(upgrade->before.fd, F_SETFL, O_NONBLOCK);
	if (loop_add(upgrade->daemon->io.loop, &upgrade->before) < 0) {
		close(upgrade->before.fd);
		upgrade->before.fd = -1;
	}
}

void upgrade_reopen_logs(struct daemon *daemon)
{
	if (daemon->upgrade && daemon->upgrade->before.fd >= 0)
		(void)!upgrade_send(daemon->upgrade->before.fd, UPGRADE_REOPEN, NULL, 0, NULL, 0);
}

/* --- life */

void upgrade_open(struct daemon *daemon)
{
	struct upgrade *upgrade = mem_zalloc(sizeof(*upgrade));
	int r;

	upgrade->daemon = daemon;
	upgrade->message = mem_alloc(sizeof(*upgrade->message));
	upgrade->path = upgrade_socket_path(daemon->build->config);
	upgrade->peer.fd = upgrade->before.fd = -1;
	upgrade_child_init(&upgrade->child, daemon->io.loop, child_ended);
	upgrade->door = (struct watch){.fd = -1, .ready = door_ready};
	upgrade->timer.fire = time_is_up;
	upgrade_outbox_init(&upgrade->outbox);
	daemon->upgrade = upgrade;
	r = open_door(upgrade->path, &upgrade->door.fd);
	if (r == 0)
		r = loop_add_level(daemon->io.loop, &upgrade->door);
	if (r < 0)
		log_warn("%s: no other one will be able to take over: %s", upgrade->path,
			strerror(-r));
	watch_before(upgrade);
}

void upgrade_close(struct upgrade *upgrade)
{
	if (!upgrade || upgrade->door.fd < 0)
		return;
	unlink(upgrade->path);
	loop_close(upgrade->daemon->io.loop, &upgrade->door);
	upgrade->door.fd = -1;
}

/* Waits, a little: the other one reads whenever its loop turns. */
static void tell_last(struct upgrade *upgrade)
{
	const struct timeval patience = {.tv_sec = 1};
	int fd = upgrade->peer.fd;

	if (upgrade->state != UPGRADE_OVER || fd < 0)
		return;
	upgrade_give_counts(upgrade->daemon, &upgrade->told, &upgrade->outbox);
	if (fcntl(fd, F_SETFL, 0) < 0 ||
		setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience)) < 0)
		return;
	(void)!upgrade_outbox_flush(&upgrade->outbox, fd);
}

void upgrade_free(struct upgrade *upgrade)
{
	if (!upgrade)
		return;
	upgrade_close(upgrade);
	tell_last(upgrade);
	upgrade_told_forget(&upgrade->told);
	if (upgrade->before.fd >= 0)
		loop_close(upgrade->daemon->io.loop, &upgrade->before);
	upgrade_child_fini(&upgrade->child);
	hang_up(upgrade);
	free(upgrade->message);
	free(upgrade->path);
	free(upgrade);
}

void upgrade_tick(struct daemon *daemon)
{
	struct upgrade *upgrade = daemon->upgrade;
	struct upgrade_left left;

	if (!upgrade)
		return;
	if (upgrade->state == UPGRADE_WAITING)
		give_now(upgrade);
	left.connections = atomic_load(&daemon->node.open);
	if (upgrade->state == UPGRADE_WAITING) /* a sign of life */
		(void)!upgrade_send(upgrade->peer.fd, UPGRADE_LEFT, &left, sizeof(left), NULL, 0);
	if (upgrade->state == UPGRADE_OVER && upgrade->peer.fd >= 0) {
		(void)!upgrade_send(upgrade->peer.fd, UPGRADE_LEFT, &left, sizeof(left), NULL, 0);
		if (list_is_empty(&upgrade->outbox.items))
			upgrade_give_counts(daemon, &upgrade->told, &upgrade->outbox);
	}
	if (upgrade->peer.fd >= 0 && upgrade_outbox_flush(&upgrade->outbox, upgrade->peer.fd) < 0 &&
		upgrade->state != UPGRADE_OVER)
		fail(upgrade, "it is gone");
}

void upgrade_report(const struct daemon *daemon, struct upgrade_report *ret_report)
{
	const struct upgrade *upgrade = daemon->upgrade;
	const struct upgrade_taken *taken = daemon->taken;

	*ret_report = (struct upgrade_report){.from_pid = 0};
	if (upgrade) {
		ret_report->failed = upgrade->failed;
		snprintf(ret_report->error, sizeof(ret_report->error), "%s", upgrade->error);
		ret_report->is_there = upgrade->before.fd >= 0;
	}
	if (!taken)
		return;
	ret_report->from_pid = taken->giver.pid;
	snprintf(ret_report->from_version, sizeof(ret_report->from_version), "%s",
		taken->giver.version);
	ret_report->connections_left = taken->connections_left;
	ret_report->sockets = taken->n_sockets;
}
