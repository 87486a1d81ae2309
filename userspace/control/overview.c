/* What the dashboard shows: see overview.h. */
#include "control/overview.h"
#include "control/views_parts.h"

#include "control/rules_text.h"
#include "core/mem.h"
#include "proxy/rules_explain.h"

#include <stdlib.h>
#include <string.h>

enum {
	LISTENERS_SHOWN = 100,
	TARGETS_SHOWN = 200,
	GROUPS_SHOWN = 100,
	RULES_SHOWN = 30,
	SOURCES_SHOWN = 20,
};

/* --- the past */

static int64_t now_unix_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* What a share of the requests took at most: the bound of its bucket, which is up to twice too much. */
static uint64_t percentile(
	const uint64_t counts[static LATENCY_BUCKETS], uint64_t total, double share)
{
	uint64_t wanted = (uint64_t)((double)total * share), seen = 0;
	uint32_t i;

	for (i = 0; i < LATENCY_BOUNDS; i++) {
		seen += counts[i];
		if (seen > wanted)
			break;
	}
	return latency_bound_us(i < LATENCY_BOUNDS ? i : LATENCY_BOUNDS - 1);
}

static void note_latency(
	struct overview *overview, const struct latency *latency, struct overview_sample *sample)
{
	uint64_t counts[LATENCY_BUCKETS], total = 0;
	uint32_t i;

	for (i = 0; i < LATENCY_BUCKETS; i++) {
		counts[i] = latency->buckets[i] - overview->latencies[i];
		overview->latencies[i] = latency->buckets[i];
		total += counts[i];
	}
	if (!total || !overview->n)
		return;
	sample->p50_us = percentile(counts, total, 0.5);
	sample->p90_us = percentile(counts, total, 0.9);
	sample->p99_us = percentile(counts, total, 0.99);
}

static struct overview_sample *next_sample(struct overview *overview)
{
	if (!overview->drops)
		overview->drops = mem_zalloc(OVERVIEW_SAMPLES * sizeof(*overview->drops));
	if (overview->n)
		overview->newest = (overview->newest + 1) % OVERVIEW_SAMPLES;
	return &overview->samples[overview->newest];
}

void overview_tick(struct daemon *daemon)
{
	struct overview *overview = &daemon->overview;
	const struct tally_sample *tallies = &daemon->tallies.samples[daemon->tallies.newest];
	int64_t now_ms = now_unix_ms();
	struct overview_sample *sample = &overview->samples[overview->newest];
	struct listener_counts sum;
	uint32_t i;

	if (overview->n && now_ms - sample->at_unix_ms < OVERVIEW_SAMPLE_S * 1000 - 100 &&
		now_ms >= sample->at_unix_ms)
		return;
	counts_of_all(&daemon->counts, daemon->build, &sum);
	sample = next_sample(overview);
	*sample = (struct overview_sample){
		.at_unix_ms = now_ms,
		.accepted = sum.accepted,
		.requests = sum.requests,
		.bytes_in = sum.bytes_in,
		.bytes_out = sum.bytes_out,
		.handshakes_full = sum.handshakes_full,
		.handshakes_resumed = sum.handshakes_resumed,
		.connections = atomic_load(&daemon->node.open),
	};
	for (i = 0; i < TLS_FAILURES; i++)
		sample->handshakes_failed += sum.tls_failures[i];
	note_latency(overview, &sum.latency, sample);
	if (daemon->tallies.n)
		memcpy(overview->drops[overview->newest], tallies->counts, sizeof(tallies->counts));
	if (overview->n < OVERVIEW_SAMPLES)
		overview->n++;
}

void overview_fini(struct overview *overview)
{
	free(overview->drops);
	free(overview->ends);
}

/* The i-th sample, the oldest first. */
static uint32_t place_of(const struct overview *overview, uint32_t i)
{
	return (overview->newest + OVERVIEW_SAMPLES + 1 - overview->n + i) % OVERVIEW_SAMPLES;
}

static void put_row(
	const struct overview *overview, const struct view *past, const char *name, size_t offset)
{
	struct view_list list = view_list(past, name);
	uint32_t i;

	for (i = 0; i < overview->n; i++)
		yyjson_mut_arr_add_uint(list.doc, list.list,
			*(const uint64_t *)((const char *)&overview
						    ->samples[place_of(overview, i)] +
					    offset));
}

static uint64_t risen(const struct overview *overview, uint32_t tally)
{
	return overview->drops[overview->newest][tally] -
	       overview->drops[place_of(overview, 0)][tally];
}

/* The reasons that have risen most. */
static uint32_t choose_reasons(
	const struct overview *overview, uint32_t ret_tallies[static OVERVIEW_REASONS])
{
	uint32_t i, at, n = 0;

	for (i = 0; i < TALLIES; i++) {
		if (!tally_describe(i).is_drop || risen(overview, i) == 0)
			continue;
		for (at = n; at > 0 && risen(overview, ret_tallies[at - 1]) < risen(overview, i);
			at--)
			if (at < OVERVIEW_REASONS)
				ret_tallies[at] = ret_tallies[at - 1];
		if (at == OVERVIEW_REASONS)
			continue;
		ret_tallies[at] = i;
		n += n < OVERVIEW_REASONS;
	}
	return n;
}

static void put_drops(const struct overview *overview, const struct view *past)
{
	struct view_list list = view_list(past, "drops"), counts;
	uint32_t tallies[OVERVIEW_REASONS], n = choose_reasons(overview, tallies), i, at;
	struct view row;

	for (i = 0; i < n; i++) {
		struct tally_row about = tally_describe(tallies[i]);

		row = view_list_object(&list);
		view_text(&row, "where", about.where);
		view_text(&row, "reason", about.reason);
		counts = view_list(&row, "counts");
		for (at = 0; at < overview->n; at++)
			yyjson_mut_arr_add_uint(counts.doc, counts.list,
				overview->drops[place_of(overview, at)][tallies[i]]);
	}
}

static void put_past(const struct overview *overview, const struct view *root)
{
	static const struct {
		const char *name;
		size_t offset;
	} rows[] = {
#define ROW(name) {#name, offsetof(struct overview_sample, name)}
		{"at_ms", offsetof(struct overview_sample, at_unix_ms)},
		ROW(accepted),
		ROW(requests),
		ROW(bytes_in),
		ROW(bytes_out),
		ROW(handshakes_full),
		ROW(handshakes_resumed),
		ROW(handshakes_failed),
		ROW(p50_us),
		ROW(p90_us),
		ROW(p99_us),
#undef ROW
	};
	struct view past = view_object(root, "past");
	size_t i;

	for (i = 0; i < array_len(rows); i++)
		put_row(overview, &past, rows[i].name, rows[i].offset);
	if (overview->n)
		put_drops(overview, &past);
}

/* --- what is now */

static void put_totals(const struct overview *overview, const struct view *root)
{
	const struct overview_sample *sample = &overview->samples[overview->newest];
	struct view totals = view_object(root, "totals");

	view_signed(&totals, "at_ms", sample->at_unix_ms);
	view_number(&totals, "connections", sample->connections);
	view_number(&totals, "accepted", sample->accepted);
	view_number(&totals, "requests", sample->requests);
	view_number(&totals, "bytes_in", sample->bytes_in);
	view_number(&totals, "bytes_out", sample->bytes_out);
	view_number(&totals, "handshakes_full", sample->handshakes_full);
	view_number(&totals, "handshakes_resumed", sample->handshakes_resumed);
	view_number(&totals, "handshakes_failed", sample->handshakes_failed);
	view_number(&totals, "p50_us", sample->p50_us);
	view_number(&totals, "p90_us", sample->p90_us);
	view_number(&totals, "p99_us", sample->p99_us);
}

/* The rest of a list is not shown, only how many there are; nor is what the page has no room for. */
static void cut(yyjson_mut_val *root, const char *name, size_t max, const struct view *surplus)
{
	static const char *const left_out[] = {
		"ktls", "desync", "client_auth", "last_tls_failure", "names"};
	yyjson_mut_val *list = yyjson_mut_obj_get(root, name), *row;
	size_t n = yyjson_mut_arr_size(list), i;
	yyjson_mut_arr_iter iter;

	if (n > max)
		yyjson_mut_arr_remove_range(list, max, n - max);
	iter = yyjson_mut_arr_iter_with(list);
	while ((row = yyjson_mut_arr_iter_next(&iter)))
		for (i = 0; i < array_len(left_out); i++)
			yyjson_mut_obj_remove_key(row, left_out[i]);
	view_number(surplus, name, n > max ? n - max : 0);
}

/* Rows for which `rank` says 0 come first, then those with 1; others are left out. */
static void sort_rows(yyjson_mut_val *list, int (*rank)(yyjson_mut_val *row))
{
	size_t n = yyjson_mut_arr_size(list), i, used = 0;
	yyjson_mut_val **rows = mem_alloc((n + 1) * sizeof(*rows)), *row;
	int pass;

	for (pass = 0; pass < 2; pass++) {
		yyjson_mut_arr_iter iter = yyjson_mut_arr_iter_with(list);

		while ((row = yyjson_mut_arr_iter_next(&iter)))
			if (rank(row) == pass)
				rows[used++] = row;
	}
	yyjson_mut_arr_clear(list);
	for (i = 0; i < used; i++)
		yyjson_mut_arr_append(list, rows[i]);
	free(rows);
}

/* Those first that somebody should look at. */
static int rank_target(yyjson_mut_val *row)
{
	const char *state = yyjson_mut_get_str(yyjson_mut_obj_get(row, "state"));

	return state && strcmp(state, "healthy") == 0;
}

/* Reasons that never happened are left out. */
static int rank_drop(yyjson_mut_val *row)
{
	return yyjson_mut_get_uint(yyjson_mut_obj_get(row, "count")) ? 0 : -1;
}

struct hit {
	const char *listener;
	const struct config_rule *rule;
	uint64_t hits;
};

static int by_hits(const void *a, const void *b)
{
	const struct hit *x = a, *y = b;

	return (y->hits > x->hits) - (y->hits < x->hits);
}

static size_t collect_hits(const struct daemon *daemon, struct hit *ret_hits)
{
	const struct config *config = daemon->build->config;
	char unnamed[CONFIG_RULE_NAME_BYTES];
	const struct rules_stats *stats;
	struct rules_totals totals;
	uint32_t i, at;
	size_t n = 0;

	for (i = 0; i < config->listeners_count; i++)
		for (at = 0; at < config->listeners[i].rules_count; at++) {
			const struct config_rule *rule = &config->listeners[i].rules[at];

			stats = rules_stats_find(daemon->build->listeners[i]->spec.rules,
				config_rule_name(rule, unnamed));
			if (!stats)
				continue;
			totals = (struct rules_totals){0};
			rules_explain_totals(stats, daemon->env.n_workers, &totals);
			ret_hits[n++] = (struct hit){config->listeners[i].name, rule, totals.hits};
		}
	return n;
}

static void put_rules(
	const struct daemon *daemon, const struct view *root, const struct view *surplus)
{
	const struct config *config = daemon->build->config;
	struct view_list list = view_list(root, "rules");
	char unnamed[CONFIG_RULE_NAME_BYTES];
	size_t n = 0, i;
	struct hit *hits;

	for (i = 0; i < config->listeners_count; i++)
		n += config->listeners[i].rules_count;
	hits = mem_alloc((n + 1) * sizeof(*hits));
	n = collect_hits(daemon, hits);
	qsort(hits, n, sizeof(*hits), by_hits);
	for (i = 0; i < n && i < RULES_SHOWN; i++) {
		struct view row = view_list_object(&list);
		char *action =
			rules_text_action(hits[i].rule->target_group, hits[i].rule->actions, true);

		view_text(&row, "listener", hits[i].listener);
		view_text(&row, "name", config_rule_name(hits[i].rule, unnamed));
		view_text(&row, "action", action);
		view_number(&row, "hits", hits[i].hits);
		free(action);
	}
	view_number(surplus, "rules", n - i);
	free(hits);
}

static void put_records(const struct daemon *daemon, const struct view *root)
{
	struct view records = view_object(root, "ktls");
	struct listener_counts sum;

	counts_of_all(&daemon->counts, daemon->build, &sum);
	view_places(&records, sum.places);
}

int overview_put(struct daemon *daemon, bool past, yyjson_mut_doc *doc, yyjson_mut_val *root_value)
{
	struct view root = {doc, root_value};
	struct view surplus, status = view_object(&root, "status");
	int r = view_status(daemon, doc, status.object);

	if (r == 0)
		r = view_listeners(daemon, doc, root_value);
	if (r == 0)
		r = view_target_groups(daemon, doc, root_value);
	if (r == 0)
		r = view_targets(daemon, doc, root_value);
	if (r == 0)
		r = view_drops(daemon, doc, root_value);
	if (r < 0)
		return r;
	surplus = view_object(&root, "surplus");
	sort_rows(yyjson_mut_obj_get(root_value, "targets"), rank_target);
	sort_rows(yyjson_mut_obj_get(root_value, "drops"), rank_drop);
	cut(root_value, "listeners", LISTENERS_SHOWN, &surplus);
	cut(root_value, "target_groups", GROUPS_SHOWN, &surplus);
	cut(root_value, "targets", TARGETS_SHOWN, &surplus);
	put_totals(&daemon->overview, &root);
	put_records(daemon, &root);
	put_rules(daemon, &root, &surplus);
	view_top_sources(daemon, SOURCES_SHOWN, &root);
	overview_put_ends(daemon, doc, root_value, surplus.object);
	if (past)
		put_past(&daemon->overview, &root);
	return 0;
}
