/* Rules from their spec: own copies of everything. See rules_parts.h. */
#include "proxy/rules_parts.h"

#include "core/hash.h"
#include "core/mem.h"
#include "proxy/group.h"
#include "proxy/rate_limit.h"

#include <stdlib.h>
#include <string.h>

static char *copy(const char *text)
{
	return text ? mem_strdup(text) : NULL;
}

static int init_values(struct rules_test *test, const struct rules_test_spec *spec, struct err *err)
{
	bool any_case = rules_test_has_any_case(spec->field);
	uint32_t i;
	int r;

	test->values = mem_zalloc((spec->n_values + 1) * sizeof(*test->values));
	test->keys = mem_zalloc((spec->n_values + 1) * sizeof(*test->keys));
	test->has_key = mem_zalloc(spec->n_values + 1);
	test->has_value = mem_zalloc(spec->n_values + 1);
	for (i = 0; i < spec->n_values; i++) {
		test->n_values++;
		test->has_key[i] = spec->keys && spec->keys[i];
		test->has_value[i] = spec->values[i];
		r = test->has_key[i] ? rules_pattern_init(
					       &test->keys[i], spec->keys[i], any_case, false, err)
				     : 0;
		if (r == 0 && test->has_value[i])
			r = rules_pattern_init(
				&test->values[i], spec->values[i], any_case, false, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int init_test(struct rules_test *test, const struct rules_test_spec *spec, struct err *err)
{
	size_t bytes = spec->n_prefixes * sizeof(*spec->prefixes);

	test->field = spec->field;
	test->name = copy(spec->name);
	if (spec->name)
		test->header = http_header_id(slice_of(spec->name));
	if (spec->n_prefixes)
		test->prefixes = memcpy(mem_alloc(bytes), spec->prefixes, bytes);
	test->n_prefixes = spec->n_prefixes;
	return init_values(test, spec, err);
}

static int init_conditions(
	struct rules_rule *rule, const struct rules_rule_spec *spec, struct err *err)
{
	uint32_t i, at;
	int r;

	rule->conditions = mem_zalloc((spec->n_conditions + 1) * sizeof(*rule->conditions));
	for (i = 0; i < spec->n_conditions; i++) {
		const struct rules_condition_spec *wanted = &spec->conditions[i];
		struct rules_condition *condition = &rule->conditions[rule->n_conditions++];

		condition->negated = wanted->negated;
		condition->tests = mem_zalloc((wanted->n_tests + 1) * sizeof(*condition->tests));
		for (at = 0; at < wanted->n_tests; at++) {
			r = init_test(
				&condition->tests[condition->n_tests++], &wanted->tests[at], err);
			if (r < 0)
				return r;
		}
	}
	return 0;
}

/* The same on every node and after every reload. */
static char *cookie_name(const char *listener, const char *rule)
{
	static const struct hash_key key;
	char *text = mem_printf("%s %s", listener, rule);
	char *name = mem_printf("SLUICETG-%08x", (uint32_t)hash_bytes(&key, text, strlen(text)));

	free(text);
	return name;
}

static void init_forward(
	struct rules_rule *rule, const struct rules_action_spec *spec, const struct rules *rules)
{
	size_t bytes = spec->n_forward * sizeof(*spec->forward);
	uint32_t i;

	rule->forward = memcpy(mem_alloc(bytes + 1), spec->forward, bytes);
	rule->n_forward = spec->n_forward;
	for (i = 0; i < spec->n_forward; i++)
		shared_get(&spec->forward[i].group->shared);
	rule->sticky_s = spec->sticky_s;
	if (spec->n_forward < 2)
		return;
	if (spec->sticky_s)
		rule->cookie = cookie_name(rules->listener, rule->name);
	rule->turns = aligned_alloc(CACHE_LINE, rules->n_workers * sizeof(*rule->turns));
	if (!rule->turns)
		abort();
	for (i = 0; i < rules->n_workers; i++)
		rule->turns[i].current = mem_zalloc(spec->n_forward * sizeof(int32_t));
}

static int init_action(struct rules_rule *rule, const struct rules_action_spec *spec,
	const struct rules *rules, struct err *err)
{
	int r = 0;

	rule->action = spec->action;
	rule->status = spec->status;
	if (spec->action == RULES_FORWARD)
		init_forward(rule, spec, rules);
	rule->content_type = copy(spec->content_type);
	if (spec->body.len)
		rule->body =
			(struct slice){mem_strndup(spec->body.ptr, spec->body.len), spec->body.len};
	r = rules_template_init(&rule->protocol, spec->protocol, err);
	r = r ?: rules_template_init(&rule->host, spec->host, err);
	r = r ?: rules_template_init(&rule->port, spec->port, err);
	r = r ?: rules_template_init(&rule->path, spec->path, err);
	return r ?: rules_template_init(&rule->query, spec->query, err);
}

static int init_edits(struct rules_edits *edits, const struct rules_edits_spec *spec,
	bool are_templates, struct err *err)
{
	uint32_t i;
	int r = 0;

	edits->edits = mem_zalloc((spec->n + 1) * sizeof(*edits->edits));
	for (i = 0; i < spec->n && r == 0; i++) {
		const struct rules_edit_spec *wanted = &spec->edits[i];
		struct rules_header_edit *edit = &edits->edits[edits->n++];
		char *value = copy(are_templates ? NULL : wanted->value);

		edit->edit = wanted->edit;
		edit->name = (struct slice){mem_strdup(wanted->name), strlen(wanted->name)};
		edit->id = http_header_id(edit->name);
		if (value)
			edit->text = (struct slice){value, strlen(value)};
		else
			r = rules_template_init(&edit->value, wanted->value, err);
	}
	return r;
}

static void fini_edits(struct rules_edits *edits)
{
	uint32_t i;

	for (i = 0; i < edits->n; i++) {
		free((char *)edits->edits[i].name.ptr);
		free((char *)edits->edits[i].text.ptr);
		rules_template_fini(&edits->edits[i].value);
	}
	free(edits->edits);
}

static int init_rewrites(
	struct rules_rule *rule, const struct rules_rule_spec *spec, struct err *err)
{
	int r = rules_template_init(&rule->rewrite_host, spec->rewrite_host, err);

	r = r ?: rules_template_init(&rule->rewrite_path, spec->rewrite_path, err);
	r = r ?: rules_template_init(&rule->rewrite_query, spec->rewrite_query, err);
	r = r ?: init_edits(&rule->request, &spec->request, true, err);
	rule->rewrites =
		spec->rewrite_host || spec->rewrite_path || spec->rewrite_query || spec->request.n;
	return r ?: init_edits(&rule->response, &spec->response, false, err);
}

int rules_rule_init(struct rules_rule *rule, const struct rules_rule_spec *spec,
	const struct rules *rules, struct err *err)
{
	int r;

	*rule = (struct rules_rule){.name = mem_strdup(spec->name),
		.priority = spec->priority,
		.n_workers = rules->n_workers,
		.limit = spec->limit ? rate_limit_get(spec->limit) : NULL,
		.stats = spec->stats,
		.rules = rules};
	shared_get(&spec->stats->shared);
	r = init_conditions(rule, spec, err);
	r = r ?: init_action(rule, &spec->action, rules, err);
	return r ?: init_rewrites(rule, spec, err);
}

static void fini_conditions(struct rules_rule *rule)
{
	uint32_t i, at, value;

	for (i = 0; i < rule->n_conditions; i++) {
		for (at = 0; at < rule->conditions[i].n_tests; at++) {
			struct rules_test *test = &rule->conditions[i].tests[at];

			for (value = 0; value < test->n_values; value++) {
				rules_pattern_fini(&test->values[value]);
				rules_pattern_fini(&test->keys[value]);
			}
			free(test->values);
			free(test->keys);
			free(test->has_key);
			free(test->has_value);
			free(test->prefixes);
			free(test->name);
		}
		free(rule->conditions[i].tests);
	}
	free(rule->conditions);
}

static void fini_action(struct rules_rule *rule)
{
	uint32_t i;

	for (i = 0; i < rule->n_forward; i++)
		target_group_put(rule->forward[i].group);
	for (i = 0; rule->turns && i < rule->n_workers; i++)
		free(rule->turns[i].current);
	free(rule->turns);
	free(rule->forward);
	free(rule->cookie);
	free(rule->content_type);
	free((char *)rule->body.ptr);
	rules_template_fini(&rule->protocol);
	rules_template_fini(&rule->host);
	rules_template_fini(&rule->port);
	rules_template_fini(&rule->path);
	rules_template_fini(&rule->query);
}

void rules_rule_fini(struct rules_rule *rule)
{
	if (!rule->name)
		return;
	fini_conditions(rule);
	fini_action(rule);
	fini_edits(&rule->request);
	fini_edits(&rule->response);
	rules_template_fini(&rule->rewrite_host);
	rules_template_fini(&rule->rewrite_path);
	rules_template_fini(&rule->rewrite_query);
	rate_limit_put(rule->limit);
	shared_put(&rule->stats->shared);
	free(rule->name);
}
