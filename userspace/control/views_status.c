/* The view "status": the daemon, its workers, what it uses of this host. See views.h. */
#include "control/logfile.h"
#include "control/logs.h"
#include "control/overview.h"
#include "control/upgrade.h"
#include "control/views_parts.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "core/version.h"
#include "tls/stream.h"
#include "tls/ktls.h"
#include "tls/tickets.h"
#include "tls/vault.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A shorter sample says little; the tick comes faster while the daemon stops. */
enum { SAMPLE_MS_MIN = 500 };

void views_start(struct daemon *daemon)
{
	daemon->listen_overflows_before = view_listen_overflows();
	(void)ktls_kernel_exists(); /* else it would not be seen before the first connection */
	view_drops_tick(daemon);
}

static void sample(struct worker *worker, uint64_t now_us)
{
	uint64_t busy_us = atomic_load_explicit(&worker->busy_us, memory_order_relaxed);
	uint64_t elapsed_us = now_us - worker->sampled_mono_us;
	uint64_t share;

	if (elapsed_us < SAMPLE_MS_MIN * 1000)
		return;
	share = (busy_us - worker->sampled_busy_us) * 100 / elapsed_us;
	/* A long turn is counted when it ends, which may be after the second it was spent in. */
	worker->busy_percent = worker->sampled_mono_us ? (uint32_t)(share < 100 ? share : 100) : 0;
	worker->sampled_busy_us = busy_us;
	worker->sampled_mono_us = now_us;
}

void views_tick(struct daemon *daemon)
{
	uint64_t now_us = clock_mono_us();
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++)
		sample(&daemon->workers[i], now_us);
	view_drops_tick(daemon);
	overview_tick(daemon);
	if (daemon->watch)
		watch_hub_tick(daemon->watch);
}

static void put_config(const struct daemon *daemon, const struct view *root)
{
	const struct last_reload *last = &daemon->last_reload;
	struct view config = view_object(root, "config");
	struct view reload;

	view_text(&config, "path", daemon->config_path);
	view_time(&config, "loaded_at", daemon->build->loaded_unix_s);
	view_number(&config, "generation", daemon->build->generation);
	if (!last->at_unix_s) {
		view_null(&config, "last_reload");
		return;
	}
	reload = view_object(&config, "last_reload");
	view_time(&reload, "at", last->at_unix_s);
	view_text(&reload, "result", last->refused ? "refused" : "applied");
	view_text(&reload, "error", last->error[0] ? last->error : NULL);
}

static void put_heartbeat(const struct worker *worker, const struct view *row)
{
	if (atomic_load_explicit(&worker->stamp_ns, memory_order_relaxed))
		view_number(row, "heartbeat_age_ms", worker_turn_age_ms(worker));
	else
		view_null(row, "heartbeat_age_ms");
}

static void put_worker(const struct daemon *daemon, uint32_t index, const struct view_list *list)
{
	const struct worker *worker = &daemon->workers[index];
	struct view row = view_list_object(list);
	struct listener_counts sum;

	counts_of_worker(&daemon->counts, daemon->build, index, &sum);
	view_number(&row, "id", index);
	if (worker->cpu >= 0)
		view_number(&row, "cpu", (uint64_t)worker->cpu);
	else
		view_null(&row, "cpu");
	put_heartbeat(worker, &row);
	view_number(
		&row, "connections", __atomic_load_n(&worker->proxy.conns.used, __ATOMIC_RELAXED));
	view_number(&row, "accepted", sum.accepted);
	view_number(&row, "requests", sum.requests);
	view_number(&row, "busy_percent", worker->busy_percent);
}

static void put_tickets(const struct build *build, const struct view *root)
{
	const struct built_tickets *built = &build->tickets;
	struct view tickets = view_object(root, "session_tickets");

	view_text(&tickets, "keys_file", build->config->session_tickets.keys_path);
	if (built->keys)
		view_number(&tickets, "keys", tls_ticket_keys_len(built->keys));
	else
		view_null(&tickets, "keys");
	view_text(&tickets, "fault", built->fault);
}

static void put_totals(const struct daemon *daemon, const struct view *root)
{
	struct view handshakes;
	struct listener_counts sum;

	counts_of_all(&daemon->counts, daemon->build, &sum);
	view_number(root, "connections_open",
		atomic_load_explicit(&daemon->node.open, memory_order_relaxed));
	view_number(root, "accepted_total", sum.accepted);
	view_number(root, "requests_total", sum.requests);
	handshakes = view_object(root, "handshakes");
	view_number(&handshakes, "full", sum.handshakes_full);
	view_number(&handshakes, "resumed", sum.handshakes_resumed);
	view_number(&handshakes, "failed", sum.reasons[CLOSE_handshake_failed]);
	view_number(&handshakes, "ticket_refused", sum.tickets_refused);
	put_tickets(daemon->build, root);
}

static void put_xdp(const struct dataplane_report *report, const struct view *root)
{
	struct view xdp = view_object(root, "xdp");
	struct view_list interfaces = view_list(&xdp, "interfaces");
	const struct dataplane_interface_report *interface;
	const char *why;
	struct view row;
	size_t i;

	for (i = 0; i < report->interface_count; i++) {
		interface = &report->interfaces[i];
		row = view_list_object(&interfaces);
		why = !*interface->why && !report->active ? report->why : interface->why;
		view_text(&row, "name", interface->name);
		view_text(&row, "mode", dataplane_attachment_name(interface));
		view_text(&row, "reason", *why ? why : NULL);
		if (interface->prog_id)
			view_number(&row, "prog_id", interface->prog_id);
		else
			view_null(&row, "prog_id");
	}
}

static void put_handover(const struct daemon *daemon, const struct view *root)
{
	static const char *const names[] = {
		[HANDOVER_NONE] = "none",
		[HANDOVER_KERNEL_COOKIES] = "kernel_cookies",
		[HANDOVER_OWN_COOKIES] = "own_cookies",
	};
	struct view handover = view_object(root, "handover");
	struct dp_handover_report report;

	dp_handover_report(daemon->dataplane, &report);
	view_text(&handover, "mode", names[report.reached]);
	view_text(&handover, "reason", *report.why ? report.why : NULL);
}

/* Of all workers; what became of first flights is in the counters. */
static void put_flights(const struct daemon *daemon, const struct view *gate)
{
	uint64_t frames = daemon->gate_before.frames, open = 0;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++) {
		const struct gate_counts *counts = &daemon->workers[i].gate_worker.counts;

		frames += __atomic_load_n(&counts->frames, __ATOMIC_RELAXED);
		open += __atomic_load_n(&counts->flights_open, __ATOMIC_RELAXED);
	}
	view_number(gate, "frames", frames);
	view_number(gate, "flights_open", open);
}

static void put_gate(const struct daemon *daemon, const struct view *root)
{
	struct view gate = view_object(root, "gate");
	struct gates_report report;

	memset(&report, 0, sizeof(report));
	if (daemon->gates)
		gates_report(daemon->gates, &report);
	view_bool(&gate, "active", report.active);
	view_text(&gate, "reason", *report.why ? report.why : NULL);
	view_text(&gate, "device", *report.device ? report.device : NULL);
	view_number(&gate, "sockets", report.sockets);
	view_number(&gate, "zero_copy", report.zero_copy);
	put_flights(daemon, &gate);
}

static uint64_t pool_bytes(const struct pool *pool)
{
	uint64_t items = (uint64_t)__atomic_load_n(&pool->used, __ATOMIC_RELAXED) +
			 __atomic_load_n(&pool->free_len, __ATOMIC_RELAXED);

	return items * pool->item_bytes;
}

/* What there is of connections, theirs to targets too; buffers are lent and not among it. */
static uint64_t connections_bytes(const struct daemon *daemon)
{
	uint64_t bytes = 0;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++) {
		const struct proxy_worker *proxy = &daemon->workers[i].proxy;

		bytes += pool_bytes(&proxy->conns) + pool_bytes(&proxy->exchanges) +
			 pool_bytes(&proxy->tunnels) + pool_bytes(&proxy->upstreams) +
			 pool_bytes(&proxy->io.plain_streams) +
			 pool_bytes(tls_thread_streams(proxy->tls));
	}
	return bytes;
}

/* A connection that waits owns itself and its stream, and no buffer. */
static void put_connections(const struct daemon *daemon, const struct view *memory)
{
	const struct proxy_worker *proxy = &daemon->workers[0].proxy;

	view_number(memory, "idle_connection_bytes",
		proxy->conns.item_bytes + proxy->io.plain_streams.item_bytes);
	view_number(memory, "idle_tls_connection_bytes",
		proxy->conns.item_bytes + tls_thread_streams(proxy->tls)->item_bytes);
	view_number(memory, "connections_bytes", connections_bytes(daemon));
}

struct certcache_counts view_cached_certs(const struct daemon *daemon)
{
	struct certcache_counts sum = daemon->cert_cache_before;
	uint32_t i;

	for (i = 0; i < daemon->env.n_workers; i++) {
		const struct certcache_counts *counts =
			certcache_counts(tls_thread_certs(daemon->workers[i].proxy.tls));

		sum.hits += __atomic_load_n(&counts->hits, __ATOMIC_RELAXED);
		sum.misses += __atomic_load_n(&counts->misses, __ATOMIC_RELAXED);
		sum.bad += __atomic_load_n(&counts->bad, __ATOMIC_RELAXED);
		sum.held += __atomic_load_n(&counts->held, __ATOMIC_RELAXED);
	}
	return sum;
}

/* Whether certificates_cache is large enough. */
static void put_certificate_cache(const struct daemon *daemon, const struct view *root)
{
	struct view cache = view_object(root, "certificate_cache");
	struct certcache_counts sum = view_cached_certs(daemon);

	view_number(&cache, "per_worker", daemon->build->config->certificates_cache);
	view_number(&cache, "held", sum.held);
	view_number(&cache, "hits", sum.hits);
	view_number(&cache, "misses", sum.misses);
	view_number(&cache, "bad", sum.bad);
}

static void put_memory(const struct daemon *daemon, const struct view *root)
{
	struct view memory = view_object(root, "memory");
	FILE *statm = fopen("/proc/self/statm", "re");
	unsigned long long size_pages, rss_pages;

	if (statm && fscanf(statm, "%llu %llu", &size_pages, &rss_pages) == 2)
		view_number(&memory, "rss_bytes", rss_pages * (uint64_t)sysconf(_SC_PAGESIZE));
	else
		view_null(&memory, "rss_bytes");
	if (statm)
		fclose(statm);
	view_number(&memory, "certificates_bytes", vault_mapped_bytes());
	put_connections(daemon, &memory);
}

/* What can run out; what has no limit is left out. */
static void put_overload(const struct daemon *daemon, const struct view *root)
{
	const struct overload *overload = &daemon->overload;
	struct view object = view_object(root, "overload"), row;
	struct view_list list;
	enum overload_resource resource;

	view_text(&object, "level", overload_level_name(overload->level));
	view_number(&object, "changes", overload->n_changes);
	view_number(&object, "accept_pauses",
		atomic_load_explicit(&daemon->node.accept_pauses, memory_order_relaxed));
	list = view_list(&object, "resources");
	for (resource = 0; resource < OVERLOAD_RESOURCES; resource++) {
		if (!overload->gauges[resource].limit)
			continue;
		row = view_list_object(&list);
		view_text(&row, "name", overload_resource_name(resource));
		view_text(&row, "level", overload_level_name(overload->gauges[resource].level));
		view_bool(&row, "in_vain", overload->gauges[resource].has_given_up);
		view_number(&row, "used", overload->gauges[resource].used);
		view_number(&row, "limit", overload->gauges[resource].limit);
	}
}

static void put_log(const struct view *log, const char *path, const struct logfile_counts *counts)
{
	view_text(log, "path", path);
	view_bool(log, "open", counts->is_open);
	view_number(log, "lines", counts->written);
	view_number(log, "bytes", counts->bytes);
	view_number(log, "dropped_full", counts->dropped_full);
	view_number(log, "dropped_error", counts->dropped_error);
	view_number(log, "reopened", counts->reopened);
	view_text(log, "error", counts->error[0] ? counts->error : NULL);
}

/* `daemon->logs` is NULL in a daemon that has not started. */
static void put_connection_log(const struct daemon *daemon, const struct view *root)
{
	const char *path = daemon->build->config->log.connections_path;
	struct logfile_counts counts;
	struct view log;

	if (!path || !daemon->logs) {
		view_null(root, "connection_log");
		return;
	}
	logs_connections(daemon->logs, &counts);
	log = view_object(root, "connection_log");
	put_log(&log, path, &counts);
}

static void put_access_logs(const struct daemon *daemon, const struct view *root)
{
	struct view_list list = view_list(root, "access_logs");
	struct logfile_counts counts;
	void *cursor = NULL;
	const char *path;
	struct view log;

	while (daemon->logs && logs_next_access(daemon->logs, &cursor, &path, &counts)) {
		log = view_list_object(&list);
		put_log(&log, path, &counts);
	}
}

static void put_upgrade(const struct daemon *daemon, const struct view *root)
{
	struct view upgrade = view_object(root, "upgrade");
	struct upgrade_report report;

	upgrade_report(daemon, &report);
	if (report.from_pid)
		view_number(&upgrade, "from_pid", report.from_pid);
	else
		view_null(&upgrade, "from_pid");
	view_text(&upgrade, "from_version", report.from_pid ? report.from_version : NULL);
	view_bool(&upgrade, "from_alive", report.is_there);
	view_number(&upgrade, "connections_left", report.connections_left);
	view_number(&upgrade, "addresses", report.sockets);
	view_number(&upgrade, "failed", report.failed);
	view_text(&upgrade, "error", *report.error ? report.error : NULL);
}

int view_status(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct dataplane_report *report = mem_zalloc(sizeof(*report));
	struct view root = {doc, root_value};
	struct view_list workers;
	int64_t uptime_s = clock_unix_s() - daemon->started_unix_s;
	uint32_t i;

	dataplane_report(daemon->dataplane, report);
	view_text(&root, "version", SLUICE_VERSION);
	view_number(&root, "pid", (uint64_t)getpid());
	view_text(&root, "state", leaving_word(daemon));
	view_number(&root, "state_left_ms", leaving_left_ms(daemon));
	view_time(&root, "started_at", daemon->started_unix_s);
	view_number(&root, "uptime_s", uptime_s > 0 ? (uint64_t)uptime_s : 0);
	put_config(daemon, &root);
	put_upgrade(daemon, &root);
	workers = view_list(&root, "workers");
	for (i = 0; i < daemon->env.n_workers; i++)
		put_worker(daemon, i, &workers);
	put_totals(daemon, &root);
	put_xdp(report, &root);
	put_handover(daemon, &root);
	put_gate(daemon, &root);
	view_capabilities(daemon, report, &root);
	put_memory(daemon, &root);
	put_overload(daemon, &root);
	put_certificate_cache(daemon, &root);
	view_number(&root, "log_lines_lost", log_dropped());
	view_number(&root, "worker_stalls", daemon->worker_watch.n_stuck);
	put_connection_log(daemon, &root);
	put_access_logs(daemon, &root);
	free(report);
	return 0;
}
