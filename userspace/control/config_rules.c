/* Do the rules of listeners make sense? See config_read.h and, for what they mean, proxy/rules.h. */
#include "control/config_read.h"
#include "control/config_rules_parts.h"

#include "core/mem.h"
#include "http/syntax.h"
#include "proxy/rules.h"
#include "http/headers.h"
#include "proxy/tls_headers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- groups */
static void each_of_action(const struct config_action *action, config_each_group *each, void *arg)
{
	uint32_t i;

	for (i = 0; i < action->forward.target_groups_count; i++)
		if (action->forward.target_groups[i].target_group)
			each(action->forward.target_groups[i].target_group, arg);
}

void config_rules_groups(const struct config_listener *listener, config_each_group *each, void *arg)
{
	uint32_t i, at;

	if (listener->target_group)
		each(listener->target_group, arg);
	for (i = 0; i < listener->routes_count; i++)
		each(listener->routes[i].target_group, arg);
	for (i = 0; i < listener->default_actions_count; i++)
		each_of_action(&listener->default_actions[i], each, arg);
	for (i = 0; i < listener->rules_count; i++) {
		if (listener->rules[i].target_group)
			each(listener->rules[i].target_group, arg);
		for (at = 0; at < listener->rules[i].actions_count; at++)
			each_of_action(&listener->rules[i].actions[at], each, arg);
	}
}

/* --- conditions */

/* The least number of captures that any value of the first test on this field has. */
struct captures {
	bool is_known;
	uint32_t least;
};

static bool is_path_pattern(const char *text)
{
	return strchr("/*?\\", *text) || strncmp(text, "regex:", 6) == 0;
}

/* What a request's host never has in it. An address with colons stands in brackets. */
static bool is_no_host(const char *text)
{
	size_t len = strlen(text);

	if (strncmp(text, "regex:", 6) == 0)
		return false;
	return strchr(text, '/') || (text[0] != '[' && strchr(text, ':')) ||
	       (len > 1 && text[len - 1] == '.');
}

/* One value, at the present place. */
static void check_value(struct config_checker *checker, enum rules_field field, char *const *value,
	struct captures *captures)
{
	struct config_mark mark = config_mark(checker->config, value, (struct config_mark){0});
	char quoted[QUOTED_BYTES];
	uint32_t n = 0;
	struct err err;

	if (!*value)
		n = RULES_CAPTURES_MAX; /* has its error */
	else if (field == RULES_PATH && !is_path_pattern(*value))
		config_errors_add(checker->errors, mark, checker->path.text,
			"%s fits no path: begin it with / or *",
			scalar_quote(slice_of(*value), quoted));
	else if (field == RULES_HOST && is_no_host(*value))
		config_errors_add(checker->errors, mark, checker->path.text,
			"%s fits no host: leave out the scheme, the port and a dot at the end",
			scalar_quote(slice_of(*value), quoted));
	else if (rules_pattern_check(field, *value, &n, &err) < 0)
		config_errors_add(checker->errors, mark, checker->path.text, "%s", err.text);
	if (captures && (!captures->is_known || n < captures->least))
		*captures = (struct captures){true, n};
}

static void check_values(struct config_checker *checker, enum rules_field field,
	char *const *values, uint32_t n, const char *list, struct captures *captures)
{
	size_t before = config_path_enter(&checker->path, list), item;
	uint32_t i;

	for (i = 0; i < n; i++) {
		item = config_path_item(&checker->path, NULL, i);
		check_value(checker, field, &values[i], captures);
		config_path_cut(&checker->path, item);
	}
	config_path_cut(&checker->path, before);
}

static void check_text(struct config_checker *checker, enum rules_field field, char *const *value,
	const char *name)
{
	size_t before = config_path_enter(&checker->path, name);

	if (*value)
		check_value(checker, field, value, NULL);
	config_path_cut(&checker->path, before);
}

static void check_named(struct config_checker *checker, const struct config_named_values *named,
	enum rules_field field, const char *section)
{
	size_t before;

	if (!named->mark.line)
		return;
	before = config_path_enter(&checker->path, section);
	if (named->name && !syntax_is_token(slice_of(named->name)))
		config_refuse(checker, &named->name, named->mark, "name", "is not the name of a %s",
			section);
	else if (named->name && field == RULES_HEADER &&
		 http_header_id(slice_of(named->name)) == HTTP_HEADER_HOST)
		config_refuse(checker, &named->name, named->mark, "name",
			"is what the condition host is for");
	check_values(checker, field, named->values, named->values_count, "values", NULL);
	config_path_cut(&checker->path, before);
}

static void check_methods(struct config_checker *checker, const struct config_condition *condition)
{
	char quoted[QUOTED_BYTES];
	uint32_t i;

	for (i = 0; i < condition->methods_count; i++)
		if (condition->methods[i] && !syntax_is_token(slice_of(condition->methods[i])))
			config_refuse(checker, &condition->methods[i], condition->mark, "method",
				"%s is not a method",
				scalar_quote(slice_of(condition->methods[i]), quoted));
}

static void check_query(struct config_checker *checker, const struct config_condition *condition)
{
	size_t before = config_path_enter(&checker->path, "query");
	uint32_t i;

	for (i = 0; i < condition->query_count; i++) {
		const struct config_query_value *query = &condition->query[i];
		size_t list = config_path_item(&checker->path, NULL, i);

		if (!query->key && !query->value && !config_is_unread(checker, &query->key) &&
			!config_is_unread(checker, &query->value))
			config_refuse(
				checker, &query->key, query->mark, "key", "or value is required");
		check_text(checker, RULES_QUERY, &query->key, "key");
		check_text(checker, RULES_QUERY, &query->value, "value");
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
}

static bool is_empty(const struct config_condition *condition)
{
	return !condition->hosts_count && !condition->paths_count && !condition->methods_count &&
	       !condition->header.mark.line && !condition->cookie.mark.line &&
	       !condition->query_count && !condition->source_ip_count;
}

static void check_condition(struct config_checker *checker,
	const struct config_condition *condition, struct config_captures *captures)
{
	struct captures host = {false, 0}, path = {false, 0};

	if (is_empty(condition))
		config_errors_add(checker->errors, condition->mark, checker->path.text,
			"says nothing: one of host, path, method, header, query, source_ip and cookie "
			"is required");
	check_values(checker, RULES_HOST, condition->hosts, condition->hosts_count, "host", &host);
	check_values(checker, RULES_PATH, condition->paths, condition->paths_count, "path", &path);
	check_methods(checker, condition);
	check_named(checker, &condition->header, RULES_HEADER, "header");
	check_named(checker, &condition->cookie, RULES_COOKIE, "cookie");
	check_query(checker, condition);
	if (condition->negated)
		return;
	if (host.is_known && !captures->has_host)
		captures->has_host = true, captures->host = host.least;
	if (path.is_known && !captures->has_path)
		captures->has_path = true, captures->path = path.least;
}

/* --- priorities */
static int compare_priorities(const void *a, const void *b)
{
	const struct config_rule *x = *(const struct config_rule *const *)a;
	const struct config_rule *y = *(const struct config_rule *const *)b;

	if (x->priority != y->priority)
		return x->priority < y->priority ? -1 : 1;
	return (x > y) - (x < y);
}

static void check_priorities(struct config_checker *checker, const struct config_listener *listener)
{
	uint32_t n = listener->rules_count, i;
	const struct config_rule **sorted = mem_alloc((n + 1) * sizeof(*sorted));

	for (i = 0; i < n; i++)
		sorted[i] = &listener->rules[i];
	if (n)
		qsort(sorted, n, sizeof(*sorted), compare_priorities);
	for (i = 1; i < n; i++) {
		const struct config_rule *first = sorted[i - 1], *again = sorted[i];
		size_t before;

		if (!again->priority || first->priority != again->priority)
			continue;
		before = config_path_enter(&checker->path, "rules");
		config_path_item(&checker->path, again->name, (uint32_t)(again - listener->rules));
		config_refuse(checker, &again->priority, again->mark, "priority",
			"%u is already that of the rule in line %u", again->priority,
			first->mark.line);
		config_path_cut(&checker->path, before);
	}
	free(sorted);
}

/* --- rules and listeners */
static void check_conditions(struct config_checker *checker, const struct config_rule *rule,
	struct config_captures *ret_captures)
{
	size_t before = config_path_enter(&checker->path, "conditions");
	uint32_t i;

	*ret_captures = (struct config_captures){false};
	for (i = 0; i < rule->conditions_count; i++) {
		size_t list = config_path_item(&checker->path, NULL, i);

		check_condition(checker, &rule->conditions[i], ret_captures);
		config_path_cut(&checker->path, list);
	}
	config_path_cut(&checker->path, before);
}

/* What targets are told about a client's TLS comes from nobody else. */
static void check_told(struct config_checker *checker, const struct config_listener *listener,
	const struct config_header_value *headers, uint32_t n)
{
	const struct config_auth_headers *auth = &listener->client_auth.headers;
	const char *const names[] = {listener->tls_headers.version,
		listener->tls_headers.cipher_suite, auth->serial_number, auth->issuer,
		auth->subject, auth->validity, auth->leaf, auth->chain};
	bool has_auth = listener->client_auth.mode != CONFIG_CLIENT_AUTH_OFF;
	uint32_t i, at;

	for (i = 0; i < n && listener->protocol == CONFIG_HTTPS; i++)
		for (at = 0; at < (has_auth ? array_len(names) : 2); at++)
			if (headers[i].name && names[at] &&
				http_name_is_alike(slice_of(headers[i].name), slice_of(names[at])))
				config_refuse(checker, &headers[i].name, headers[i].mark,
					"request_headers",
					"\"%s\" is what tells targets about the client's TLS",
					headers[i].name);
}

static bool forwards(const struct config_rule *rule)
{
	return rule->target_group || (rule->actions_count && rule->actions[0].forward.mark.line);
}

static void check_edits_fit(struct config_checker *checker, const struct config_rule *rule)
{
	if (rule->rewrite.mark.line && !forwards(rule))
		config_errors_add(checker->errors, rule->rewrite.mark, checker->path.text,
			"rewrite has no effect: nothing is forwarded");
	if (rule->request_headers.mark.line && !forwards(rule))
		config_errors_add(checker->errors, rule->request_headers.mark, checker->path.text,
			"request_headers have no effect: nothing is forwarded");
}

/* rule-PRIORITY */
static bool is_numbered(const char *name)
{
	return strncmp(name, "rule-", 5) == 0 && name[5] &&
	       !name[5 + strspn(name + 5, "0123456789")];
}

const char *config_rule_name(const struct config_rule *rule, char scratch[CONFIG_RULE_NAME_BYTES])
{
	if (rule->name)
		return rule->name;
	snprintf(scratch, CONFIG_RULE_NAME_BYTES, "rule-%u", rule->priority);
	return scratch;
}

/* The names of rules without one are theirs: counts and cookies go by names. */
static void check_rule_name(struct config_checker *checker, const struct config_rule *rule)
{
	const struct config_rule unnamed = {.priority = rule->priority};
	char own[CONFIG_RULE_NAME_BYTES];

	if (!rule->name)
		return;
	if (strcmp(rule->name, "default") == 0)
		config_refuse(checker, &rule->name, rule->mark, "name",
			"is what the default action is called: choose another one");
	else if (is_numbered(rule->name) &&
		 strcmp(rule->name, config_rule_name(&unnamed, own)) != 0)
		config_refuse(checker, &rule->name, rule->mark, "name",
			"is what a rule of that priority is called if it has no name: choose "
			"another one");
}

static void check_rule(struct config_checker *checker, const struct config_listener *listener,
	const struct config_rule *rule)
{
	struct config_captures captures;

	check_rule_name(checker, rule);
	check_conditions(checker, rule, &captures);
	config_check_target(
		checker, &rule->target_group, rule->actions_count, rule->mark, "actions");
	config_check_group_fits(checker, listener, &rule->target_group, rule->mark);
	config_check_actions(
		checker, listener, rule->actions, rule->actions_count, "actions", &captures);
	config_check_rewrite(checker, &rule->rewrite, &captures);
	config_check_edits(checker, &rule->request_headers, "request_headers",
		listener->request_headers.set_count + listener->request_headers.add_count +
			listener->request_headers.remove_count,
		&captures);
	config_check_edits(checker, &rule->response_headers, "response_headers",
		listener->response_headers.set_count + listener->response_headers.add_count +
			listener->response_headers.remove_count,
		NULL);
	check_told(checker, listener, rule->request_headers.set, rule->request_headers.set_count);
	check_told(checker, listener, rule->request_headers.add, rule->request_headers.add_count);
	check_edits_fit(checker, rule);
	config_check_rate_limit(checker, &rule->rate_limit);
}

static void check_web(struct config_checker *checker, const struct config_listener *listener)
{
	const struct config_captures none = {false};
	size_t before, list;
	uint32_t i;

	config_check_http(checker, listener);
	config_check_target(checker, &listener->target_group, listener->default_actions_count,
		listener->mark, "default_actions");
	config_check_actions(checker, listener, listener->default_actions,
		listener->default_actions_count, "default_actions", &none);
	config_check_edits(checker, &listener->request_headers, "request_headers", 0, &none);
	config_check_edits(checker, &listener->response_headers, "response_headers", 0, NULL);
	check_told(checker, listener, listener->request_headers.set,
		listener->request_headers.set_count);
	check_told(checker, listener, listener->request_headers.add,
		listener->request_headers.add_count);
	check_priorities(checker, listener);
	for (i = 0; i < listener->rules_count; i++) {
		before = config_path_enter(&checker->path, "rules");
		list = config_path_item(&checker->path, listener->rules[i].name, i);
		check_rule(checker, listener, &listener->rules[i]);
		config_path_cut(&checker->path, list);
		config_path_cut(&checker->path, before);
	}
}

void config_check_rules(const struct config *config, struct config_errors *errors)
{
	struct config_checker checker = {.config = config, .errors = errors};
	uint32_t i;

	for (i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		config_path_enter(&checker.path, "listeners");
		config_path_item(&checker.path, listener->name, i);
		if (listener->protocol == CONFIG_HTTP || listener->protocol == CONFIG_HTTPS)
			check_web(&checker, listener);
		else if (!listener->target_group &&
			 !config_is_given(config, &listener->target_group) &&
			 !config_is_unread(&checker, &listener->target_group))
			config_refuse(&checker, &listener->target_group, listener->mark,
				"target_group", "is required");
		config_path_cut(&checker.path, 0);
	}
}
