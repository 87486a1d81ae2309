/* The daemon's life: start (daemon_start.h), run, stop in order. See daemon.h. Control thread. */
#define LOG_MODULE "daemon"
#include "control/daemon.h"
#include "control/apply.h"
#include "control/cert_upkeep.h"
#include "control/confinement.h"
#include "control/daemon_start.h"
#include "control/departing.h"
#include "control/events.h"
#include "control/expiry.h"
#include "control/http_client.h"
#include "control/ids.h"
#include "control/leaving.h"
#include "control/logs.h"
#include "control/outliers.h"
#include "control/renewal.h"
#include "control/resolver.h"
#include "control/service.h"
#include "control/stapling.h"
#include "control/succession.h"
#include "control/upgrade.h"
#include "control/views.h"
#include "control/watchdog.h"
#include "core/clock.h"
#include "core/log.h"
#include "tls/key_password.h"
#include "tls/stream.h"
#include "tls/tickets.h"
#include "tls/token_thread.h"
#include "core/version.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <unistd.h>

enum {
	TICK_MS = 1000,
	COOKIE_ROTATION_MS = 24 * 60 * 60 * 1000,
	COOKIE_OLD_MS = 6 * SLUICE_EPOCH_S * 1000, /* then no cookie of the old secret is of use */
	/* Certificates that were replaced are held by the last connections of their generation, and by
	 * others' work on them. */
	CERT_SWEEP_MS = 60 * 1000,
	STOP_LOGS_MS = 2000, /* what is logged has to be taken within */
	STOP_HELD_MS = 3000, /* for workers to end then, which is a matter of milliseconds */
	CONTROL_HELD_MS = 5000, /* SIGTERM: without a sign of life of the control thread */
};

/* As many descriptors as the hard limit allows: two per connection are needed. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
		return;
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
		log_warn("cannot raise the number of open files to %llu: %s",
			(unsigned long long)limit.rlim_max, strerror(errno));
}

/* A secret of this node alone changes once a day. One from a file is the operator's. */
static void keep_cookies(struct daemon *daemon, uint64_t now_ms)
{
	uint64_t age_ms = now_ms - daemon->cookies_rotated_ms;

	if (daemon->build->has_cookie_secret)
		return;
	if (age_ms >= COOKIE_ROTATION_MS)
		daemon_rotate_cookies(daemon);
	else if (age_ms >= COOKIE_OLD_MS)
		dp_cookies_forget(daemon->dataplane);
}

/* Keys from a file are the operator's. */
static void keep_tickets(struct daemon *daemon, uint64_t now_ms)
{
	uint64_t age_ms = now_ms - daemon->tickets_rotated_ms;

	if (daemon->build->tickets.keys ||
		age_ms < daemon->build->config->session_tickets.rotation_ms)
		return;
	tls_tickets_rotate(daemon->env.tickets);
	daemon->tickets_rotated_ms = now_ms;
}

void daemon_rotate_cookies(struct daemon *daemon)
{
	dp_cookies_rotate(daemon->dataplane);
	daemon->cookies_rotated_ms = loop_now_ms(daemon->io.loop);
}

static void tick(struct timer *timer)
{
	struct daemon *daemon = container_of(timer, struct daemon, second);
	uint64_t now_ms = loop_now_ms(daemon->io.loop);

	watchdog_beat(daemon->watchdog);
	dataplane_maintain(daemon->dataplane);
	gates_maintain(daemon->gates, daemon->build->config);
	keep_cookies(daemon, now_ms);
	departing_tick(daemon);
	trust_upkeep_tick(&daemon->trust_upkeep, daemon->build, clock_unix_s());
	views_tick(daemon);
	keep_tickets(daemon, now_ms);
	if (cert_upkeep_tick(daemon->cert_upkeep))
		renewal_look(daemon);
	if (now_ms - daemon->certs_swept_ms >= CERT_SWEEP_MS) {
		apply_sweep(daemon);
		daemon->certs_swept_ms = now_ms;
	}
	upgrade_tick(daemon);
	leaving_tick(daemon);
	worker_watch_tick(&daemon->worker_watch, daemon->workers, daemon->env.n_workers,
		daemon->build->config->watchdog_ms);
	timer_set(daemon->io.loop, &daemon->second, daemon->stopping ? LEAVING_TICK_MS : TICK_MS);
}

static void reopen_logs(struct daemon *daemon)
{
	upgrade_reopen_logs(daemon);
	logs_reopen(daemon->logs, NULL);
}

static void signalled(struct watch *watch, uint32_t events)
{
	struct daemon *daemon = container_of(watch, struct daemon, signals);
	struct signalfd_siginfo info;

	while (read(watch->fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP)
			reload_start(daemon, NULL, NULL);
		else if (info.ssi_signo == SIGUSR1)
			reopen_logs(daemon);
		else
			leaving_signal(daemon, info.ssi_signo == SIGINT ? "SIGINT" : "SIGTERM");
	}
}

/* Blocked in all threads (they inherit it), read by the control thread. */
static int watch_signals(struct daemon *daemon)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGHUP);
	sigaddset(&set, SIGINT);
	sigaddset(&set, SIGTERM);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	signal(SIGPIPE, SIG_IGN);
	worker_watch_init();
	signal(SIGCHLD,
		SIG_DFL); /* ignored by whoever started us, the ends of commands would be lost */
	daemon->signals.ready = signalled;
	daemon->signals.fd = signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
	if (daemon->signals.fd < 0)
		return -errno;
	return loop_add_level(daemon->io.loop, &daemon->signals);
}

/* What was not given up yet is still in use. */
static enum dataplane_stop how_to_close(const struct daemon *daemon)
{
	return daemon->taken && !daemon->taken->is_serving ? DATAPLANE_LEAVE : DATAPLANE_DETACH;
}

/* As the kernel sees it we have stopped; the rest goes with the process. The log is the loader's still, and
 * nobody may take what is said here. */
static _Noreturn void stop_hard(struct daemon *daemon, const char *who)
{
	struct pollfd output = {STDERR_FILENO, POLLOUT, 0};

	if (poll(&output, 1, 0) > 0)
		dprintf(STDERR_FILENO,
			"sluiced: %s is held up, in a token's library maybe: ending without it\n",
			who);
	if (daemon->dataplane)
		dataplane_close(daemon->dataplane, how_to_close(daemon));
	_exit(EXIT_FAILURE);
}

static void control_is_held(void *arg)
{
	stop_hard(arg, "the control thread");
}

static int start_watchdog(struct daemon *daemon)
{
	struct watchdog_spec spec = {
		.signal_fd = daemon->signals.fd,
		.held_ms = CONTROL_HELD_MS,
		.end = control_is_held,
		.arg = daemon,
	};

	return watchdog_new(&spec, &daemon->watchdog);
}

static int start_io(struct daemon *daemon, struct err *err)
{
	int r = iothread_init(&daemon->io, daemon->env.n_workers);

	if (r == 0) {
		daemon->tls = tls_thread_new(&daemon->io);
		r = daemon->tls ? watch_signals(daemon) : -ENOMEM;
	}
	if (r == 0)
		r = start_watchdog(daemon);
	if (r == 0)
		r = log_start();
	if (r == 0)
		r = loader_new(daemon->io.loop, "sluice-log", true, &daemon->log_writer);
	if (r == 0)
		r = loader_new(daemon->io.loop, "sluice-loader", false, &daemon->loader);
	return r < 0 ? err_set(err, r, "cannot start: %s", strerror(-r)) : 0;
}

/* False: one of them does not come back, and whatever it may use must stay. */
static bool stop_workers(struct daemon *daemon)
{
	uint64_t until_ms = clock_mono_ms() + STOP_HELD_MS;
	bool have_ended = true;
	uint32_t i;

	for (i = 0; daemon->workers && i < daemon->env.n_workers; i++) {
		if (!daemon->workers[i].started)
			continue;
		if (how_to_close(daemon) == DATAPLANE_LEAVE)
			worker_tell_hand_over(
				&daemon->workers[i]); /* the rows are the other's still */
		worker_tell_stop(&daemon->workers[i]);
	}
	for (i = 0; daemon->workers && i < daemon->env.n_workers; i++)
		have_ended &= worker_join(&daemon->workers[i], until_ms);
	return have_ended;
}

/* The thread of the logs waits for somebody to take its lines, and did not end. */
static bool is_log_held;

/* False: the log has lines that nobody has taken. */
static bool stop_threads(struct daemon *daemon)
{
	bool has_written;

	daemon->stopping = true; /* a reload that comes back from now on is thrown away */
	upgrade_close(daemon->upgrade);
	token_thread_stop();
	key_password_stop();
	cert_upkeep_stop(daemon->cert_upkeep);
	resolver_stop(daemon->resolver);
	admin_free(daemon->admin_metrics);
	admin_free(daemon->admin_remote);
	admin_free(daemon->admin);
	watch_hub_free(daemon->watch);
	events_free(daemon->events);
	overview_fini(&daemon->overview);
	watchdog_beat(daemon->watchdog);
	if (!stop_workers(daemon))
		stop_hard(daemon, "a worker");
	upgrade_free(daemon->upgrade);
	daemon->upgrade = NULL;
	watchdog_beat(daemon->watchdog);
	connections_hub_free(daemon->connections);
	loader_free(daemon->loader);
	watchdog_beat(daemon->watchdog);
	has_written = loader_free_within(daemon->log_writer, STOP_LOGS_MS);
	watchdog_beat(daemon->watchdog);
	if (has_written)
		logs_free(daemon->logs);
	else
		logs_stop(daemon->logs);
	return has_written;
}

static void stop(struct daemon *daemon)
{
	bool has_written = stop_threads(daemon);
	uint32_t i;

	is_log_held = !has_written;
	renewal_free(daemon);
	expiry_free(daemon->expiry);
	stapling_free(daemon->stapling);
	resolver_free(daemon->resolver);
	http_client_free(daemon->http);
	cert_upkeep_free(daemon->cert_upkeep);
	lists_free(daemon->lists);
	if (daemon->health)
		health_free(daemon->health);
	outliers_fini(daemon);
	overload_stop(daemon);
	departing_free_all(daemon);
	for (i = 0; daemon->workers && i < daemon->env.n_workers; i++)
		if (daemon->workers[i].proxy.io.loop)
			worker_fini(&daemon->workers[i]);
	gates_free(daemon->gates);
	build_free(daemon->build);
	object_store_fini(&daemon->objects);
	counts_fini(&daemon->counts);
	watchdog_free(daemon->watchdog);
	if (daemon->dataplane)
		dataplane_close(daemon->dataplane, how_to_close(daemon));
	upgrade_taken_free(daemon->taken);
	if (has_written)
		log_stop();
	if (daemon->signals.fd > 0)
		close(daemon->signals.fd);
	/* The loop first: it frees the streams that were closed last into the pools of the other. */
	if (daemon->io.loop)
		iothread_fini(&daemon->io);
	if (daemon->tls)
		tls_thread_free(daemon->tls);
	free(daemon->workers);
	gate_limits_free(daemon->gate_node.limits);
	gate_released_free(daemon->gate_node.released);
	tls_tickets_put(daemon->env.tickets);
	ids_free(daemon->env.target_ids);
	ids_free(daemon->env.socket_ids);
	ids_free(daemon->env.listener_ids);
}

int daemon_run(const char *config_path, struct config *config, bool takes_over)
{
	struct daemon *daemon = aligned_alloc(CACHE_LINE, sizeof(*daemon));
	struct err err = {""};
	cpu_set_t set;
	int r;

	if (!daemon)
		abort();
	memset(daemon, 0, sizeof(*daemon));
	daemon->config_path = config_path;
	daemon->wants_to_take_over = takes_over;
	daemon->started_unix_s = clock_unix_s();
	daemon->env.n_workers = config->workers ? config->workers : daemon_cpus(&set);
	if (daemon->env.n_workers > SHARED_WORKERS_MAX)
		daemon->env.n_workers = SHARED_WORKERS_MAX;
	daemon->env.tickets = tls_tickets_new();
	daemon->env.target_ids = ids_new(SLUICE_MAX_BACKENDS);
	daemon->env.socket_ids = ids_new(SLUICE_MAX_LISTENERS);
	daemon->env.listener_ids = ids_new(SLUICE_MAX_LISTENERS);
	daemon->gate_node.limits = gate_limits_new();
	daemon->gate_node.released = gate_released_new();
	list_init(&daemon->departing);
	daemon->env.departing = &daemon->departing;
	list_init(&daemon->waiting_reloads);
	counts_init(&daemon->counts, daemon->env.n_workers);
	daemon->second.fire = tick;
	leaving_init(daemon);
	outliers_init(daemon);
	log_level_set((enum log_level)config->log.level);
	raise_file_limit();
	r = confinement_begin(config, &err);
	if (r == 0)
		r = service_init(&err);
	if (r == 0)
		r = start_io(daemon, &err);
	if (r == 0)
		r = daemon_start(daemon, config, &err);
	else
		config_free(config);
	if (r == 0) {
		succession_keep_ages(daemon);
		upgrade_open(daemon);
		timer_set(daemon->io.loop, &daemon->second, TICK_MS);
		overload_start(daemon);
		log_info("ready: %u listeners, %u workers, %s", daemon->build->n_listeners,
			daemon->env.n_workers, SLUICE_VERSION);
		service_ready("serving");
		loop_run(daemon->io.loop);
		log_info("stopped");
	} else if (daemon->taken) {
		upgrade_explain(daemon->taken, &err);
	}
	stop(daemon);
	service_fini();
	free(daemon);
	if (r < 0)
		fprintf(stderr, "sluiced: %s\n", err.text);
	return r < 0 ? 1 : 0;
}

int daemon_end(int status)
{
	token_thread_stop();
	if (!token_thread_is_inside() && !is_log_held)
		return status;
	fflush(NULL);
	_exit(status); /* exit() would take from under its feet what the thread uses */
}
