/* What is given to the daemon that takes over: see upgrade_give.h. Control thread. */
#define LOG_MODULE "upgrade"
#include "control/upgrade_give.h"

#include "control/apply.h"
#include "control/daemon.h"
#include "control/upgrade_counts.h"
#include "control/upgrade_gate.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "dataplane/dp_reuseport.h"
#include "proxy/health.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct item {
	struct list link;
	enum upgrade_kind kind;
	uint32_t n_fds;
	int fds[UPGRADE_FDS];
	bool closes;
	size_t len;
	uint8_t body[];
};

/* --- outbox */

void upgrade_outbox_init(struct upgrade_outbox *outbox)
{
	list_init(&outbox->items);
}

static void item_free(struct item *item)
{
	uint32_t i;

	for (i = 0; item->closes && i < item->n_fds; i++)
		close(item->fds[i]);
	explicit_bzero(item->body, item->len);
	free(item);
}

void upgrade_outbox_end(struct upgrade_outbox *outbox)
{
	struct list *link, *after;

	list_for_each_safe(link, after, &outbox->items)
		item_free(container_of(link, struct item, link));
	list_init(&outbox->items);
}

int upgrade_outbox_flush(struct upgrade_outbox *outbox, int fd)
{
	struct list *link, *after;
	struct item *item;
	int r;

	list_for_each_safe(link, after, &outbox->items) {
		item = container_of(link, struct item, link);
		r = upgrade_send(fd, item->kind, item->body, item->len, item->fds, item->n_fds);
		if (r < 0)
			return r == -EAGAIN ? 0 : r;
		list_del(link);
		item_free(item);
	}
	return 0;
}

void upgrade_outbox_put(struct upgrade_outbox *outbox, const struct upgrade_item *what)
{
	struct item *item = mem_alloc(sizeof(*item) + what->len);

	item->kind = what->kind;
	item->len = what->len;
	item->n_fds = what->n_fds;
	item->closes = what->closes;
	if (what->len)
		memcpy(item->body, what->body, what->len);
	if (what->n_fds)
		memcpy(item->fds, what->fds, what->n_fds * sizeof(int));
	list_add_tail(&outbox->items, &item->link);
}

static void put_with(struct upgrade_outbox *outbox, enum upgrade_kind kind, const void *body,
	size_t len, const int *fds, uint32_t n_fds)
{
	upgrade_outbox_put(outbox, &(struct upgrade_item){kind, body, len, fds, n_fds});
}

static void put(void *arg, enum upgrade_kind kind, const void *body, size_t len)
{
	put_with(arg, kind, body, len, NULL, 0);
}

/* --- what there is */

static void give_hello(const struct daemon *daemon, struct upgrade_outbox *outbox)
{
	uint64_t now_ms = loop_now_ms(daemon->io.loop);
	struct upgrade_hello hello = {
		.pid = (uint32_t)getpid(),
		.n_workers = daemon->env.n_workers,
		.tickets_age_ms = now_ms - daemon->tickets_rotated_ms,
		.cookies_age_ms = now_ms - daemon->cookies_rotated_ms,
		.listen_overflows_before = daemon->listen_overflows_before,
	};

	snprintf(hello.version, sizeof(hello.version), "%s", SLUICE_VERSION);
	put(outbox, UPGRADE_HELLO, &hello, sizeof(hello));
}

static void give_sockets(const struct daemon *daemon, struct upgrade_outbox *outbox)
{
	const struct build *build = daemon->build;
	const struct listener_socket *sock;
	struct upgrade_socket about = {.row = 0};
	uint32_t i, at;

	for (i = 0; i < build->n_listeners; i++)
		for (at = 0; at < build->built[i].n_sockets; at++) {
			sock = build->built[i].sockets[at];
			about.addr = sock->addr;
			about.row = sock->id;
			about.defers = sock->defers;
			put_with(outbox, UPGRADE_SOCKET, &about, sizeof(about), sock->fds,
				sock->n_fds < UPGRADE_FDS ? sock->n_fds : UPGRADE_FDS);
		}
}

static void give_lock(
	struct upgrade_outbox *outbox, enum upgrade_lock_of of, const char *path, int fd)
{
	struct upgrade_lock lock = {.of = of};

	if (fd < 0)
		return;
	snprintf(lock.path, sizeof(lock.path), "%s", path);
	put_with(outbox, UPGRADE_LOCK, &lock, sizeof(lock), &fd, 1);
}

static void give_targets(const struct daemon *daemon, struct upgrade_outbox *outbox)
{
	const struct build *build = daemon->build;
	const struct health_state *state;
	struct upgrade_target item;
	uint32_t group, i;

	for (group = 0; group < build->config->target_groups_count; group++)
		for (i = 0; i < build->groups[group].n_targets; i++) {
			state = health_get(build->groups[group].targets[i]);
			if (!state)
				continue;
			memset(&item, 0, sizeof(item));
			snprintf(item.group, sizeof(item.group), "%s",
				build->config->target_groups[group].name);
			item.addr = build->groups[group].targets[i]->addr;
			item.state = *state;
			put(outbox, UPGRADE_TARGET, &item, sizeof(item));
		}
}

void upgrade_give(struct daemon *daemon, bool is_ours, struct upgrade_outbox *outbox)
{
	const struct config *config = daemon->build->config;
	struct tls_tickets_state tickets;
	int output = STDERR_FILENO;

	give_hello(daemon, outbox);
	give_sockets(daemon, outbox);
	tls_tickets_give(daemon->env.tickets, &tickets);
	put(outbox, UPGRADE_TICKETS, &tickets, sizeof(tickets));
	explicit_bzero(&tickets, sizeof(tickets));
	give_lock(outbox, UPGRADE_LOCK_PINS, config->xdp.pin_dir_path,
		dataplane_lock_fd(daemon->dataplane));
	give_lock(outbox, UPGRADE_LOCK_OBJECTS, config->state_dir_path,
		versions_lock_fd(daemon->objects.versions));
	if (is_ours)
		put_with(outbox, UPGRADE_STDERR, NULL, 0, &output, 1);
	give_targets(daemon, outbox);
	put(outbox, UPGRADE_GIVEN, NULL, 0);
}

void upgrade_give_slots(struct daemon *daemon)
{
	const struct build *build = daemon->build;
	uint32_t i, at, worker;

	for (i = 0; i < build->n_listeners; i++)
		for (at = 0; at < build->built[i].n_sockets; at++)
			for (worker = 0; worker < build->built[i].sockets[at]->n_fds; worker++)
				dp_reuseport_leave(
					daemon->dataplane, build->built[i].sockets[at]->id, worker);
}

/* Who has asked something is still answered. */
void upgrade_give_rest(
	struct daemon *daemon, struct upgrade_told *told, struct upgrade_outbox *outbox)
{
	admin_leave(daemon->admin);
	upgrade_gate_give(daemon, outbox);
	upgrade_outliers_give(daemon, put, outbox);
	upgrade_give_counts(daemon, told, outbox);
	put(outbox, UPGRADE_COMMITTED, NULL, 0);
}

void upgrade_give_counts(
	struct daemon *daemon, struct upgrade_told *told, struct upgrade_outbox *outbox)
{
	upgrade_counts_give(daemon, told, put, outbox);
}

void upgrade_give_back(struct daemon *daemon, bool has_rest)
{
	struct err err;

	gates_resume(daemon->gates, has_rest);
	dataplane_reclaim(daemon->dataplane);
	apply_again(daemon);
	if (has_rest && admin_return(daemon->admin, &err) < 0)
		log_error("%s", err.text);
}
