/* The views "drops" and "counters": one row per reason, from the packet plane to TLS. See views.h. */
#include "control/views_parts.h"

#include "core/clock.h"
#include "dataplane/dp_counters.h"
#define LOG_MODULE "views"
#include "core/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Two lines, the names and the values: the column of `name`. */
static uint64_t netstat_column(char *names, char *values, const char *name)
{
	char *names_rest, *values_rest;
	char *column = strtok_r(names, " \n", &names_rest);
	char *value = strtok_r(values, " \n", &values_rest);

	while (column && value) {
		if (strcmp(column, name) == 0)
			return strtoull(value, NULL, 10);
		column = strtok_r(NULL, " \n", &names_rest);
		value = strtok_r(NULL, " \n", &values_rest);
	}
	return 0;
}

uint64_t view_listen_overflows(void)
{
	FILE *netstat = fopen("/proc/self/net/netstat", "re");
	char *names = NULL, *values = NULL;
	size_t names_size = 0, values_size = 0;
	uint64_t count = 0;

	if (!netstat)
		return 0;
	while (getline(&names, &names_size, netstat) > 0 &&
		getline(&values, &values_size, netstat) > 0)
		if (strncmp(names, "TcpExt:", 7) == 0) {
			count = netstat_column(names, values, "ListenOverflows");
			break;
		}
	free(names);
	free(values);
	fclose(netstat);
	return count;
}

/* --- counting everything */

static int read_packets(const struct daemon *daemon, uint64_t *ret_counts)
{
	struct dp_counters counters;
	struct err err;
	int r;

	if (!dataplane_active(daemon->dataplane))
		return 0;
	r = dp_counters_read(daemon->dataplane, &counters, &err);
	if (r < 0)
		log_warn("drops: %s", err.text);
	else
		memcpy(ret_counts, counters.value, sizeof(counters.value));
	return r;
}

static void read_gates(const struct daemon *daemon, uint64_t counts[static TALLIES])
{
	const struct gate_counts *gate;
	struct gates_report report;
	uint32_t worker, i;

	if (daemon->gates) {
		gates_report(daemon->gates, &report);
		counts[TALLY_XSK_DROPPED] = report.counts.dropped;
		counts[TALLY_XSK_RING_FULL] = report.counts.ring_full;
		counts[TALLY_XSK_FILL_EMPTY] = report.counts.fill_empty;
	}
	for (worker = 0; worker <= daemon->env.n_workers; worker++) {
		gate = worker < daemon->env.n_workers ? &daemon->workers[worker].gate_worker.counts
						      : &daemon->gate_before;
		for (i = 0; i < GATE_REASONS; i++) {
			counts[TALLY_GATE + i] +=
				__atomic_load_n(&gate->reasons[i], __ATOMIC_RELAXED);
			counts[TALLY_GATE_DRY + i] +=
				__atomic_load_n(&gate->would_refuse[i], __ATOMIC_RELAXED);
		}
	}
}

/* 0, or -errno: the packet plane's are missing then. */
static int read_all(const struct daemon *daemon, uint64_t counts[static TALLIES])
{
	struct listener_counts sum;
	int r;

	memset(counts, 0, TALLIES * sizeof(*counts));
	r = read_packets(daemon, counts + TALLY_XDP);
	read_gates(daemon, counts);
	counts[TALLY_ACCEPT_QUEUE_FULL] = view_listen_overflows() - daemon->listen_overflows_before;
	counts_of_all(&daemon->counts, daemon->build, &sum);
	memcpy(counts + TALLY_CLOSE, sum.reasons, sizeof(sum.reasons));
	memcpy(counts + TALLY_TLS, sum.tls_failures, sizeof(sum.tls_failures));
	memcpy(counts + TALLY_KTLS, sum.places, sizeof(sum.places));
	return r;
}

void view_drops_tick(struct daemon *daemon)
{
	uint64_t now_us = clock_mono_us(), counts[TALLIES];

	if (tallies_is_due(&daemon->tallies, now_us) && read_all(daemon, counts) == 0)
		tallies_add(&daemon->tallies, counts, now_us, clock_unix_s());
}

/* --- showing it */

static void put(const struct daemon *daemon, uint32_t tally, const struct tally_row *about,
	uint64_t count, const struct view_list *list)
{
	struct view row = view_list_object(list);
	double rate = tallies_rate(&daemon->tallies, tally, count, clock_mono_us());

	view_text(&row, "where", about->where);
	view_text(&row, "reason", about->reason);
	view_text(&row, "verdict", about->verdict);
	view_number(&row, "count", count);
	if (rate >= 0)
		view_real(&row, "rate_per_s", rate);
	else
		view_null(&row, "rate_per_s");
	view_time(&row, "last_seen_at",
		tallies_last_seen(&daemon->tallies, tally, count, clock_unix_s()));
	view_text(&row, "help", about->help);
}

static int put_all(const struct daemon *daemon, bool drops_only, const struct view_list *list)
{
	bool has_packets = dataplane_active(daemon->dataplane);
	uint64_t counts[TALLIES];
	struct tally_row about;
	uint32_t i;
	int r = read_all(daemon, counts);

	for (i = 0; r == 0 && i < TALLIES; i++) {
		about = tally_describe(i);
		if (!about.where || (drops_only && !about.is_drop) ||
			(!has_packets && i < TALLY_GATE))
			continue;
		put(daemon, i, &about, counts[i], list);
	}
	return r;
}

int view_drops(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "drops");

	return put_all(arg, true, &list);
}

int view_counters(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "counters");

	return put_all(arg, false, &list);
}
