/* Taking over from the daemon that runs: see upgrade_take.h. Control thread, at the start. */
#define LOG_MODULE "upgrade"
#include "control/upgrade_take.h"

#include "control/daemon.h"
#include "control/upgrade_counts.h"
#include "control/upgrade_gate.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <unistd.h>

enum {
	STEP_MS = 10 * 1000, /* for each message of the other one, at the most */
	/* Its gate ends within a turn of each of its workers. */
	COMMIT_MS = 20 * 1000,
};

/* 1, 0, -errno as upgrade_recv(), -ETIMEDOUT. */
static int wait_message(int fd, int ms, struct upgrade_message *message)
{
	struct pollfd wait = {fd, POLLIN, 0};
	int r;

	message->n_fds = message->len = 0;
	do
		r = poll(&wait, 1, ms);
	while (r < 0 && errno == EINTR);
	if (r <= 0)
		return r < 0 ? -errno : -ETIMEDOUT;
	return upgrade_recv(fd, message);
}

static int take_fd(struct upgrade_message *message)
{
	int fd = message->n_fds ? message->fds[0] : -1;

	if (message->n_fds)
		message->fds[0] = -1;
	return fd;
}

static void replace_fd(int *fd, struct upgrade_message *message)
{
	if (*fd >= 0)
		close(*fd);
	*fd = take_fd(message);
}

/* What is no listening socket of that address is not believed to be one. */
static bool is_as_told(int fd, const union addr *addr)
{
	int listens = 0;
	socklen_t len = sizeof(listens);
	union addr local = {0};
	socklen_t addr_bytes = sizeof(local);

	return getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &len) == 0 && listens &&
	       getsockname(fd, &local.any, &addr_bytes) == 0 && addr_eq(&local, addr);
}

static void take_sockets(struct upgrade_taken *taken, struct upgrade_message *message)
{
	struct upgrade_taken_socket *sock;
	uint32_t i;

	taken->sockets =
		mem_realloc(taken->sockets, (taken->n_sockets + 1) * sizeof(*taken->sockets));
	sock = &taken->sockets[taken->n_sockets++];
	*sock = (struct upgrade_taken_socket){.n_fds = 0};
	upgrade_body(message, &sock->about, sizeof(sock->about));
	for (i = 0; i < message->n_fds; i++) {
		if (!is_as_told(message->fds[i], &sock->about.addr))
			continue;
		sock->fds[sock->n_fds++] = message->fds[i];
		message->fds[i] = -1;
	}
}

static void take_target(struct upgrade_taken *taken, const struct upgrade_message *message)
{
	struct upgrade_target *target;

	taken->targets =
		mem_realloc(taken->targets, (taken->n_targets + 1) * sizeof(*taken->targets));
	target = &taken->targets[taken->n_targets++];
	upgrade_body(message, target, sizeof(*target));
	upgrade_text_end(target->group, sizeof(target->group));
	upgrade_text_end(target->state.detail, sizeof(target->state.detail));
}

static void take_lock(struct upgrade_taken *taken, struct upgrade_message *message)
{
	struct upgrade_lock lock;

	upgrade_body(message, &lock, sizeof(lock));
	upgrade_text_end(lock.path, sizeof(lock.path));
	if (lock.of >= UPGRADE_LOCKS)
		return;
	taken->locks[lock.of] = lock;
	replace_fd(&taken->lock_fds[lock.of], message);
}

static void take_message(struct upgrade_taken *taken, struct upgrade_message *message)
{
	switch (message->kind) {
	case UPGRADE_HELLO:
		upgrade_body(message, &taken->giver, sizeof(taken->giver));
		upgrade_text_end(taken->giver.version, sizeof(taken->giver.version));
		break;
	case UPGRADE_SOCKET:
		take_sockets(taken, message);
		break;
	case UPGRADE_TICKETS:
		upgrade_body(message, &taken->tickets, sizeof(taken->tickets));
		taken->has_tickets = true;
		break;
	case UPGRADE_LOCK:
		take_lock(taken, message);
		break;
	case UPGRADE_STDERR:
		replace_fd(&taken->stderr_fd, message);
		break;
	case UPGRADE_TARGET:
		take_target(taken, message);
		break;
	default:
		break; /* of a later version */
	}
}

static int refused(struct upgrade_message *message, struct err *err)
{
	char text[UPGRADE_TEXT_BYTES];

	upgrade_body(message, text, sizeof(text));
	upgrade_text_end(text, sizeof(text));
	return err_set(err, -EBUSY,
		"the sluiced that runs does not let another one take over: %.300s", text);
}

/* Until it has said that this was all. */
static int receive(struct upgrade_taken *taken, struct upgrade_message *message, struct err *err)
{
	for (;;) {
		int r = wait_message(taken->fd, STEP_MS, message);
		uint32_t kind = message->kind;

		if (r == 1 && kind == UPGRADE_REFUSED)
			r = refused(message, err);
		else if (r == 1)
			take_message(taken, message);
		else
			r = err_set(err, r ? r : -ECONNRESET,
				"taking over from the sluiced that runs: %s",
				r ? strerror(-r) : "it closed the connection");
		upgrade_message_end(message);
		if (r < 0)
			return r;
		if (kind == UPGRADE_GIVEN)
			return 0;
	}
}

void upgrade_explain(struct upgrade_taken *taken, struct err *err)
{
	struct upgrade_message *message = mem_zalloc(sizeof(*message));

	while (taken->fd >= 0 && !taken->is_committed && wait_message(taken->fd, 0, message) == 1) {
		if (message->kind == UPGRADE_REFUSED)
			(void)refused(message, err);
		upgrade_message_end(message);
	}
	upgrade_message_end(message);
	free(message);
}

static struct upgrade_taken *taken_new(int fd)
{
	struct upgrade_taken *taken = mem_zalloc(sizeof(*taken));
	uint32_t i;

	taken->fd = fd;
	taken->stderr_fd = -1;
	gates_state_init(&taken->gate);
	for (i = 0; i < UPGRADE_LOCKS; i++)
		taken->lock_fds[i] = -1;
	return taken;
}

static int greet(struct upgrade_taken *taken, uint32_t n_workers, struct err *err)
{
	struct upgrade_hello hello = {.pid = (uint32_t)getpid(), .n_workers = n_workers};
	struct upgrade_message *message;
	struct ucred giver;
	int r = upgrade_check_peer(taken->fd, &giver);

	snprintf(hello.version, sizeof(hello.version), "%s", SLUICE_VERSION);
	if (r == 0)
		r = upgrade_send(taken->fd, UPGRADE_HELLO, &hello, sizeof(hello), NULL, 0);
	if (r < 0 && r != -EPIPE) /* whoever has closed it has said why */
		return err_set(err, r, "taking over: the other side: %s", strerror(-r));
	message = mem_alloc(sizeof(*message));
	r = receive(taken, message, err);
	free(message);
	return r;
}

int upgrade_take(
	const char *path, uint32_t n_workers, struct upgrade_taken **ret_taken, struct err *err)
{
	struct upgrade_taken *taken;
	int fd = upgrade_connect(path), r;

	*ret_taken = NULL;
	if (fd == -ENOENT || fd == -ECONNREFUSED)
		return 0;
	if (fd < 0)
		return err_set(err, fd, "cannot take over by %s: %s", path, strerror(-fd));
	taken = taken_new(fd);
	r = greet(taken, n_workers, err);
	if (r < 0) {
		upgrade_taken_free(taken);
		return r;
	}
	log_info("taking over from sluiced %s, pid %u: %u addresses, %u targets",
		taken->giver.version, taken->giver.pid, taken->n_sockets, taken->n_targets);
	*ret_taken = taken;
	return 0;
}

static void close_if(int fd)
{
	if (fd >= 0)
		close(fd);
}

void upgrade_taken_drop_locks(struct upgrade_taken *taken)
{
	uint32_t i;

	for (i = 0; i < UPGRADE_LOCKS; i++) {
		close_if(taken->lock_fds[i]);
		taken->lock_fds[i] = -1;
	}
}

void upgrade_taken_drop_socket(struct upgrade_taken_socket *sock)
{
	uint32_t i;

	for (i = 0; i < sock->n_fds; i++)
		close(sock->fds[i]);
	sock->n_fds = 0;
}

void upgrade_taken_free(struct upgrade_taken *taken)
{
	uint32_t i;

	if (!taken)
		return;
	for (i = 0; i < taken->n_sockets; i++)
		if (!taken->sockets[i].is_used)
			upgrade_taken_drop_socket(&taken->sockets[i]);
	upgrade_taken_drop_locks(taken);
	gates_state_fini(&taken->gate);
	explicit_bzero(&taken->secrets, sizeof(taken->secrets));
	close_if(taken->stderr_fd);
	close_if(taken->fd);
	free(taken->sockets);
	free(taken->targets);
	explicit_bzero(&taken->tickets, sizeof(taken->tickets));
	free(taken);
}

uint32_t upgrade_taken_sockets(struct upgrade_taken *taken, const union addr *addr, bool defers,
	int ret_fds[static UPGRADE_FDS], uint32_t *ret_row)
{
	struct upgrade_taken_socket *sock;
	uint32_t i;

	for (i = 0; i < taken->n_sockets; i++) {
		sock = &taken->sockets[i];
		if (sock->is_used || !sock->n_fds || !!sock->about.defers != defers ||
			!addr_eq(&sock->about.addr, addr))
			continue;
		sock->is_used = true;
		memcpy(ret_fds, sock->fds, sock->n_fds * sizeof(int));
		*ret_row = sock->about.row;
		return sock->n_fds;
	}
	return 0;
}

bool upgrade_taken_has_port(const struct upgrade_taken *taken, uint16_t port)
{
	uint32_t i;

	for (i = 0; i < taken->n_sockets; i++)
		if (addr_port(&taken->sockets[i].about.addr) == port)
			return true;
	return false;
}

int upgrade_taken_lock(const struct upgrade_taken *taken, enum upgrade_lock_of of, const char *path)
{
	return taken && path && strcmp(taken->locks[of].path, path) == 0 ? taken->lock_fds[of] : -1;
}

const struct health_state *upgrade_taken_health(void *arg, const struct target *target)
{
	struct upgrade_taken *taken = arg;
	uint32_t i;

	for (i = 0; i < taken->n_targets; i++)
		if (addr_eq(&taken->targets[i].addr, &target->addr) &&
			strcmp(taken->targets[i].group, target->group_name) == 0)
			return &taken->targets[i].state;
	return NULL;
}

/* From here on what is said goes where it went before, not by the other process. */
static void take_output(struct upgrade_taken *taken)
{
	if (taken->stderr_fd < 0)
		return;
	if (dup2(taken->stderr_fd, STDERR_FILENO) < 0)
		log_warn("standard error stays what it is: %s", strerror(errno));
	close(taken->stderr_fd);
	taken->stderr_fd = -1;
}

static void is_gone(struct upgrade_taken *taken, int code)
{
	log_warn("the sluiced before this one is gone before its time: %s",
		code ? strerror(-code) : "the connection has ended");
	close(taken->fd);
	taken->fd = -1;
}

static int wait_commit(struct daemon *daemon, struct upgrade_taken *taken,
	struct upgrade_message *message, struct err *err)
{
	for (;;) {
		int r = wait_message(taken->fd, COMMIT_MS, message);
		uint32_t kind = message->kind;

		if (r == -ETIMEDOUT)
			r = err_set(err, r, "taking over: the other one does not answer");
		else if (r == 0 || r == -ECONNRESET || r == -EPIPE)
			is_gone(taken, r);
		else if (r < 0) /* it may live: two must not serve */
			r = err_set(err, -EIO, "taking over: %s", strerror(-r));
		else if (kind == UPGRADE_REFUSED)
			r = refused(message, err);
		else if (kind == UPGRADE_COUNTS)
			upgrade_counts_add(daemon, message);
		else if (kind == UPGRADE_OUTLIER)
			upgrade_outlier_add(daemon, message);
		else
			(void)upgrade_gate_take(&taken->gate, &taken->secrets, message);
		upgrade_message_end(message);
		if (r == -ETIMEDOUT || r == -EBUSY || r == -EIO)
			return r;
		if (r != 1 || kind == UPGRADE_COMMITTED)
			return 0;
	}
}

/* It waits for its turn, which it has not: until now the other one can go on. */
static bool is_told_to_end(void)
{
	sigset_t pending;

	return sigpending(&pending) == 0 &&
	       (sigismember(&pending, SIGTERM) == 1 || sigismember(&pending, SIGINT) == 1);
}

int upgrade_commit(
	struct daemon *daemon, struct upgrade_taken *taken, bool has_own_maps, struct err *err)
{
	struct upgrade_prepared prepared = {
		.has_own_maps = has_own_maps, .gate_layout = UPGRADE_GATE_LAYOUT};
	struct upgrade_message *message;
	int r;

	if (is_told_to_end())
		return err_set(err, -EINTR, "taking over: told to end by a signal");
	/* One that is gone may have said why before it went. */
	(void)!upgrade_send(taken->fd, UPGRADE_PREPARED, &prepared, sizeof(prepared), NULL, 0);
	message = mem_alloc(sizeof(*message));
	r = wait_commit(daemon, taken, message, err);
	free(message);
	if (r < 0)
		return r;
	taken->is_committed = true;
	take_output(taken);
	return 0;
}

int upgrade_hear_refusal(struct upgrade_taken *taken, struct err *err)
{
	struct upgrade_message *message;
	int r = 0, got;

	if (taken->fd < 0)
		return 0;
	message = mem_alloc(sizeof(*message));
	got = wait_message(taken->fd, 0, message);
	if (got == 1 && message->kind == UPGRADE_REFUSED)
		r = refused(message, err);
	else if (got == 0)
		is_gone(taken, 0);
	upgrade_message_end(message);
	free(message);
	return r;
}

int upgrade_tell_serving(struct upgrade_taken *taken, struct err *err)
{
	int r = upgrade_hear_refusal(taken, err), sent;

	if (r == 0 && taken->fd >= 0) {
		sent = upgrade_send(taken->fd, UPGRADE_SERVING, NULL, 0, NULL, 0);
		if (sent < 0)
			is_gone(taken, sent);
	}
	return r;
}
