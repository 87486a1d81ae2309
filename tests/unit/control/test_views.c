/* The views of the admin API over a daemon that is not running: a configuration built in full,
 * counters set by hand, and the JSON that comes out. */
#include "control/apply.h"
#include "control/departing.h"
#include "control/ids.h"
#include "control/views.h"
#include "core/clock.h"
#include "proxy/conn.h"
#include "tls/stream.h"
#include "tls/tickets.h"

#include <errno.h>
#include <stdio.h>
#include <unistd.h>

#include "config_case.h"

enum { WORKERS = 2 };

static const char config_text[] =
	"workers: 2\n"
	"target_groups:\n"
	"  - name: web\n"
	"    protocol: http\n"
	"    algorithm: least_outstanding\n"
	"    targets: [{address: 127.0.0.1:9, weight: 3}, {name: b, address: '[::1]:9', weight: 0}]\n"
	"    health_check: {protocol: off}\n"
	"  - name: raw\n"
	"    protocol: tcp\n"
	"    fail_open: false\n"
	"    targets: [{address: 127.0.0.2:9}]\n"
	"    health_check: {protocol: off}\n"
	"listeners:\n"
	"  - {name: web, protocol: http, address: 127.0.0.1:%u, target_group: web}\n";

struct fixture {
	struct daemon daemon;
	unsigned int port;
};

/* Free a moment ago; the listener of the test binds with SO_REUSEPORT anyway. */
static unsigned int free_port(void)
{
	struct sockaddr_in addr = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
	socklen_t len = sizeof(addr);
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	assert_int_equal(bind(fd, (struct sockaddr *)&addr, len), 0);
	assert_int_equal(getsockname(fd, (struct sockaddr *)&addr, &len), 0);
	close(fd);
	return ntohs(addr.sin_port);
}

static void no_notice(
	void *arg, const struct target *target, const struct health_state *state, bool changed)
{
}

static struct build *build_from(struct daemon *daemon, const char *text, const struct build *before)
{
	struct config *config = NULL;
	struct config_errors errors;
	struct build *build = NULL;
	char *lines;

	config_errors_init(&errors);
	if (config_parse(text, strlen(text), "/etc/sluice/t.yaml", &config, &errors) == 0 &&
		build_new(&daemon->env, before, config, NULL, &build, &errors) == 0) {
		config_errors_fini(&errors);
		return build;
	}
	lines = case_errors_text(&errors);
	fail_msg("%s", lines);
	return NULL;
}

static void check_health_of(struct daemon *daemon)
{
	struct health_target targets[8];
	uint32_t group, i, n = 0;

	for (group = 0; group < daemon->build->config->target_groups_count; group++)
		for (i = 0; i < daemon->build->groups[group].n_targets; i++)
			targets[n++] =
				(struct health_target){daemon->build->groups[group].targets[i],
					daemon->build->groups[group].check};
	health_set(daemon->health, targets, n);
}

static int setup(void **state)
{
	struct fixture *fixture = aligned_alloc(CACHE_LINE, sizeof(*fixture));
	struct daemon *daemon = &fixture->daemon;
	struct dataplane_spec spec = {.enabled = false, .workers = WORKERS};
	struct err err;
	char text[2048];
	uint32_t i;

	memset(fixture, 0, sizeof(*fixture));
	fixture->port = free_port();
	daemon->config_path = "/etc/sluice/t.yaml";
	daemon->started_unix_s = clock_unix_s() - 60;
	daemon->env = (struct build_env){
		WORKERS, tls_tickets_new(), ids_new(64), ids_new(64), ids_new(64)};
	list_init(&daemon->departing);
	counts_init(&daemon->counts, WORKERS);
	daemon->gate_node = (struct gate_node){gate_limits_new(), gate_released_new(), NULL};
	assert_int_equal(iothread_init(&daemon->io, WORKERS), 0);
	daemon->tls = tls_thread_new(&daemon->io);
	assert_int_equal(dataplane_open(&spec, &daemon->dataplane, &err), 0);
	daemon->health = health_new(&daemon->io, daemon->tls, no_notice, NULL);
	daemon->workers = calloc(WORKERS, sizeof(*daemon->workers));
	assert_non_null(daemon->workers);
	for (i = 0; i < WORKERS; i++)
		assert_int_equal(worker_init(&daemon->workers[i], i, &daemon->root, &daemon->node,
					 &daemon->gate_node),
			0);
	snprintf(text, sizeof(text), config_text, fixture->port);
	daemon->build = build_from(daemon, text, NULL);
	check_health_of(daemon);
	views_start(daemon);
	*state = fixture;
	return 0;
}

static int teardown(void **state)
{
	struct fixture *fixture = *state;
	struct daemon *daemon = &fixture->daemon;
	struct departing *departing;
	uint32_t i;

	health_free(daemon->health);
	loop_stop(daemon->io.loop); /* one turn: what was deferred runs */
	loop_run(daemon->io.loop);
	while (!list_is_empty(&daemon->departing)) {
		departing = container_of(daemon->departing.next, struct departing, link);
		list_del(&departing->link);
		target_put(departing->target);
		free(departing);
	}
	for (i = 0; i < WORKERS; i++)
		worker_fini(&daemon->workers[i]);
	free(daemon->workers);
	build_free(daemon->build);
	counts_fini(&daemon->counts);
	overview_fini(&daemon->overview);
	dataplane_close(daemon->dataplane, DATAPLANE_DETACH);
	tls_thread_free(daemon->tls);
	iothread_fini(&daemon->io);
	gate_limits_free(daemon->gate_node.limits);
	gate_released_free(daemon->gate_node.released);
	tls_tickets_put(daemon->env.tickets);
	ids_free(daemon->env.target_ids);
	ids_free(daemon->env.socket_ids);
	ids_free(daemon->env.listener_ids);
	free(fixture);
	return 0;
}

typedef int view_call(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root);

/* The answer as a client reads it. The caller frees it. */
static yyjson_doc *ask(struct fixture *fixture, view_call *view)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_doc *answer;
	char *text;
	size_t len;

	assert_int_equal(view(&fixture->daemon, doc, yyjson_mut_doc_get_root(doc)), 0);
	text = yyjson_mut_write(doc, 0, &len);
	assert_non_null(text);
	yyjson_mut_doc_free(doc);
	answer = yyjson_read(text, len, 0);
	assert_non_null(answer);
	free(text);
	return answer;
}

static yyjson_val *at(yyjson_doc *answer, const char *pointer)
{
	yyjson_val *value = yyjson_doc_ptr_get(answer, pointer);

	if (!value)
		fail_msg("no %s", pointer);
	return value;
}

#define assert_text(answer, pointer, text)                                                         \
	assert_string_equal(yyjson_get_str(at(answer, pointer)), text)
#define assert_number(answer, pointer, number)                                                     \
	assert_int_equal(yyjson_get_sint(at(answer, pointer)), number)
#define assert_null_at(answer, pointer) assert_true(yyjson_is_null(at(answer, pointer)))

static yyjson_val *row_of(
	yyjson_doc *answer, const char *list, const char *member, const char *text)
{
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(at(answer, list), i, n, row)
	{
		if (yyjson_equals_str(yyjson_obj_get(row, member), text))
			return row;
	}
	return NULL;
}

static int64_t count_of(yyjson_doc *answer, const char *reason)
{
	yyjson_val *row = row_of(answer, "/drops", "reason", reason);

	assert_non_null(row);
	return yyjson_get_sint(yyjson_obj_get(row, "count"));
}

static struct listener_counts *counts(struct fixture *fixture, uint32_t worker)
{
	return listener_counts(fixture->daemon.build->listeners[0], worker);
}

static void sums_listeners_over_workers(void **state)
{
	struct fixture *fixture = *state;
	char address[32];
	yyjson_doc *answer;

	counts(fixture, 0)->accepted = 3;
	counts(fixture, 1)->accepted = 4;
	counts(fixture, 1)->bytes_out = 1000;
	counts(fixture, 0)->reasons[CLOSE_bad_request] = 2;
	counts(fixture, 1)->reasons[CLOSE_no_target] = 1;
	counts(fixture, 1)->reasons[CLOSE_done] = 50; /* no refusal */
	answer = ask(fixture, views_source.listeners);
	snprintf(address, sizeof(address), "127.0.0.1:%u", fixture->port);
	assert_text(answer, "/listeners/0/name", "web");
	assert_text(answer, "/listeners/0/protocol", "http");
	assert_text(answer, "/listeners/0/addresses/0", address);
	assert_text(answer, "/listeners/0/state", "listening");
	assert_number(answer, "/listeners/0/accepted", 7);
	assert_number(answer, "/listeners/0/refused", 3);
	assert_number(answer, "/listeners/0/bytes_out", 1000);
	assert_false(yyjson_get_bool(at(answer, "/listeners/0/gated"))); /* http */
	assert_text(answer, "/listeners/0/syn_cookies", "always");
	assert_null_at(answer, "/listeners/0/ktls"); /* http */
	assert_number(answer, "/listeners/0/cookies", 0); /* the packet plane is off */
	assert_number(answer, "/listeners/0/released", 0);
	yyjson_doc_free(answer);
	fixture->daemon.stopping = true;
	answer = ask(fixture, views_source.listeners);
	assert_text(answer, "/listeners/0/state", "draining");
	yyjson_doc_free(answer);
}

static void lists_each_drop_reason(void **state)
{
	struct fixture *fixture = *state;
	yyjson_doc *answer;

	counts(fixture, 0)->reasons[CLOSE_node_limit] = 5;
	counts(fixture, 1)->reasons[CLOSE_node_limit] = 6;
	counts(fixture, 1)->tls_failures[TLS_FAILURE_no_shared_version] = 9;
	answer = ask(fixture, views_source.drops);
	assert_int_equal(count_of(answer, "node_limit"), 11);
	assert_int_equal(count_of(answer, "tls_no_shared_version"), 9);
	assert_int_equal(count_of(answer, "out_of_memory"), 0);
	assert_null(row_of(answer, "/drops", "reason", "done"));
	assert_null(row_of(answer, "/drops", "reason", "tls_none"));
	assert_null(row_of(answer, "/drops", "reason", "tls_target_cert_expired"));
	assert_null(row_of(answer, "/drops", "where", "xdp")); /* the packet plane is off */
	yyjson_doc_free(answer);
}

/* Refusals of all workers are drops; what the gate notes on the way is a counter only. */
static void counts_what_the_gate_refused(void **state)
{
	struct fixture *fixture = *state;
	struct worker *workers = fixture->daemon.workers;
	yyjson_doc *answer;
	yyjson_val *row;

	workers[0].gate_worker.counts.reasons[GATE_name_unknown] = 3;
	workers[1].gate_worker.counts.reasons[GATE_name_unknown] = 4;
	workers[1].gate_worker.counts.reasons[GATE_released] = 1000;
	workers[1].gate_worker.counts.reasons[GATE_partial] = 8;
	workers[0].gate_worker.counts.would_refuse[GATE_ja4_handshake_limit] = 9;
	answer = ask(fixture, views_source.drops);
	row = row_of(answer, "/drops", "reason", "name_unknown");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "where"), "gate"));
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(row, "count")), 7);
	assert_null(row_of(answer, "/drops", "reason", "released"));
	assert_null(row_of(answer, "/drops", "reason", "partial"));
	assert_null(row_of(answer, "/drops", "reason", "dry_ja4_handshake_limit"));
	yyjson_doc_free(answer);
	answer = ask(fixture, views_source.counters);
	row = row_of(answer, "/counters", "reason", "released");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "verdict"), "release"));
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(row, "count")), 1000);
	assert_non_null(row_of(answer, "/counters", "reason", "partial"));
	row = row_of(answer, "/counters", "reason", "dry_ja4_handshake_limit");
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(row, "count")), 9);
	assert_non_null(row_of(answer, "/counters", "reason", "done"));
	assert_null(row_of(answer, "/counters", "reason", "dry_name_unknown"));
	yyjson_doc_free(answer);
}

/* By direction and place; a place that no connection ends in is no row. */
static void counts_who_had_the_records(void **state)
{
	struct fixture *fixture = *state;
	yyjson_doc *answer;
	yyjson_val *row;

	counts(fixture, 0)->places[TLS_RX][KTLS_kernel] = 2;
	counts(fixture, 1)->places[TLS_RX][KTLS_kernel] = 3;
	counts(fixture, 1)->places[TLS_TX][KTLS_kernel_refused] = 7;
	answer = ask(fixture, views_source.counters);
	row = row_of(answer, "/counters", "reason", "ktls_rx_kernel");
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(row, "count")), 5);
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "verdict"), "note"));
	row = row_of(answer, "/counters", "reason", "ktls_tx_kernel_refused");
	assert_int_equal(yyjson_get_uint(yyjson_obj_get(row, "count")), 7);
	assert_null(row_of(answer, "/counters", "reason", "ktls_rx_none"));
	yyjson_doc_free(answer);
	answer = ask(fixture, views_source.drops);
	assert_null(row_of(answer, "/drops", "reason", "ktls_tx_kernel_refused"));
	yyjson_doc_free(answer);
}

/* From one tick to the next; what was counted before the start has not been seen. */
static void tells_how_fast_and_when(void **state)
{
	struct fixture *fixture = *state;
	struct daemon *daemon = &fixture->daemon;
	int64_t before = clock_unix_s();
	yyjson_doc *answer;
	yyjson_val *row;

	memset(&daemon->tallies, 0, sizeof(daemon->tallies));
	counts(fixture, 0)->reasons[CLOSE_node_limit] = 100;
	views_tick(daemon);
	daemon->tallies.samples[0].at_mono_us -= 2000000; /* two seconds ago */
	counts(fixture, 0)->reasons[CLOSE_no_target] = 50;
	answer = ask(fixture, views_source.drops);
	row = row_of(answer, "/drops", "reason", "no_target");
	assert_true(yyjson_get_num(yyjson_obj_get(row, "rate_per_s")) > 20);
	assert_true(yyjson_get_num(yyjson_obj_get(row, "rate_per_s")) <= 25);
	assert_true(yyjson_get_sint(yyjson_obj_get(row, "last_seen_at")) >= before);
	row = row_of(answer, "/drops", "reason", "node_limit");
	assert_true(yyjson_get_num(yyjson_obj_get(row, "rate_per_s")) == 0);
	assert_true(yyjson_is_null(yyjson_obj_get(row, "last_seen_at")));
	yyjson_doc_free(answer);
}

static void shows_targets_and_their_state(void **state)
{
	struct fixture *fixture = *state;
	struct target *target = fixture->daemon.build->groups[0].targets[0];
	yyjson_doc *answer;

	target->workers[0].requests = 10;
	target->workers[1].requests = 20;
	target->workers[1].n_open = 2;
	atomic_store(&target->outstanding, 1);
	answer = ask(fixture, views_source.targets);
	assert_int_equal(yyjson_arr_size(at(answer, "/targets")), 3);
	assert_text(answer, "/targets/0/group", "web");
	assert_text(answer, "/targets/0/name", "127.0.0.1:9");
	assert_number(answer, "/targets/0/weight", 3);
	assert_text(answer, "/targets/0/state", "healthy");
	assert_text(answer, "/targets/0/reason", "health_check_disabled");
	assert_null_at(answer, "/targets/0/last_check");
	assert_number(answer, "/targets/0/requests", 30);
	assert_number(answer, "/targets/0/connections", 2);
	assert_number(answer, "/targets/0/outstanding", 1);
	assert_text(answer, "/targets/1/name", "b");
	assert_text(answer, "/targets/1/address", "[::1]:9");
	assert_number(answer, "/targets/1/weight", 0);
	yyjson_doc_free(answer);
	target->workers[1].n_open = 0;
}

static void shows_targets_that_leave(void **state)
{
	struct fixture *fixture = *state;
	struct departing *departing = calloc(1, sizeof(*departing));
	union addr addr;
	yyjson_doc *answer;

	assert_int_equal(addr_parse("192.0.2.7:80", &addr), 0);
	departing->target = target_new("raw", NULL, &addr, 7, WORKERS);
	departing->since_unix_s = 1000;
	list_add_tail(&fixture->daemon.departing, &departing->link);
	answer = ask(fixture, views_source.targets);
	assert_text(answer, "/targets/3/address", "192.0.2.7:80");
	assert_text(answer, "/targets/3/state", "draining");
	assert_text(answer, "/targets/3/reason", "deregistration_in_progress");
	assert_number(answer, "/targets/3/since", 1000);
	yyjson_doc_free(answer);
	answer = ask(fixture, views_source.target_groups);
	assert_number(answer, "/target_groups/0/targets/draining", 0);
	assert_number(answer, "/target_groups/1/targets/draining", 1);
	assert_number(answer, "/target_groups/1/targets/healthy", 1);
	yyjson_doc_free(answer);
}

/* Of targets, and of a group's targets together, those that are leaving too. */
static void shows_who_had_the_records(void **state)
{
	struct fixture *fixture = *state;
	struct daemon *daemon = &fixture->daemon;
	struct departing *departing = calloc(1, sizeof(*departing));
	struct target *target = daemon->build->groups[1].targets[0];
	struct config_target_group *group =
		(struct config_target_group *)&daemon->build->config->target_groups[1];
	union addr addr;
	yyjson_doc *answer;

	assert_int_equal(addr_parse("192.0.2.7:80", &addr), 0);
	departing->target = target_new("raw", NULL, &addr, 7, WORKERS);
	list_add_tail(&daemon->departing, &departing->link);
	target->workers[0].places[TLS_RX][KTLS_kernel] = 2;
	target->workers[1].places[TLS_RX][KTLS_kernel] = 3;
	target->workers[1].places[TLS_TX][KTLS_off] = 5;
	departing->target->workers[1].places[TLS_RX][KTLS_kernel] = 10;
	answer = ask(fixture, views_source.targets);
	assert_null_at(answer, "/targets/0/ktls");
	assert_number(answer, "/targets/2/ktls/rx/kernel", 5);
	assert_number(answer, "/targets/2/ktls/rx/off", 0);
	assert_number(answer, "/targets/2/ktls/tx/off", 5);
	assert_number(answer, "/targets/3/ktls/rx/kernel", 10);
	yyjson_doc_free(answer);
	answer = ask(fixture, views_source.target_groups);
	assert_null_at(answer, "/target_groups/1/ktls"); /* its protocol has none */
	yyjson_doc_free(answer);
	group->protocol = CONFIG_TLS;
	answer = ask(fixture, views_source.target_groups);
	group->protocol = CONFIG_TCP;
	assert_null_at(answer, "/target_groups/0/ktls");
	assert_text(answer, "/target_groups/1/ktls/setting", "auto");
	assert_number(answer, "/target_groups/1/ktls/rx/kernel", 15);
	assert_number(answer, "/target_groups/1/ktls/tx/off", 5);
	yyjson_doc_free(answer);
}

static void tells_when_a_group_fails_open(void **state)
{
	struct fixture *fixture = *state;
	const struct build *build = fixture->daemon.build;
	yyjson_doc *answer = ask(fixture, views_source.target_groups);

	assert_text(answer, "/target_groups/0/algorithm", "least_outstanding");
	assert_text(answer, "/target_groups/0/listeners/0", "web");
	assert_int_equal(yyjson_arr_size(at(answer, "/target_groups/1/listeners")), 0);
	assert_false(yyjson_get_bool(at(answer, "/target_groups/0/failing_open")));
	yyjson_doc_free(answer);
	/* The one with weight 0 stays healthy and is of no use. */
	atomic_store(&build->groups[0].targets[0]->health, TARGET_UNHEALTHY);
	atomic_store(&build->groups[1].targets[0]->health, TARGET_UNHEALTHY);
	target_group_recount(build->groups[0].group);
	target_group_recount(build->groups[1].group);
	answer = ask(fixture, views_source.target_groups);
	assert_true(yyjson_get_bool(at(answer, "/target_groups/0/failing_open")));
	assert_false(
		yyjson_get_bool(at(answer, "/target_groups/1/failing_open"))); /* not allowed to */
	yyjson_doc_free(answer);
}

static void status_says_what_is_used(void **state)
{
	struct fixture *fixture = *state;
	struct daemon *daemon = &fixture->daemon;
	yyjson_doc *answer;
	yyjson_val *row;

	counts(fixture, 0)->accepted = 3;
	counts(fixture, 1)->accepted = 4;
	counts(fixture, 1)->handshakes_resumed = 2;
	atomic_store(&daemon->workers[1].stamp_ns, dp_heartbeat_now_ns() - 2000000000u);
	answer = ask(fixture, views_source.status);
	assert_number(answer, "/pid", getpid());
	assert_in_range(yyjson_get_sint(at(answer, "/uptime_s")), 60, 90);
	assert_null_at(answer, "/config/last_reload");
	assert_number(answer, "/config/generation", 1);
	assert_null_at(answer, "/workers/0/heartbeat_age_ms"); /* never started */
	assert_null_at(answer, "/workers/0/cpu");
	assert_in_range(yyjson_get_sint(at(answer, "/workers/1/heartbeat_age_ms")), 2000, 30000);
	assert_number(answer, "/workers/1/accepted", 4);
	assert_number(answer, "/accepted_total", 7);
	assert_number(answer, "/handshakes/resumed", 2);
	assert_true(yyjson_get_uint(at(answer, "/memory/rss_bytes")) > 1000000);
	assert_true(yyjson_get_uint(at(answer, "/memory/idle_connection_bytes")) >=
		    sizeof(struct conn) + sizeof(struct stream));
	assert_true(yyjson_get_uint(at(answer, "/memory/idle_tls_connection_bytes")) >
		    yyjson_get_uint(at(answer, "/memory/idle_connection_bytes")));
	assert_number(answer, "/memory/connections_bytes", 0);
	assert_text(answer, "/handover/mode", "none");
	assert_false(yyjson_get_bool(at(answer, "/gate/active")));
	assert_number(answer, "/gate/flights_open", 0);
	row = row_of(answer, "/capabilities", "name", "packet_plane");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "state"), "off"));
	assert_true(yyjson_get_len(yyjson_obj_get(row, "reason")) > 0);
	row = row_of(answer, "/capabilities", "name", "worker_selection");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "state"), "fallback"));
	row = row_of(answer, "/capabilities", "name", "splice");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "state"), "used"));
	yyjson_doc_free(answer);
}

static void status_shows_that_splice_is_refused(void **state)
{
	struct fixture *fixture = *state;
	yyjson_doc *answer;
	yyjson_val *row;

	fixture->daemon.workers[1].proxy.pipes.refused = EPERM;
	answer = ask(fixture, views_source.status);
	row = row_of(answer, "/capabilities", "name", "splice");
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "state"), "fallback"));
	assert_true(yyjson_equals_str(yyjson_obj_get(row, "reason"), "Operation not permitted"));
	yyjson_doc_free(answer);
}

static void status_shows_a_refused_reload(void **state)
{
	struct fixture *fixture = *state;
	yyjson_doc *answer;

	fixture->daemon.last_reload =
		(struct last_reload){.at_unix_s = 77, .refused = true, .error = "t.yaml:1:1: x"};
	answer = ask(fixture, views_source.status);
	assert_text(answer, "/config/last_reload/result", "refused");
	assert_text(answer, "/config/last_reload/error", "t.yaml:1:1: x");
	assert_number(answer, "/config/last_reload/at", 77);
	yyjson_doc_free(answer);
	fixture->daemon.last_reload =
		(struct last_reload){.at_unix_s = 78, .error = "everything but x"};
	answer = ask(fixture, views_source.status);
	assert_text(answer, "/config/last_reload/result", "applied");
	assert_text(answer, "/config/last_reload/error", "everything but x");
	yyjson_doc_free(answer);
}

static void measures_how_busy_workers_are(void **state)
{
	struct fixture *fixture = *state;
	struct worker *worker = &fixture->daemon.workers[0];
	yyjson_doc *answer;

	worker->sampled_mono_us = clock_mono_us() - 1000000;
	worker->sampled_busy_us = 1000;
	atomic_store(&worker->busy_us, 1000 + 250000);
	views_tick(&fixture->daemon);
	answer = ask(fixture, views_source.status);
	assert_in_range(yyjson_get_sint(at(answer, "/workers/0/busy_percent")), 15, 25);
	assert_number(answer, "/workers/1/busy_percent", 0);
	yyjson_doc_free(answer);
}

/* A reload that takes a listener away does not make totals shrink. */
static void totals_keep_removed_listeners(void **state)
{
	static const char without[] =
		"workers: 2\n"
		"target_groups: [{name: web, protocol: http}]\n"
		"listeners: [{name: other, protocol: http, address: 127.0.0.1:%u, target_group: web}]\n";
	struct fixture *fixture = *state;
	struct daemon *daemon = &fixture->daemon;
	struct build *old = daemon->build;
	struct listener_stats *stats = old->listeners[0]->spec.stats;
	char text[512];
	yyjson_doc *answer;

	shared_get(&stats->shared); /* a connection that is still open */
	counts(fixture, 1)->accepted = 5;
	snprintf(text, sizeof(text), without, fixture->port);
	daemon->build = build_from(daemon, text, old);
	counts_keep(&daemon->counts, old, daemon->build);
	check_health_of(daemon);
	build_free(old);
	stats->workers[1].accepted = 6; /* the open connection goes on counting */
	answer = ask(fixture, views_source.status);
	assert_number(answer, "/accepted_total", 6);
	yyjson_doc_free(answer);
	shared_put(&stats->shared);
	counts_keep(&daemon->counts, daemon->build, daemon->build);
	assert_int_equal(daemon->counts.n_ending, 0);
	answer = ask(fixture, views_source.status);
	assert_number(answer, "/accepted_total", 6);
	assert_number(answer, "/workers/1/accepted", 6);
	yyjson_doc_free(answer);
}

#define VIEW_TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		VIEW_TEST(sums_listeners_over_workers),
		VIEW_TEST(lists_each_drop_reason),
		VIEW_TEST(counts_what_the_gate_refused),
		VIEW_TEST(counts_who_had_the_records),
		VIEW_TEST(tells_how_fast_and_when),
		VIEW_TEST(shows_targets_and_their_state),
		VIEW_TEST(shows_targets_that_leave),
		VIEW_TEST(shows_who_had_the_records),
		VIEW_TEST(tells_when_a_group_fails_open),
		VIEW_TEST(status_says_what_is_used),
		VIEW_TEST(status_shows_a_refused_reload),
		VIEW_TEST(status_shows_that_splice_is_refused),
		VIEW_TEST(measures_how_busy_workers_are),
		VIEW_TEST(totals_keep_removed_listeners),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
