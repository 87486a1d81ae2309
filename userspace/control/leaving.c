/* Leaving, then stopping: see leaving.h. */
#define LOG_MODULE "daemon"
#include "control/leaving.h"

#include "control/apply.h"
#include "control/cert_upkeep.h"
#include "control/daemon.h"
#include "control/resolver.h"
#include "control/service.h"
#include "control/upgrade.h"
#include "control/watchdog.h"
#include "core/log.h"

#include <stdlib.h>
#include <sys/socket.h>

/* Until every worker has let go of them: one takes a turn within a second, if it takes any. */
enum { SHUT_TICKS = 2000 / LEAVING_TICK_MS };

/* Workers have taken what was waiting; whoever comes now is refused. Closing would wait for the
 * build, which the views still show. */
static void shut_sockets(struct daemon *daemon)
{
	const struct built_listener *listener;
	uint32_t n, i, worker;

	for (n = 0; n < daemon->build->n_listeners; n++) {
		listener = &daemon->build->built[n];
		for (i = 0; i < listener->n_sockets; i++)
			for (worker = 0; worker < listener->sockets[i]->n_fds; worker++)
				shutdown(listener->sockets[i]->fds[worker], SHUT_RD);
	}
}

static void set_timer(struct daemon *daemon, uint32_t ms)
{
	daemon->leaving.until_ms = loop_now_ms(daemon->io.loop) + ms;
	timer_set(daemon->io.loop, &daemon->leaving.timer, ms);
}

static void drain_workers(struct daemon *daemon)
{
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++)
		worker_tell_drain(&daemon->workers[i]);
}

static void change_no_more(struct daemon *daemon)
{
	daemon->leaving.state = LEAVING_STOPPING;
	daemon->stopping = true;
	watchdog_attend(daemon->watchdog);
	cert_upkeep_stop(daemon->cert_upkeep);
	resolver_stop(daemon->resolver);
}

static void stop(struct daemon *daemon, const char *who)
{
	struct build *old;

	log_info("%s: stopping, %u connections open", who, atomic_load(&daemon->node.open));
	change_no_more(daemon);
	/* No snapshot: workers let go of the listening sockets. The build stays for the views. */
	old = snapshot_publish(&daemon->root, NULL);
	if (old != daemon->build)
		abort();
	drain_workers(daemon);
	set_timer(daemon, daemon->leaving.timeout_ms);
	timer_set(daemon->io.loop, &daemon->second, LEAVING_TICK_MS);
}

static void time_is_up(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, leaving.timer);

	if (daemon->leaving.state == LEAVING_GRACE) {
		stop(daemon, "the time of grace is over");
		return;
	}
	log_warn("%u connections did not end in time and are closed",
		atomic_load(&daemon->node.open));
	loop_stop(daemon->io.loop);
}

void leaving_init(struct daemon *daemon)
{
	daemon->leaving.timer.fire = time_is_up;
}

static void begin(struct daemon *daemon, const char *who)
{
	const struct config_shutdown *how = &daemon->build->config->shutdown;
	uint32_t grace_ms = how->grace_ms, i;

	if (upgrade_keep_stop(daemon))
		return;
	daemon->leaving.timeout_ms = how->timeout_ms;
	service_stopping(grace_ms ? "leaving" : "stopping", (uint64_t)grace_ms + how->timeout_ms);
	if (!grace_ms) {
		stop(daemon, who);
		return;
	}
	log_info("%s: leaving, new connections are served for %u ms more", who, grace_ms);
	daemon->leaving.state = LEAVING_GRACE;
	for (i = 0; i < daemon->env.n_workers; i++)
		worker_tell_leave(&daemon->workers[i]);
	set_timer(daemon, grace_ms);
}

void leaving_ask(struct daemon *daemon)
{
	if (daemon->leaving.state == LEAVING_NOT)
		begin(daemon, "drain");
}

void leaving_hand_over(struct daemon *daemon)
{
	uint32_t i;

	daemon->leaving.is_handed_over = true;
	change_no_more(daemon);
	/* A connection that waits is not closed: its client may be about to send something. It is told with
	 * the next answer, or its time is over some day. */
	for (i = 0; i < daemon->env.n_workers; i++) {
		worker_tell_leave(&daemon->workers[i]);
		worker_tell_hand_over(&daemon->workers[i]);
	}
	set_timer(daemon, daemon->build->config->upgrade.timeout_ms);
	timer_set(daemon->io.loop, &daemon->second, LEAVING_TICK_MS);
}

/* Those that a process left with its sockets has still. */
static void hurry(struct daemon *daemon, const char *who)
{
	log_info("%s: %u connections that are left have less time now", who,
		atomic_load(&daemon->node.open));
	set_timer(daemon, daemon->build->config->shutdown.timeout_ms);
	drain_workers(daemon);
}

void leaving_go_on(struct daemon *daemon)
{
	if (daemon->leaving.is_handed_over)
		hurry(daemon, "told to stop");
	else
		begin(daemon, "told to stop");
}

void leaving_signal(struct daemon *daemon, const char *name)
{
	bool is_first = !daemon->leaving.has_signal;

	daemon->leaving.has_signal = true;
	if (daemon->leaving.state == LEAVING_NOT) {
		begin(daemon, name);
	} else if (is_first && daemon->leaving.is_handed_over) {
		hurry(daemon, name);
	} else if (is_first) {
		log_info("%s: %s already, %u connections open", name, leaving_word(daemon),
			atomic_load(&daemon->node.open));
	} else if (daemon->leaving.state == LEAVING_GRACE) {
		stop(daemon, name);
	} else {
		log_info("%s: ending at once, %u connections open", name,
			atomic_load(&daemon->node.open));
		loop_stop(daemon->io.loop);
	}
}

/* The sockets are another process's, and would stay open when it closes them. */
static void leave_sockets(struct daemon *daemon)
{
	const struct built_listener *listener;
	uint32_t n, i;

	for (n = 0; n < daemon->build->n_listeners; n++) {
		listener = &daemon->build->built[n];
		for (i = 0; i < listener->n_sockets; i++)
			listener_socket_leave(listener->sockets[i]);
	}
	/* Who asked this process has its answer; who watches it must watch the other one. */
	admin_free(daemon->admin_metrics);
	admin_free(daemon->admin_remote);
	admin_free(daemon->admin);
	daemon->admin = daemon->admin_remote = daemon->admin_metrics = NULL;
}

/* One that takes no turn would find them closed, and listens to them still. */
static bool have_workers_let_go(const struct daemon *daemon)
{
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++)
		if (!atomic_load_explicit(
			    &daemon->workers[i].has_handed_over, memory_order_acquire))
			return false;
	return true;
}

static void refuse_clients(struct daemon *daemon)
{
	shut_sockets(daemon);
	if (daemon->leaving.n_shut == 0)
		apply_refuse(daemon);
}

void leaving_tick(struct daemon *daemon)
{
	if (daemon->leaving.state != LEAVING_STOPPING)
		return;
	if (daemon->leaving.n_shut < SHUT_TICKS) {
		if (!daemon->leaving.is_handed_over)
			refuse_clients(daemon);
		else if (daemon->leaving.n_shut == SHUT_TICKS - 1 && have_workers_let_go(daemon))
			leave_sockets(daemon);
		else if (daemon->leaving.n_shut == SHUT_TICKS - 1)
			daemon->leaving.n_shut--; /* looked at again */
		daemon->leaving.n_shut++;
	}
	if (atomic_load(&daemon->node.open) == 0)
		loop_stop(daemon->io.loop);
}

const char *leaving_word(const struct daemon *daemon)
{
	static const char *const words[] = {"ready", "leaving", "stopping"};

	return words[daemon->leaving.state];
}

uint64_t leaving_left_ms(const struct daemon *daemon)
{
	uint64_t now_ms = loop_now_ms(daemon->io.loop);

	if (daemon->leaving.state == LEAVING_NOT || daemon->leaving.until_ms < now_ms)
		return 0;
	return daemon->leaving.until_ms - now_ms;
}
