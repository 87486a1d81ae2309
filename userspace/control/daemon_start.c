/* The daemon's parts in the order in which they start: see daemon_start.h. Control thread. */
#define LOG_MODULE "daemon"
#include "control/daemon_start.h"

#include "control/admin_socket.h"
#include "control/apply.h"
#include "control/cert_upkeep.h"
#include "control/confinement.h"
#include "control/events.h"
#include "control/expiry.h"
#include "control/http_client.h"
#include "control/logs.h"
#include "control/renewal.h"
#include "control/resolver.h"
#include "control/stapling.h"
#include "control/succession.h"
#include "control/upgrade_take.h"
#include "control/views.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/certcache.h"
#include "tls/stream.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

uint32_t daemon_cpus(cpu_set_t *ret_set)
{
	if (sched_getaffinity(0, sizeof(*ret_set), ret_set) < 0)
		CPU_ZERO(ret_set);
	return CPU_COUNT(ret_set) ? (uint32_t)CPU_COUNT(ret_set) : 1;
}

static int start_dataplane(struct daemon *daemon, const struct config *config, struct err *err)
{
	struct dataplane_interface_spec interfaces[DATAPLANE_MAX_INTERFACES];
	struct dataplane_spec spec = {
		.enabled = config->xdp.mode != CONFIG_XDP_OFF,
		.pin_dir = config->xdp.pin_dir_path,
		.workers = daemon->env.n_workers,
		.handover = apply_handover(&config->xdp),
		.interfaces = interfaces,
		.takes_over = daemon->taken,
		.lock_fd = upgrade_taken_lock(
			daemon->taken, UPGRADE_LOCK_PINS, config->xdp.pin_dir_path),
	};
	struct dataplane_report *report;
	uint32_t i;
	int r;

	spec.interface_count = apply_interfaces(&config->xdp, interfaces);
	r = dataplane_open(&spec, &daemon->dataplane, err);
	if (r < 0)
		return r;
	report = mem_zalloc(sizeof(*report));
	dataplane_report(daemon->dataplane, report);
	if (!report->active)
		log_warn("no packet plane: %s", report->why);
	for (i = 0; i < report->interface_count; i++)
		log_info("XDP on %s: %s%s%s%s", report->interfaces[i].name,
			dataplane_attachment_name(&report->interfaces[i]),
			report->interfaces[i].adopted ? ", adopted" : "",
			*report->interfaces[i].why ? ": " : "", report->interfaces[i].why);
	free(report);
	return 0;
}

static int init_workers(struct daemon *daemon, uint32_t certs_cached, struct err *err)
{
	uint32_t i;
	int r;

	daemon->workers = mem_zalloc(daemon->env.n_workers * sizeof(*daemon->workers));
	for (i = 0; i < daemon->env.n_workers; i++) {
		r = worker_init(
			&daemon->workers[i], i, &daemon->root, &daemon->node, &daemon->gate_node);
		if (r < 0)
			return err_context(err, r, "worker %u", i);
		certcache_resize(tls_thread_certs(daemon->workers[i].proxy.tls), certs_cached);
	}
	return 0;
}

/* One worker per CPU of our affinity mask: pinned. Another number: the kernel places them. */
static int start_workers(struct daemon *daemon, struct err *err)
{
	uint32_t i, n = daemon->env.n_workers, n_cpus;
	cpu_set_t set;
	int cpu = -1, r;

	n_cpus = daemon_cpus(&set);
	for (i = 0; i < n; i++) {
		if (n == n_cpus)
			do
				cpu++;
			while (cpu < CPU_SETSIZE - 1 && !CPU_ISSET((unsigned int)cpu, &set));
		r = dp_heartbeat_open(daemon->dataplane, i, &daemon->workers[i].heartbeat, err);
		if (r < 0)
			return err_context(err, r, "worker %u", i);
		r = worker_start(&daemon->workers[i], cpu);
		if (r < 0)
			return err_set(err, r, "cannot start worker %u: %s", i, strerror(-r));
	}
	return 0;
}

static void watch_certificates(struct daemon *daemon)
{
	daemon->env.cert_index = NULL;
	cert_upkeep_look(daemon->cert_upkeep, daemon->build, daemon->build->has_other_dirs);
	renewal_begin(daemon);
}

static int build_first(struct daemon *daemon, struct config *config, struct err *err)
{
	struct config_errors errors;
	struct build *build = NULL;
	int r;

	config_errors_init(&errors);
	r = build_new(&daemon->env, NULL, config, NULL, &build, &errors);
	if (r < 0) {
		config_errors_print(&errors, stderr);
		err_set(err, r, "the configuration cannot be put in force (see above)");
	} else {
		stapling_ready(daemon->stapling, build);
		r = apply_build(daemon, build, NULL, err);
		if (r < 0) {
			build_free(build);
		} else {
			resolver_apply(daemon->resolver, build->config);
			watch_certificates(daemon);
		}
	}
	config_errors_fini(&errors);
	return r;
}

/* 0 too where there are no addresses. */
static int open_admin_tcp(struct daemon *daemon, struct admin_spec spec,
	const struct config_address *list, uint32_t n, struct admin **ret_admin, struct err *err)
{
	union addr addresses[ADMIN_ADDRESSES_MAX];
	uint32_t i;

	for (i = 0; i < n; i++)
		addresses[i] = build_addr(&list[i]);
	spec.addresses = addresses;
	spec.n_addresses = n;
	spec.source = &views_source;
	spec.arg = daemon;
	spec.may_share = daemon->taken; /* the process before, for a moment */
	return n ? admin_new(&daemon->io, &spec, ret_admin, err) : 0;
}

static int start_admin_tcp(struct daemon *daemon, struct err *err)
{
	const struct config *config = daemon->build->config;
	struct admin_spec remote = {.kind = ADMIN_REMOTE,
		.setting = "admin.listen",
		.tls = daemon->tls,
		.access = daemon->build->admin.access};
	struct admin_spec metrics = {.kind = ADMIN_METRICS, .setting = "metrics.listen"};
	int r = open_admin_tcp(daemon, remote, config->admin.listen, config->admin.listen_count,
		&daemon->admin_remote, err);

	return r < 0 ? r
		     : open_admin_tcp(daemon, metrics, config->metrics.listen,
			       config->metrics.listen_count, &daemon->admin_metrics, err);
}

static int start_admin(struct daemon *daemon, const char *socket_path, struct err *err)
{
	struct admin_spec spec = {
		.socket_path = socket_path,
		.source = &views_source,
		.arg = daemon,
	};

	struct watch_hub_spec watch = {daemon->io.loop, daemon->dataplane, daemon->workers,
		daemon->env.n_workers, view_listener_name, daemon};
	struct connections_hub_spec connections = {
		daemon->io.loop, daemon->workers, daemon->env.n_workers};
	int r = watch_hub_new(&watch, &daemon->watch, err);

	if (r == 0)
		r = connections_hub_new(&connections, &daemon->connections, err);
	if (r < 0)
		return r;
	daemon->events = events_new(daemon);
	views_start(daemon);
	r = admin_new(&daemon->io, &spec, &daemon->admin, err);
	return r < 0 ? r : start_admin_tcp(daemon, err);
}

static void names_changed(void *arg)
{
	struct daemon *daemon = arg;

	if (resolver_version(daemon->resolver) != daemon->build->names_version)
		renewal_look(daemon);
}

static int start_resolver(struct daemon *daemon, struct err *err)
{
	struct resolver_spec spec = {daemon->io.loop, daemon->loader, names_changed, daemon};
	int r = resolver_new(&spec, &daemon->resolver, err);

	if (r == 0)
		daemon->env.resolver = daemon->resolver;
	return r;
}

void daemon_start_gates(struct daemon *daemon, const struct config *config)
{
	daemon->gates = gates_new(
		&(struct gates_spec){
			.dp = daemon->dataplane,
			.workers = daemon->workers,
			.n_workers = daemon->env.n_workers,
			.guard = apply_guard,
			.arg = daemon,
			.state = daemon->taken ? &daemon->taken->gate : NULL,
		},
		config);
	if (daemon->taken)
		gates_state_fini(&daemon->taken->gate);
}

/* In this order: nothing is served before the packet plane guards it, nothing is promised (admin
 * socket, "ready") before it is served. */
int daemon_start(struct daemon *daemon, struct config *config, struct err *err)
{
	int r = start_resolver(daemon, err);

	if (r == 0)
		r = http_client_new(daemon->io.loop, &daemon->http, err);
	if (r == 0 && daemon->wants_to_take_over)
		r = succession_begin(daemon, config, err);
	/* A second daemon would take connections of the first until admin_new() refuses it. */
	if (r == 0 && !daemon->taken)
		r = admin_socket_check(config->admin.socket_path, err);
	if (r == 0)
		r = object_store_open(&daemon->objects, daemon->config_path,
			upgrade_taken_lock(
				daemon->taken, UPGRADE_LOCK_OBJECTS, config->state_dir_path),
			&config, err);
	if (r == 0)
		r = start_dataplane(daemon, config, err);
	if (r == 0)
		r = confinement_end(daemon->dataplane, config, err);
	if (r == 0)
		r = init_workers(daemon, config->certificates_cache, err);
	if (r == 0)
		daemon->gate_node.settings = dp_settings(daemon->dataplane);
	if (r < 0) {
		config_free(config);
		return r;
	}
	if (!daemon->taken)
		daemon_start_gates(daemon, config);
	daemon->cert_upkeep =
		cert_upkeep_new(daemon->io.loop, daemon->loader, config->certificates_index_path);
	daemon->env.cert_index = cert_upkeep_index(daemon->cert_upkeep);
	renewal_new(daemon);
	daemon->logs = logs_new(daemon);
	daemon->expiry = expiry_new(daemon);
	daemon->stapling = stapling_new(daemon);
	daemon->health = health_new(&daemon->io, daemon->tls, apply_health, daemon);
	if (daemon->taken)
		health_set_known(daemon->health, upgrade_taken_health, daemon->taken);
	r = build_first(daemon, config, err);
	health_set_known(
		daemon->health, NULL, NULL); /* of targets that come later nothing is known */
	if (r == 0 && daemon->taken)
		r = succession_commit(daemon, err);
	/* Clients that the workers have are lost if anything fails behind them. */
	if (r == 0)
		r = start_admin(daemon, daemon->build->config->admin.socket_path, err);
	if (r == 0 && daemon->taken)
		r = upgrade_hear_refusal(daemon->taken, err);
	if (r == 0)
		r = start_workers(daemon, err);
	if (r == 0 && daemon->taken)
		r = succession_publish(daemon, err);
	if (r == 0 && daemon->taken)
		r = upgrade_tell_serving(daemon->taken, err);
	if (r == 0 && daemon->taken)
		daemon->taken->is_serving = true;
	return r;
}
