/* Metrics of HTTP: latencies and rules of listeners, target groups and their targets. See metrics.h and
 * views.h. */
#include "control/views_metrics.h"

#include "control/outliers.h"
#include "control/views_parts.h"
#include "core/mem.h"
#include "dataplane/dp_backends.h"
#include "proxy/rules_explain.h"

#include <stdio.h>
#include <stdlib.h>

/* --- rules */
static void put_rule(struct metrics *metrics, const struct daemon *daemon, uint32_t listener,
	const char *name, size_t offset)
{
	const struct rules *rules = daemon->build->listeners[listener]->spec.rules;
	const struct rules_stats *stats = rules ? rules_stats_find(rules, name) : NULL;
	struct rules_totals totals = {0};

	if (!stats)
		return;
	rules_explain_totals(stats, daemon->env.n_workers, &totals);
	metrics_sample(metrics,
		METRICS_LABELS({"listener", daemon->build->config->listeners[listener].name},
			{"rule", name}),
		*(const int64_t *)((const char *)&totals + offset));
}

static void put_rules_of(struct metrics *metrics, const struct daemon *daemon, size_t offset)
{
	const struct config *config = daemon->build->config;
	const struct config_rule *rule;
	char unnamed[CONFIG_RULE_NAME_BYTES];
	uint32_t i, at;

	for (i = 0; i < config->listeners_count; i++) {
		for (at = 0; at < config->listeners[i].rules_count; at++) {
			rule = &config->listeners[i].rules[at];
			put_rule(metrics, daemon, i, config_rule_name(rule, unnamed), offset);
		}
		put_rule(metrics, daemon, i, "default", offset);
	}
}

static void put_rules(struct metrics *metrics, const struct daemon *daemon)
{
	metrics_family(metrics, "sluice_rule_hits_total", METRICS_COUNTER,
		"HTTP requests that a rule decided; default: that no rule was for.");
	put_rules_of(metrics, daemon, offsetof(struct rules_totals, hits));
	metrics_family(metrics, "sluice_rule_regex_limits_total", METRICS_COUNTER,
		"HTTP requests for which an expression of a rule was given up.");
	put_rules_of(metrics, daemon, offsetof(struct rules_totals, regex_limits));
	metrics_family(metrics, "sluice_rule_limited_total", METRICS_COUNTER,
		"HTTP requests that were over the rate_limit of a rule (429, or dry_run).");
	put_rules_of(metrics, daemon, offsetof(struct rules_totals, limited));
}

/* --- latencies of listeners */
static void put_durations(struct metrics *metrics, const struct daemon *daemon)
{
	const struct config *config = daemon->build->config;
	struct listener_counts sum;
	uint32_t i;

	metrics_family(metrics, "sluice_request_duration_seconds", METRICS_HISTOGRAM,
		"From the first bytes of an HTTP request until its answer was handed over whole.");
	for (i = 0; i < config->listeners_count; i++) {
		if (config->listeners[i].protocol != CONFIG_HTTP &&
			config->listeners[i].protocol != CONFIG_HTTPS)
			continue;
		counts_of_stats(
			daemon->build->listeners[i]->spec.stats, daemon->env.n_workers, &sum);
		metrics_histogram(metrics, METRICS_LABELS({"listener", config->listeners[i].name}),
			&sum.latency);
	}
}

/* --- target groups */
struct group_row {
	const struct built_group *built;
	const char *name;
	bool is_web;
	struct group_sum sum;
	uint32_t states[BACKEND_STATE_COUNT];
};

static struct group_row *group_rows(const struct daemon *daemon)
{
	const struct config *config = daemon->build->config;
	uint32_t i, n = config->target_groups_count;
	struct group_row *rows = mem_zalloc((n + 1) * sizeof(*rows));

	for (i = 0; i < n; i++) {
		rows[i].built = &daemon->build->groups[i];
		rows[i].name = config->target_groups[i].name;
		rows[i].is_web = config->target_groups[i].protocol == CONFIG_HTTP ||
				 config->target_groups[i].protocol == CONFIG_HTTPS;
		counts_of_group(
			rows[i].built->group->spec.state, daemon->env.n_workers, &rows[i].sum);
		outliers_count_states(rows[i].built->group, rows[i].states);
	}
	return rows;
}

static void put_by_group(struct metrics *metrics, const struct group_row *rows, uint32_t n,
	const char *name, const char *help, size_t offset)
{
	uint32_t i;

	metrics_family(metrics, name, METRICS_COUNTER, help);
	for (i = 0; i < n; i++)
		metrics_sample(metrics, METRICS_LABELS({"target_group", rows[i].name}),
			*(const int64_t *)((const char *)&rows[i] + offset));
}

static void put_group_states(struct metrics *metrics, const struct group_row *rows, uint32_t n)
{
	uint32_t i, state;

	metrics_family(metrics, "sluice_target_group_targets", METRICS_GAUGE,
		"Targets of a group by their state.");
	for (i = 0; i < n; i++)
		for (state = 0; state < BACKEND_STATE_COUNT; state++)
			metrics_sample(metrics,
				METRICS_LABELS({"target_group", rows[i].name},
					{"state",
						dp_backend_state_name((enum backend_state)state)}),
				rows[i].states[state]);
	metrics_family(metrics, "sluice_target_group_failing_open", METRICS_GAUGE,
		"1: too few targets are usable, and the others get requests, too.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics, METRICS_LABELS({"target_group", rows[i].name}),
			target_group_is_failing_open(rows[i].built->group));
}

static void put_group_answers(struct metrics *metrics, const struct group_row *rows, uint32_t n)
{
	char class[4];
	uint32_t i, at;

	metrics_family(metrics, "sluice_target_responses_total", METRICS_COUNTER,
		"Answers of targets to HTTP requests, those that were tried again too, by class of "
		"status.");
	for (i = 0; i < n; i++)
		for (at = 1; at < array_len(rows[i].sum.status); at++) {
			snprintf(class, sizeof(class), "%uxx", at);
			if (rows[i].sum.status[at])
				metrics_sample(metrics,
					METRICS_LABELS(
						{"target_group", rows[i].name}, {"class", class}),
					(int64_t)rows[i].sum.status[at]);
		}
	metrics_family(metrics, "sluice_target_response_seconds", METRICS_HISTOGRAM,
		"From when an HTTP request began to go to a target until the head of its answer "
		"came.");
	for (i = 0; i < n; i++)
		if (rows[i].is_web)
			metrics_histogram(metrics, METRICS_LABELS({"target_group", rows[i].name}),
				&rows[i].sum.latency);
}

static void put_groups(struct metrics *metrics, const struct daemon *daemon)
{
	uint32_t n = daemon->build->config->target_groups_count;
	struct group_row *rows = group_rows(daemon);

	put_by_group(metrics, rows, n, "sluice_target_group_limited_total",
		"Requests and tunnels for which every target, or the group, was at a limit.",
		offsetof(struct group_row, sum.limited));
	put_by_group(metrics, rows, n, "sluice_target_group_retries_total",
		"Requests and tunnels that were tried again.",
		offsetof(struct group_row, sum.retries));
	put_by_group(metrics, rows, n, "sluice_target_group_retries_refused_total",
		"Requests that were not tried again since the budget was used up.",
		offsetof(struct group_row, sum.retries_refused));
	put_group_states(metrics, rows, n);
	put_group_answers(metrics, rows, n);
	free(rows);
}

/* --- targets */
struct target_row {
	const char *group, *target, *address;
	bool is_healthy, is_ejected;
	struct target_sum sum;
	uint64_t ejections, outstanding;
};

/* A host name as target has several addresses. */
#define TARGET_LABELS(row)                                                                         \
	METRICS_LABELS({"target_group", (row).group}, {"target", (row).target},                    \
		{"address", (row).address})

static void sum_target(const struct daemon *daemon, const struct target_group *group,
	const struct target *target, struct target_row *row)
{
	struct health_state scratch;

	*row = (struct target_row){
		.group = target->group_name,
		.target = target->name,
		.address = target->text,
		.is_healthy = outliers_state(group, target, health_get(target), &scratch)->state ==
				      BACKEND_HEALTHY &&
			      !target_is_ejected(group, target),
		.is_ejected = target_is_ejected(group, target),
		.ejections = target->outlier.ejections_total,
		.outstanding = atomic_load_explicit(&target->outstanding, memory_order_relaxed),
	};
	counts_of_target(target, daemon->env.n_workers, &row->sum);
}

static struct target_row *target_rows(const struct daemon *daemon, uint32_t *ret_n)
{
	const struct build *build = daemon->build;
	const struct target_group *group;
	struct target_row *rows;
	uint32_t i, at, n = 0;

	for (i = 0; i < build->config->target_groups_count; i++)
		n += build->groups[i].group->spec.n_members;
	rows = mem_zalloc((n + 1) * sizeof(*rows));
	n = 0;
	for (i = 0; i < build->config->target_groups_count; i++) {
		group = build->groups[i].group;
		for (at = 0; at < group->spec.n_members; at++)
			sum_target(daemon, group, group->spec.members[at].target, &rows[n++]);
	}
	*ret_n = n;
	return rows;
}

static void put_by_target(struct metrics *metrics, const struct target_row *rows, uint32_t n,
	const char *name, enum metrics_type type, const char *help, size_t offset)
{
	uint32_t i;

	metrics_family(metrics, name, type, help);
	for (i = 0; i < n; i++)
		metrics_sample(metrics, TARGET_LABELS(rows[i]),
			*(const int64_t *)((const char *)&rows[i] + offset));
}

static void put_target_states(struct metrics *metrics, const struct target_row *rows, uint32_t n)
{
	uint32_t i;

	metrics_family(metrics, "sluice_target_healthy", METRICS_GAUGE,
		"1: the target is healthy, by its checks and by what requests say.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics, TARGET_LABELS(rows[i]), rows[i].is_healthy);
	metrics_family(metrics, "sluice_target_ejected", METRICS_GAUGE,
		"1: the target is out for what requests said about it.");
	for (i = 0; i < n; i++)
		metrics_sample(metrics, TARGET_LABELS(rows[i]), rows[i].is_ejected);
}

static void put_targets(struct metrics *metrics, const struct daemon *daemon)
{
	uint32_t n;
	struct target_row *rows = target_rows(daemon, &n);

	put_target_states(metrics, rows, n);
	put_by_target(metrics, rows, n, "sluice_target_requests_total", METRICS_COUNTER,
		"HTTP requests that were sent to a target.",
		offsetof(struct target_row, sum.requests));
	put_by_target(metrics, rows, n, "sluice_target_failures_total", METRICS_COUNTER,
		"Requests that a target did not answer, and connections that it did not take.",
		offsetof(struct target_row, sum.failures));
	put_by_target(metrics, rows, n, "sluice_target_ejections_total", METRICS_COUNTER,
		"How often a target was taken out for what requests said about it.",
		offsetof(struct target_row, ejections));
	put_by_target(metrics, rows, n, "sluice_target_connections_open", METRICS_GAUGE,
		"Connections to a target, idle ones too.",
		offsetof(struct target_row, sum.connections));
	put_by_target(metrics, rows, n, "sluice_target_outstanding", METRICS_GAUGE,
		"Requests and tunnels under way at a target.",
		offsetof(struct target_row, outstanding));
	free(rows);
}

void views_metrics_web(struct metrics *metrics, const struct daemon *daemon)
{
	put_durations(metrics, daemon);
	put_rules(metrics, daemon);
	put_groups(metrics, daemon);
	put_targets(metrics, daemon);
}
