/* A start that takes over: see succession.h. Control thread. */
#define LOG_MODULE "upgrade"
#include "control/succession.h"

#include "control/apply.h"
#include "control/daemon_start.h"
#include "control/ids.h"
#include "control/upgrade.h"
#include "control/upgrade_take.h"
#include "core/clock.h"
#include "core/log.h"
#include "dataplane/dataplane.h"
#include "tls/tickets.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

enum { WORKERS_MS_MAX = 1000 };

int succession_begin(struct daemon *daemon, const struct config *config, struct err *err)
{
	char *path = upgrade_socket_path(config);
	struct upgrade_taken *taken;
	uint32_t i;
	int r = upgrade_take(path, daemon->env.n_workers, &taken, err);

	free(path);
	if (r < 0 || !taken)
		return r;
	daemon->taken = daemon->env.taken = taken;
	for (i = 0; i < taken->n_sockets; i++)
		if (!ids_take(daemon->env.socket_ids, taken->sockets[i].about.row))
			return err_set(err, -EBADMSG, "taking over: rows of sockets are mixed up");
	if (taken->has_tickets)
		tls_tickets_take(daemon->env.tickets, &taken->tickets);
	return 0;
}

/* Addresses that this configuration does not have any more: the other process serves them until it leaves,
 * and what lay open here would have clients wait for nobody. */
static void drop_sockets(struct daemon *daemon)
{
	struct upgrade_taken *taken = daemon->taken;
	uint32_t i;

	for (i = 0; i < taken->n_sockets; i++) {
		if (taken->sockets[i].is_used)
			continue;
		ids_put(daemon->env.socket_ids, taken->sockets[i].about.row);
		upgrade_taken_drop_socket(&taken->sockets[i]);
	}
}

/* More workers than there were: before one of these sockets listens nothing must be able to fail. */
static void complete_sockets(struct daemon *daemon)
{
	struct build *build = daemon->build;
	uint32_t i, at;
	struct err err;

	for (i = 0; i < build->n_listeners; i++)
		for (at = 0; at < build->built[i].n_sockets; at++)
			if (listener_socket_complete(
				    build->built[i].sockets[at], daemon->env.n_workers, &err) < 0)
				log_warn("some workers do not accept: %s", err.text);
}

/* The packet plane refuses whom no worker would take. */
static void await_workers(const struct daemon *daemon)
{
	const struct timespec pause = {.tv_nsec = 1000 * 1000};
	uint64_t until_ms = clock_mono_ms() + WORKERS_MS_MAX;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++)
		while (!atomic_load(&daemon->workers[i].stamp_ns) && clock_mono_ms() < until_ms)
			nanosleep(&pause, NULL);
}

int succession_commit(struct daemon *daemon, struct err *err)
{
	int r = upgrade_commit(
		daemon, daemon->taken, dataplane_has_own_maps(daemon->dataplane), err);

	if (r < 0)
		return r;
	drop_sockets(daemon);
	daemon->env.taken = NULL; /* later generations have nothing of it */
	dataplane_taken(daemon->dataplane);
	complete_sockets(daemon);
	if (!dataplane_has_own_maps(daemon->dataplane))
		apply_again(daemon);
	else
		dp_secrets_take(daemon->dataplane, &daemon->taken->secrets);
	return 0;
}

int succession_publish(struct daemon *daemon, struct err *err)
{
	int r;

	await_workers(daemon);
	r = upgrade_hear_refusal(daemon->taken, err);
	if (r < 0)
		return r;
	if (dataplane_has_own_maps(daemon->dataplane))
		apply_again(daemon);
	daemon_start_gates(daemon, daemon->build->config);
	dataplane_settle(daemon->dataplane);
	return 0;
}

void succession_keep_ages(struct daemon *daemon)
{
	const struct upgrade_taken *taken = daemon->taken;

	daemon->tickets_rotated_ms = daemon->cookies_rotated_ms = loop_now_ms(daemon->io.loop);
	if (!taken)
		return;
	daemon->tickets_rotated_ms -= taken->giver.tickets_age_ms;
	daemon->cookies_rotated_ms -= taken->giver.cookies_age_ms;
	daemon->listen_overflows_before = taken->giver.listen_overflows_before;
}
