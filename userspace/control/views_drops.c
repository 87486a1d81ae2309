/* The view "drops": one row per reason, from the packet plane to TLS. See views.h. */
#include "control/views_parts.h"

#include "dataplane/dp_counters.h"
#define LOG_MODULE "views"
#include "core/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void put(const struct view_list *list, const char *where, const char *reason, uint64_t count,
	const char *help)
{
	struct view row = view_list_object(list);

	view_text(&row, "where", where);
	view_text(&row, "reason", reason);
	view_number(&row, "count", count);
	view_text(&row, "help", help);
}

/* Packets that never reached a socket: dropped, or answered by the program itself. */
static int put_packets(const struct daemon *daemon, const struct view_list *list)
{
	const struct dp_counter *about;
	struct dp_counters counters;
	struct err err;
	uint32_t id;
	int r;

	if (!dataplane_active(daemon->dataplane))
		return 0;
	r = dp_counters_read(daemon->dataplane, &counters, &err);
	if (r < 0) {
		log_warn("drops: %s", err.text);
		return r;
	}
	for (id = 0; id < COUNTER_COUNT; id++) {
		about = dp_counter_describe((enum sluice_counter)id);
		if (about->verdict == COUNTER_DROP || about->verdict == COUNTER_TX)
			put(list, "xdp", about->name, counters.value[id], about->help);
	}
	return 0;
}

/* Listeners count the handshakes of clients; those with targets are one reason, target_tls_failed,
 * and a target's certificate is no matter of a client's. */
static bool is_of_client(uint32_t failure, const char *name)
{
	return failure != TLS_FAILURE_none && strncmp(name, "target_", 7) != 0;
}

static void put_refusals(const struct daemon *daemon, const struct view_list *list)
{
	struct listener_counts sum;
	const char *name;
	char reason[64];
	uint32_t i;

	counts_of_all(&daemon->counts, daemon->build, &sum);
	for (i = 0; i < CLOSE_REASONS; i++)
		if (close_reason_rows[i].refused)
			put(list, "user", close_reason_rows[i].name, sum.reasons[i],
				close_reason_rows[i].help);
	for (i = 0; i < TLS_FAILURES; i++) {
		name = tls_failure_name((enum tls_failure)i);
		if (!is_of_client(i, name))
			continue;
		snprintf(reason, sizeof(reason), "tls_%s", name);
		put(list, "user", reason, sum.tls_failures[i],
			tls_failure_help((enum tls_failure)i));
	}
}

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

int view_drops(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	const struct daemon *daemon = arg;
	struct view root = {doc, root_value};
	struct view_list list = view_list(&root, "drops");
	int r = put_packets(daemon, &list);

	if (r < 0)
		return r;
	put(&list, "kernel", "accept_queue_full",
		view_listen_overflows() - daemon->listen_overflows_before,
		"a socket of this network namespace had as many connections waiting as "
		"net.core.somaxconn allows");
	put_refusals(daemon, &list);
	return 0;
}
