/* Rules of listeners of a generation: from settings to what proxy/rules.h takes. See build.h. */
#include "control/build_rules.h"
#include "control/config_settings.h"
#include "core/hash.h"
#include "core/mem.h"
#include "proxy/rate_limit.h"
#include "proxy/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { FIELDS = 7 };

/* Memory that is needed until the rules are made. */
struct piece {
	struct piece *next;
	max_align_t bytes[];
};

struct making {
	struct building *building;
	const struct config_listener *wanted;
	const struct rules *before; /* NULL: there were none */
	struct piece *pieces;
};

static void *hold(struct making *making, size_t bytes)
{
	struct piece *piece = mem_zalloc(sizeof(*piece) + bytes + 1);

	piece->next = making->pieces;
	making->pieces = piece;
	return piece->bytes;
}

static void let_go(struct making *making)
{
	struct piece *piece;

	while ((piece = making->pieces)) {
		making->pieces = piece->next;
		free(piece);
	}
}

/* --- groups */
static struct target_group *group_of(
	const struct building *building, const struct config_target_group *wanted)
{
	return building->build->groups[wanted - building->build->config->target_groups].group;
}

struct target_group *build_default_group(
	const struct building *building, const struct config_listener *wanted)
{
	struct target_member nobody = {.target = NULL};
	struct group_spec spec = {
		.name = wanted->name, .members = &nobody, .n_workers = building->env->n_workers};
	struct target_group *group;

	if (!wanted->target_group)
		return target_group_new(&spec);
	group = group_of(building, wanted->target_group);
	shared_get(&group->shared);
	return group;
}

static void take_longest(const struct config_target_group *group, void *arg)
{
	uint32_t *longest_ms = arg;

	if (group->deregistration_delay_ms > *longest_ms)
		*longest_ms = group->deregistration_delay_ms;
}

uint32_t build_drain_ms(const struct config_listener *wanted)
{
	uint32_t longest_ms = 0;

	config_rules_groups(wanted, take_longest, &longest_ms);
	return longest_ms;
}

/* --- conditions */
static struct rules_test_spec *add_values(struct rules_condition_spec *condition,
	enum rules_field field, char *const *values, uint32_t n)
{
	struct rules_test_spec *test;

	if (!n)
		return NULL;
	test = (struct rules_test_spec *)&condition->tests[condition->n_tests++];
	*test = (struct rules_test_spec){
		.field = field, .values = (const char *const *)values, .n_values = n};
	return test;
}

static void add_named(struct rules_condition_spec *condition, enum rules_field field,
	const struct config_named_values *named)
{
	struct rules_test_spec *test;

	if (!named->mark.line)
		return;
	test = (struct rules_test_spec *)&condition->tests[condition->n_tests++];
	*test = (struct rules_test_spec){.field = field,
		.name = named->name,
		.values = (const char *const *)named->values,
		.n_values = named->values_count};
}

static void add_query(struct making *making, const struct config_condition *wanted,
	struct rules_condition_spec *condition)
{
	uint32_t n = wanted->query_count, i;
	const char **keys = hold(making, n * sizeof(*keys));
	char **values = hold(making, n * sizeof(*values));
	struct rules_test_spec *test = add_values(condition, RULES_QUERY, values, n);

	for (i = 0; i < n; i++) {
		keys[i] = wanted->query[i].key;
		values[i] = wanted->query[i].value;
	}
	if (test)
		test->keys = keys;
}

static struct rules_prefix prefix_of(const struct config_prefix *wanted)
{
	struct rules_prefix prefix = {.len_bits = (uint8_t)wanted->len_bits};

	if (wanted->family == AF_INET6) {
		memcpy(prefix.mapped, wanted->ip, 16);
		return prefix;
	}
	memset(prefix.mapped + 10, 0xff, 2);
	memcpy(prefix.mapped + 12, wanted->ip, 4);
	prefix.len_bits = (uint8_t)(96 + wanted->len_bits);
	return prefix;
}

static void add_sources(struct making *making, const struct config_condition *wanted,
	struct rules_condition_spec *condition)
{
	uint32_t n = wanted->source_ip_count, i;
	struct rules_prefix *prefixes = hold(making, n * sizeof(*prefixes));

	for (i = 0; i < n; i++)
		prefixes[i] = prefix_of(&wanted->source_ip[i]);
	if (n)
		*(struct rules_test_spec *)&condition->tests[condition->n_tests++] =
			(struct rules_test_spec){
				.field = RULES_SOURCE, .prefixes = prefixes, .n_prefixes = n};
}

static void add_condition(struct making *making, const struct config_condition *wanted,
	struct rules_condition_spec *condition)
{
	condition->tests = hold(making, FIELDS * sizeof(*condition->tests));
	condition->negated = wanted->negated;
	add_values(condition, RULES_METHOD, wanted->methods, wanted->methods_count);
	add_values(condition, RULES_HOST, wanted->hosts, wanted->hosts_count);
	add_values(condition, RULES_PATH, wanted->paths, wanted->paths_count);
	add_sources(making, wanted, condition);
	add_named(condition, RULES_HEADER, &wanted->header);
	add_named(condition, RULES_COOKIE, &wanted->cookie);
	add_query(making, wanted, condition);
}

/* --- actions */
static void forward_to(struct making *making, const struct config_target_group *wanted,
	struct rules_action_spec *action)
{
	struct rules_forward_spec *forward = hold(making, sizeof(*forward));

	*forward = (struct rules_forward_spec){group_of(making->building, wanted), 1};
	action->action = RULES_FORWARD;
	action->forward = forward;
	action->n_forward = 1;
}

static void set_forward(struct making *making, const struct config_forward *wanted,
	struct rules_action_spec *action)
{
	uint32_t n = wanted->target_groups_count, i;
	struct rules_forward_spec *forward = hold(making, n * sizeof(*forward));

	for (i = 0; i < n; i++)
		forward[i] = (struct rules_forward_spec){
			group_of(making->building, wanted->target_groups[i].target_group),
			wanted->target_groups[i].weight};
	action->action = RULES_FORWARD;
	action->forward = forward;
	action->n_forward = n;
	action->sticky_s = wanted->stickiness_ms / 1000;
}

/* With another protocol than the listener's, a port that is not given belongs to that protocol. */
static const char *port_of(
	const struct config_listener *listener, const struct config_redirect *wanted)
{
	bool is_https = listener->protocol == CONFIG_HTTPS;

	if (wanted->port)
		return wanted->port;
	if (!is_https && strcasecmp(wanted->protocol, "https") == 0)
		return "443";
	return is_https && strcasecmp(wanted->protocol, "http") == 0 ? "80" : "#{port}";
}

static const char *protocol_of(const struct config_redirect *wanted)
{
	if (strcasecmp(wanted->protocol, "https") == 0)
		return "https";
	return strcasecmp(wanted->protocol, "http") == 0 ? "http" : "#{protocol}";
}

static void set_redirect(const struct config_listener *listener,
	const struct config_redirect *wanted, struct rules_action_spec *action)
{
	static const uint16_t statuses[] = {301, 302, 303, 307, 308};

	*action = (struct rules_action_spec){.action = RULES_REDIRECT,
		.status = statuses[wanted->status],
		.protocol = protocol_of(wanted),
		.host = wanted->host,
		.port = port_of(listener, wanted),
		.path = wanted->path,
		.query = wanted->query};
}

static void set_fixed(const struct config_fixed_response *wanted, struct rules_action_spec *action)
{
	*action = (struct rules_action_spec){.action = RULES_FIXED,
		.status = (uint16_t)wanted->status,
		.content_type = wanted->content_type};
	if (wanted->body)
		action->body = slice_of(wanted->body);
}

static void set_action(struct making *making, const struct config_target_group *group,
	const struct config_action *wanted, struct rules_action_spec *action)
{
	if (group)
		forward_to(making, group, action);
	else if (wanted->forward.mark.line)
		set_forward(making, &wanted->forward, action);
	else if (wanted->redirect.mark.line)
		set_redirect(making->wanted, &wanted->redirect, action);
	else
		set_fixed(&wanted->fixed_response, action);
}

/* --- headers */
static bool changes(const struct rules_edits_spec *edits, const char *name)
{
	uint32_t i;

	for (i = 0; i < edits->n; i++)
		if (strcasecmp(edits->edits[i].name, name) == 0)
			return true;
	return false;
}

/* Those whose names `but` has not (NULL: all) behind what is there. */
static void add_edits(const struct config_header_edits *wanted, const struct rules_edits_spec *but,
	struct rules_edits_spec *edits)
{
	struct rules_edit_spec *list = (struct rules_edit_spec *)edits->edits;
	uint32_t i;

	for (i = 0; i < wanted->remove_count; i++)
		if (!but || !changes(but, wanted->remove[i]))
			list[edits->n++] =
				(struct rules_edit_spec){RULES_REMOVE, wanted->remove[i], NULL};
	for (i = 0; i < wanted->set_count; i++)
		if (!but || !changes(but, wanted->set[i].name))
			list[edits->n++] = (struct rules_edit_spec){
				RULES_SET, wanted->set[i].name, wanted->set[i].value};
	for (i = 0; i < wanted->add_count; i++)
		if (!but || !changes(but, wanted->add[i].name))
			list[edits->n++] = (struct rules_edit_spec){
				RULES_ADD, wanted->add[i].name, wanted->add[i].value};
}

static void set_edits(struct making *making, const struct config_header_edits *of_listener,
	const struct config_header_edits *of_rule, struct rules_edits_spec *edits)
{
	struct rules_edits_spec own = {.edits = hold(making, RULES_EDITS_MAX * sizeof(*own.edits))};

	edits->edits = hold(making, 2 * RULES_EDITS_MAX * sizeof(*edits->edits));
	if (of_rule)
		add_edits(of_rule, NULL, &own);
	add_edits(of_listener, &own, edits);
	if (of_rule)
		add_edits(of_rule, NULL, edits);
}

/* --- rules */
static void take_stats(const struct making *making, struct rules_rule_spec *rule)
{
	if (making->before)
		rule->stats = rules_stats_find(making->before, rule->name);
	if (rule->stats)
		shared_get(&rule->stats->shared);
	else
		rule->stats = rules_stats_new(making->building->env->n_workers);
}

/* What was let through counts on, if the terms are the same. */
static struct rate_limit *limit_of(
	const struct making *making, const struct config_rate_limit *wanted, const char *name)
{
	struct rate_limit *old = making->before ? rules_limit_find(making->before, name) : NULL;
	struct rate_limit_spec spec = {
		.all = {wanted->requests_per_second, wanted->requests_burst},
		.client = {wanted->client.requests_per_second, wanted->client.requests_burst},
		.ipv6_bits = (uint8_t)wanted->client.ipv6_prefix,
		.max_clients = wanted->client.max_clients,
		.dry_run = wanted->dry_run,
	};

	if (!wanted->mark.line)
		return NULL;
	if (old && rate_limit_spec_eq(rate_limit_spec(old), &spec))
		return rate_limit_get(old);
	return rate_limit_new(&spec);
}

static const char *name_of(struct making *making, const struct config_rule *wanted)
{
	if (wanted->name)
		return wanted->name;
	return config_rule_name(wanted, hold(making, CONFIG_RULE_NAME_BYTES));
}

static void add_rule(
	struct making *making, const struct config_rule *wanted, struct rules_rule_spec *rule)
{
	struct rules_condition_spec *conditions =
		hold(making, wanted->conditions_count * sizeof(*conditions));
	uint32_t i;

	rule->name = name_of(making, wanted);
	rule->priority = wanted->priority;
	for (i = 0; i < wanted->conditions_count; i++)
		add_condition(making, &wanted->conditions[i], &conditions[i]);
	rule->conditions = conditions;
	rule->n_conditions = wanted->conditions_count;
	set_action(making, wanted->target_group, wanted->actions, &rule->action);
	rule->limit = limit_of(making, &wanted->rate_limit, rule->name);
	rule->rewrite_host = wanted->rewrite.host;
	rule->rewrite_path = wanted->rewrite.path;
	rule->rewrite_query = wanted->rewrite.query;
	set_edits(
		making, &making->wanted->request_headers, &wanted->request_headers, &rule->request);
	set_edits(making, &making->wanted->response_headers, &wanted->response_headers,
		&rule->response);
	take_stats(making, rule);
}

static void add_otherwise(struct making *making, struct rules_rule_spec *rule)
{
	const struct config_listener *wanted = making->wanted;

	rule->name = "default";
	set_action(making, wanted->target_group, wanted->default_actions, &rule->action);
	set_edits(making, &wanted->request_headers, NULL, &rule->request);
	set_edits(making, &wanted->response_headers, NULL, &rule->response);
	take_stats(making, rule);
}

static uint64_t digest_of(const struct config_listener *wanted)
{
	static const char *const settings[] = {"target_group", "rules", "default_actions"};
	static const struct hash_key key;
	uint64_t digest = 0;
	size_t i;

	for (i = 0; i < array_len(settings); i++) {
		char *text = config_show_setting(
			config_setting_find(SECTION_config_listener, slice_of(settings[i])),
			wanted);

		digest = digest * 31 + hash_bytes(&key, text, strlen(text));
		free(text);
	}
	return digest;
}

static void make(struct making *making, struct rules **ret_rules)
{
	const struct config_listener *wanted = making->wanted;
	uint32_t n = wanted->rules_count, i;
	struct rules_rule_spec *rules = hold(making, (n + 1) * sizeof(*rules));
	struct rules_spec spec = {.listener = wanted->name,
		.rules = rules,
		.n_rules = n,
		.otherwise = &rules[n],
		.tickets = making->building->env->tickets,
		.digest = digest_of(wanted),
		.n_workers = making->building->env->n_workers};
	char path[256];
	struct err err;

	for (i = 0; i < n; i++)
		add_rule(making, &wanted->rules[i], &rules[i]);
	add_otherwise(making, &rules[n]);
	if (rules_new(&spec, ret_rules, &err) < 0) {
		snprintf(path, sizeof(path), "listeners[%s].rules", wanted->name);
		config_errors_add(making->building->errors, wanted->mark, path, "%s", err.text);
	}
	for (i = 0; i <= n; i++) {
		rate_limit_put(rules[i].limit);
		shared_put(&rules[i].stats->shared);
	}
}

void build_rules(
	struct building *building, const struct config_listener *wanted, struct rules **ret_rules)
{
	const struct built_listener *old = build_before_listener(building, wanted->name);
	struct making making = {.building = building,
		.wanted = wanted,
		.before = old ? old->listener->spec.rules : NULL};

	*ret_rules = NULL;
	if (!wanted->rules_count && !wanted->default_actions_count &&
		!wanted->request_headers.mark.line && !wanted->response_headers.mark.line)
		return;
	make(&making, ret_rules);
	let_go(&making);
}
