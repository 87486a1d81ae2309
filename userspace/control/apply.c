/* Putting a generation in force: see apply.h. */
#define LOG_MODULE "apply"
#include "control/apply.h"
#include "control/certwatch.h"
#include "control/departing.h"
#include "control/expiry.h"
#include "control/logs.h"
#include "control/stapling.h"
#include "control/upgrade_take.h"
#include "core/log.h"
#include "core/mem.h"
#include "dataplane/dp_listeners.h"
#include "dataplane/dp_reuseport.h"
#include "tls/certcache.h"
#include "tls/stream.h"
#include "tls/tickets.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

static uint32_t count_sockets(const struct build *build)
{
	uint32_t i, n = 0;

	for (i = 0; i < build->n_listeners; i++)
		n += build->built[i].n_sockets;
	return n;
}

static void set_limits(const struct config_limits *node, const struct config_listener_limits *own,
	struct dp_limit ret_limits[LISTENER_LIMITS])
{
	const struct config_rates *source = &node->source, *prefix = &node->prefix;

	ret_limits[LIMIT_SOURCE_PACKETS] =
		(struct dp_limit){source->packets_per_second, source->packets_burst};
	ret_limits[LIMIT_SOURCE_CONNECTIONS] =
		(struct dp_limit){source->connections_per_second, source->connections_burst};
	ret_limits[LIMIT_PREFIX_PACKETS] =
		(struct dp_limit){prefix->packets_per_second, prefix->packets_burst};
	ret_limits[LIMIT_PREFIX_CONNECTIONS] =
		(struct dp_limit){prefix->connections_per_second, prefix->connections_burst};
	ret_limits[LIMIT_PACKETS] = (struct dp_limit){own->packets_per_second, own->packets_burst};
	ret_limits[LIMIT_CONNECTIONS] =
		(struct dp_limit){own->connections_per_second, own->connections_burst};
	ret_limits[LIMIT_SYNS] = (struct dp_limit){own->syns_per_second, own->syns_burst};
}

/* Once the daemon stops, the kernel answers SYNs, which refuses them. */
static void set_row(const struct daemon *daemon, const struct build *build, uint32_t listener,
	const struct listener_socket *sock, struct dp_listener *ret_row)
{
	static const enum listener_syn_mode modes[] = {
		[CONFIG_SYN_ALWAYS] = SYN_ALWAYS,
		[CONFIG_SYN_UNDER_ATTACK] = SYN_UNDER_ATTACK,
		[CONFIG_SYN_OFF] = SYN_KERNEL,
	};
	const struct config_listener *wanted = &build->config->listeners[listener];

	*ret_row = (struct dp_listener){
		.id = build->listeners[listener]->spec.stats->id,
		.socket_row = sock->id,
		.name = wanted->name,
		.address = apply_storage(&sock->addr),
		.protocol = IPPROTO_TCP,
		.syn_mode = daemon->stopping ? SYN_KERNEL : modes[wanted->syn_cookies],
		.gated = !daemon->stopping && build_is_gated(wanted),
		.dry_run = build->config->limits.dry_run,
	};
	set_limits(&build->config->limits, &wanted->limits, ret_row->limits);
}

/* `more` may be NULL. */
static int set_listeners(struct daemon *daemon, const struct build *build,
	const struct dp_listener *more, struct err *err)
{
	struct dp_listener *rows =
		mem_zalloc(((build ? count_sockets(build) : 0) + 1) * sizeof(*rows));
	uint32_t i, at, n = 0;
	int r;

	if (more)
		rows[n++] = *more;
	for (i = 0; build && i < build->n_listeners; i++)
		for (at = 0; at < build->built[i].n_sockets; at++)
			set_row(daemon, build, i, build->built[i].sockets[at], &rows[n++]);
	r = dp_listeners_set(daemon->dataplane, rows, n, err);
	free(rows);
	return r;
}

int apply_guard(void *arg, const struct dp_listener *listener, struct err *err)
{
	struct daemon *daemon = arg;

	return set_listeners(daemon, daemon->build, listener, err);
}

void apply_refuse(struct daemon *daemon)
{
	struct err err;

	if (set_listeners(daemon, daemon->build, NULL, &err) < 0)
		log_warn("XDP answers new connections although they are refused: %s", err.text);
}

/* At start: nobody is served before these are in force. */
static int set_first(struct daemon *daemon, struct build *build, struct err *err)
{
	struct lists_config *config = build->lists;
	struct lists_spec spec = {
		.loop = daemon->io.loop,
		.loader = daemon->loader,
		.dp = daemon->dataplane,
	};
	char *state_path = mem_printf("%s.lists", build->config->admin.socket_path);
	int r;

	build->lists = NULL;
	spec.state_path = state_path;
	r = lists_new(&spec, config, &daemon->lists, err);
	free(state_path);
	if (build->has_cookie_secret)
		dp_cookies_set(daemon->dataplane, &build->cookie_secret);
	return r;
}

static void set_again(struct daemon *daemon, struct build *build, struct lists_request *lists_done)
{
	lists_config_set(daemon->lists, build->lists, lists_done);
	build->lists = NULL;
	if (build->has_cookie_secret)
		dp_cookies_set(daemon->dataplane, &build->cookie_secret);
}

static bool is_taking_over(const struct daemon *daemon)
{
	return daemon->taken && !daemon->taken->is_committed;
}

static int set_sockets(struct daemon *daemon, const struct build *build, struct err *err)
{
	const struct listener_socket *sock;
	uint32_t i, at, worker;
	int r;

	for (i = 0; i < build->n_listeners; i++)
		for (at = 0; at < build->built[i].n_sockets; at++) {
			sock = build->built[i].sockets[at];
			for (worker = 0; worker < sock->n_fds; worker++) {
				r = dp_reuseport_add(daemon->dataplane, sock->id, worker,
					sock->fds[worker], err);
				/* Of a process before with maps of its own, which it gives up later. */
				if (r < 0 && !(r == -EBUSY && is_taking_over(daemon)))
					return r;
			}
		}
	return 0;
}

size_t apply_interfaces(const struct config_xdp *xdp,
	struct dataplane_interface_spec ret_specs[DATAPLANE_MAX_INTERFACES])
{
	static const enum dataplane_mode modes[] = {
		[CONFIG_XDP_AUTO] = DATAPLANE_AUTO,
		[CONFIG_XDP_NATIVE] = DATAPLANE_NATIVE,
		[CONFIG_XDP_GENERIC] = DATAPLANE_GENERIC,
		[CONFIG_XDP_OFF] = DATAPLANE_NONE,
	};
	static const enum dataplane_dispatcher dispatchers[] = {
		[CONFIG_DISPATCHER_AUTO] = DATAPLANE_DISPATCHER_AUTO,
		[CONFIG_DISPATCHER_ALWAYS] = DATAPLANE_DISPATCHER_ALWAYS,
		[CONFIG_DISPATCHER_NEVER] = DATAPLANE_DISPATCHER_NEVER,
	};
	uint32_t i;

	for (i = 0; i < xdp->interfaces_count && i < DATAPLANE_MAX_INTERFACES; i++)
		ret_specs[i] = (struct dataplane_interface_spec){
			.name = xdp->interfaces[i],
			.mode = modes[xdp->mode],
			.dispatcher = dispatchers[xdp->dispatcher],
		};
	return i;
}

enum handover apply_handover(const struct config_xdp *xdp)
{
	static const enum handover modes[] = {
		[CONFIG_HANDOVER_AUTO] = HANDOVER_OWN_COOKIES, /* the most there is */
		[CONFIG_HANDOVER_OWN_COOKIES] = HANDOVER_OWN_COOKIES,
		[CONFIG_HANDOVER_KERNEL_COOKIES] = HANDOVER_KERNEL_COOKIES,
		[CONFIG_HANDOVER_NONE] = HANDOVER_NONE,
	};

	return modes[xdp->handover];
}

/* Maps of our own have no listener until there are workers for it: its clients would be sent away by a
 * packet plane that is in force already, while the process before serves them. */
static int set_dataplane(struct daemon *daemon, const struct build *build, struct err *err)
{
	bool is_early = is_taking_over(daemon) && dataplane_has_own_maps(daemon->dataplane);
	int r = set_listeners(daemon, is_early ? NULL : build, NULL, err);

	if (r == 0)
		r = set_sockets(daemon, build, err);
	return r;
}

void apply_again(struct daemon *daemon)
{
	struct err err;

	if (set_dataplane(daemon, daemon->build, &err) < 0)
		log_warn("the packet plane is not as it should be: %s", err.text);
}

/* --- the exchange itself */

struct retired {
	struct job job;
	struct daemon *daemon;
	struct build *build;
	bool has_all_watches; /* of the generation in force: others can end */
};

void apply_sweep(struct daemon *daemon)
{
	uint32_t i;

	certcache_sweep(tls_thread_certs(daemon->tls));
	for (i = 0; i < daemon->env.n_workers; i++)
		worker_tell_sweep(&daemon->workers[i]);
}

/* Loader thread. */
static void wait_for_workers(struct job *job)
{
	struct retired *retired = container_of(job, struct retired, job);

	if (retired->has_all_watches && retired->daemon->env.cert_watch)
		certwatch_end(retired->daemon->env.cert_watch);
	snapshot_wait();
	build_drop_certs(retired->build); /* a hundred thousand of them take their time */
}

static void free_retired(struct job *job)
{
	struct retired *retired = container_of(job, struct retired, job);

	build_free(retired->build);
	/* Certificates that were only in it are let go of by the workers' caches, too. */
	apply_sweep(retired->daemon);
	free(retired);
}

static void retire(struct daemon *daemon, struct build *build, bool has_all_watches)
{
	struct retired *retired = mem_zalloc(sizeof(*retired));

	retired->build = build;
	retired->daemon = daemon;
	retired->has_all_watches = has_all_watches;
	retired->job.run = wait_for_workers;
	retired->job.done = free_retired;
	loader_submit(daemon->loader, &retired->job);
}

/* Keys of a file; without one those of this node, which the file's are not left among. */
static void set_ticket_keys(
	struct daemon *daemon, const struct build *old, const struct build *build)
{
	const struct tls_ticket_keys *had = old ? old->tickets.keys : NULL;

	if (build->tickets.keys == had)
		return;
	if (build->tickets.keys)
		tls_tickets_use(daemon->env.tickets, build->tickets.keys);
	else
		tls_tickets_forget(daemon->env.tickets);
}

/* Whether there is an admin.listen does not change with a reload. */
static void set_access(struct daemon *daemon, const struct build *build)
{
	if (build->admin.access)
		admin_set_access(daemon->admin_remote, build->admin.access);
}

void apply_certs(struct daemon *daemon, struct build *build)
{
	struct build *old = daemon->build;

	set_ticket_keys(daemon, old, build);
	set_access(daemon, build);
	departing_take_back(daemon, build);
	daemon->build = build;
	if (snapshot_publish(&daemon->root, build) != old)
		abort();
	if (build->has_other_groups)
		apply_targets(daemon, old);
	apply_sweep(daemon);
	retire(daemon, old, false);
	expiry_look(daemon->expiry);
	stapling_look(daemon->stapling);
}

int apply_build(struct daemon *daemon, struct build *build, struct lists_request *lists_done,
	struct err *err)
{
	struct build *old = daemon->build;
	struct err undo;
	int r;

	r = old ? 0 : set_first(daemon, build, err);
	if (r == 0)
		r = set_dataplane(daemon, build, err);
	if (r < 0) {
		if (old && set_dataplane(daemon, old, &undo) < 0)
			log_error("the packet plane could not be put back: %s", undo.text);
		return r;
	}
	atomic_store(&daemon->node.max_connections, build->config->limits.connections);
	log_level_set((enum log_level)build->config->log.level);
	logs_apply(daemon->logs, build);
	set_ticket_keys(daemon, old, build);
	set_access(daemon, build);
	departing_take_back(daemon, build);
	daemon->build = build;
	if (snapshot_publish(&daemon->root, build) != old)
		abort();
	if (old)
		counts_keep(&daemon->counts, old, build);
	apply_targets(daemon, old);
	apply_sweep(daemon); /* a turn, and a look at what was removed */
	expiry_look(daemon->expiry);
	stapling_look(daemon->stapling);
	if (old) {
		build_release_ids(old, build, &daemon->env, false);
		retire(daemon, old, !build->is_incomplete);
		set_again(daemon, build, lists_done);
	}
	return 0;
}
