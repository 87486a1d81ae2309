/* The view "rules": what the rules of listeners are for, what is done, how often; and which of them a
 * request would go by (views_rules_test.c). See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/rules_text.h"
#include "proxy/rules_explain.h"

#include <stdlib.h>
#include <string.h>

static void put_text(const struct view *row, const char *name, char *text)
{
	view_text(row, name, text);
	free(text);
}

static void put_counts(const struct daemon *daemon, const struct rules *rules, const char *name,
	const struct view *row)
{
	const struct rules_stats *stats = rules ? rules_stats_find(rules, name) : NULL;
	struct rules_totals totals = {0};

	if (stats)
		rules_explain_totals(stats, daemon->env.n_workers, &totals);
	view_number(row, "hits", totals.hits);
	view_number(row, "regex_limits", totals.regex_limits);
	view_number(row, "limited", totals.limited);
}

static void put_rate_limit(const struct view *row, const struct config_rate_limit *limit)
{
	struct view rate;

	if (!limit->mark.line) {
		view_null(row, "rate_limit");
		return;
	}
	rate = view_object(row, "rate_limit");
	view_number(&rate, "requests_per_second", limit->requests_per_second);
	view_number(&rate, "client_requests_per_second", limit->client.requests_per_second);
	view_bool(&rate, "dry_run", limit->dry_run);
}

static void put_rule(const struct daemon *daemon, const struct rules *rules,
	const struct config_rule *rule, bool redact, const struct view_list *list)
{
	struct view row = view_list_object(list);
	char unnamed[CONFIG_RULE_NAME_BYTES];
	const char *name = config_rule_name(rule, unnamed);
	struct view_list conditions;
	uint32_t i;

	view_text(&row, "name", name);
	view_number(&row, "priority", rule->priority);
	conditions = view_list(&row, "conditions");
	for (i = 0; i < rule->conditions_count; i++) {
		char *text = rules_text_condition(&rule->conditions[i], redact);

		view_list_text(&conditions, text);
		free(text);
	}
	put_text(&row, "action", rules_text_action(rule->target_group, rule->actions, redact));
	view_bool(&row, "rewrites",
		rule->rewrite.mark.line || rule->request_headers.mark.line ||
			rule->response_headers.mark.line);
	put_rate_limit(&row, &rule->rate_limit);
	put_counts(daemon, rules, name, &row);
}

static int compare_priorities(const void *a, const void *b)
{
	const struct config_rule *x = *(const struct config_rule *const *)a;
	const struct config_rule *y = *(const struct config_rule *const *)b;

	return (x->priority > y->priority) - (x->priority < y->priority);
}

static void put_rules(const struct daemon *daemon, const struct rules *rules,
	const struct config_listener *config, bool redact, const struct view *row)
{
	const struct config_rule **sorted = malloc((config->rules_count + 1) * sizeof(*sorted));
	struct view_list list = view_list(row, "rules");
	uint32_t i;

	if (!sorted)
		abort();
	for (i = 0; i < config->rules_count; i++)
		sorted[i] = &config->rules[i];
	if (config->rules_count)
		qsort(sorted, config->rules_count, sizeof(*sorted), compare_priorities);
	for (i = 0; i < config->rules_count; i++)
		put_rule(daemon, rules, sorted[i], redact, &list);
	free(sorted);
}

static void put_listener(
	const struct daemon *daemon, uint32_t index, bool redact, const struct view_list *list)
{
	const struct config_listener *config = &daemon->build->config->listeners[index];
	const struct listener *listener = daemon->build->listeners[index];
	struct view row = view_list_object(list), otherwise;
	struct listener_counts sum;

	counts_of_stats(listener->spec.stats, daemon->env.n_workers, &sum);
	view_text(&row, "name", config->name);
	view_number(&row, "requests", sum.requests);
	view_number(&row, "rule_evaluations", sum.rule_evaluations);
	view_number(&row, "redirects", sum.redirects);
	view_number(&row, "fixed_responses", sum.fixed_responses);
	put_rules(daemon, listener->spec.rules, config, redact, &row);
	otherwise = view_object(&row, "default");
	put_text(&otherwise, "action",
		rules_text_action(config->target_group, config->default_actions, redact));
	put_counts(daemon, listener->spec.rules, "default", &otherwise);
}

static bool is_web(const struct config_listener *config)
{
	return config->protocol == CONFIG_HTTP || config->protocol == CONFIG_HTTPS;
}

void view_rules(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct daemon *daemon = arg;
	const struct config *config = daemon->build->config;
	char name[CONFIG_NAME_MAX + 1];
	int asked = admin_query_text(call->query, "listener", name, sizeof(name));
	yyjson_mut_doc *doc = admin_doc_new();
	struct view root = {doc, yyjson_mut_doc_get_root(doc)};
	struct view_list list = view_list(&root, "listeners");
	uint32_t i;

	for (i = 0; asked >= 0 && i < config->listeners_count; i++)
		if (is_web(&config->listeners[i]) &&
			(!asked || strcmp(config->listeners[i].name, name) == 0))
			put_listener(daemon, i, call->redact, &list);
	if (asked && yyjson_mut_arr_size(list.list) == 0) {
		yyjson_mut_doc_free(doc);
		admin_reply_error(reply, 404, "not_found",
			"there is no listener %s of protocol http or https", asked > 0 ? name : "");
		return;
	}
	admin_reply_finish(reply, 200, doc);
}
