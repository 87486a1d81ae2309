/* Rules of a listener: see rules.h. Life, and matching. */
#include "proxy/rules_parts.h"

#include "core/counter.h"
#include "core/mem.h"
#include "proxy/group.h"
#include "tls/tickets.h"

#include <stdlib.h>
#include <string.h>

static int compare_priorities(const void *a, const void *b)
{
	const struct rules_rule_spec *x = *(const struct rules_rule_spec *const *)a;
	const struct rules_rule_spec *y = *(const struct rules_rule_spec *const *)b;

	return (x->priority > y->priority) - (x->priority < y->priority);
}

static bool rule_sends_proxy(const struct rules_rule *rule)
{
	uint32_t i;

	for (i = 0; i < rule->n_forward; i++)
		if (rule->forward[i].group->spec.proxy_out != PROXY_OUT_OFF)
			return true;
	return false;
}

static int make_rules(struct rules *rules, const struct rules_spec *spec, struct err *err)
{
	const struct rules_rule_spec **sorted = mem_alloc((spec->n_rules + 1) * sizeof(*sorted));
	uint32_t i;
	int r = 0;

	rules->rules = mem_zalloc((spec->n_rules + 1) * sizeof(*rules->rules));
	for (i = 0; i < spec->n_rules; i++)
		sorted[i] = &spec->rules[i];
	qsort(sorted, spec->n_rules, sizeof(*sorted), compare_priorities);
	for (i = 0; i < spec->n_rules && r == 0; i++) {
		rules->n_rules++;
		r = rules_rule_init(&rules->rules[i], sorted[i], rules, err);
	}
	free(sorted);
	r = r ?: rules_rule_init(&rules->otherwise, spec->otherwise, rules, err);
	rules->sends_proxy = rule_sends_proxy(&rules->otherwise);
	for (i = 0; i < rules->n_rules; i++)
		rules->sends_proxy |= rule_sends_proxy(&rules->rules[i]);
	return r;
}

static int compare_names(const void *a, const void *b)
{
	const struct rules_rule *x = *(const struct rules_rule *const *)a;
	const struct rules_rule *y = *(const struct rules_rule *const *)b;

	return strcmp(x->name, y->name);
}

static void sort_names(struct rules *rules)
{
	uint32_t i;

	rules->by_name = mem_alloc((rules->n_rules + 1) * sizeof(*rules->by_name));
	for (i = 0; i < rules->n_rules; i++)
		rules->by_name[i] = &rules->rules[i];
	if (rules->n_rules)
		qsort(rules->by_name, rules->n_rules, sizeof(*rules->by_name), compare_names);
}

static int compare_to_name(const void *name, const void *rule)
{
	return strcmp(name, (*(const struct rules_rule *const *)rule)->name);
}

static const struct rules_rule *find(const struct rules *rules, const char *name)
{
	const struct rules_rule *const *found;

	if (strcmp(name, rules->otherwise.name) == 0)
		return &rules->otherwise;
	found = rules->n_rules ? bsearch(name, rules->by_name, rules->n_rules,
					 sizeof(*rules->by_name), compare_to_name)
			       : NULL;
	return found ? *found : NULL;
}

struct rules_stats *rules_stats_find(const struct rules *rules, const char *name)
{
	const struct rules_rule *rule = find(rules, name);

	return rule ? rule->stats : NULL;
}

struct rate_limit *rules_limit_find(const struct rules *rules, const char *name)
{
	const struct rules_rule *rule = find(rules, name);

	return rule ? rule->limit : NULL;
}

int rules_new(const struct rules_spec *spec, struct rules **ret_rules, struct err *err)
{
	struct rules *rules = mem_zalloc(sizeof(*rules));
	uint32_t i;
	int r;

	rules->listener = mem_strdup(spec->listener);
	rules->tickets = spec->tickets ? tls_tickets_get(spec->tickets) : NULL;
	rules->digest = spec->digest;
	rules->n_workers = spec->n_workers;
	rules->scratch = mem_alloc((spec->n_workers + 1) * sizeof(*rules->scratch));
	for (i = 0; i <= spec->n_workers; i++)
		rules->scratch[i] = rules_regex_scratch_new();
	r = make_rules(rules, spec, err);
	if (r < 0) {
		rules_free(rules);
		return r;
	}
	sort_names(rules);
	rules->index = rules_index_new(rules);
	*ret_rules = rules;
	return 0;
}

void rules_free(struct rules *rules)
{
	uint32_t i;

	if (!rules)
		return;
	if (rules->index)
		rules_index_free(rules->index);
	for (i = 0; i < rules->n_rules; i++)
		rules_rule_fini(&rules->rules[i]);
	rules_rule_fini(&rules->otherwise);
	for (i = 0; i <= rules->n_workers; i++)
		rules_regex_scratch_free(rules->scratch[i]);
	if (rules->tickets)
		tls_tickets_put(rules->tickets);
	free(rules->scratch);
	free(rules->by_name);
	free(rules->rules);
	free(rules->listener);
	free(rules);
}

static void stats_free(struct shared *shared)
{
	struct rules_stats *stats = container_of(shared, struct rules_stats, shared);

	free(stats->workers);
	shared_fini(shared);
	free(stats);
}

struct rules_stats *rules_stats_new(uint32_t n_workers)
{
	struct rules_stats *stats = mem_zalloc(sizeof(*stats));
	size_t bytes = (n_workers + 1) * sizeof(*stats->workers);

	shared_init(&stats->shared, n_workers, stats_free);
	stats->workers = aligned_alloc(CACHE_LINE, bytes);
	if (!stats->workers)
		abort();
	memset(stats->workers, 0, bytes);
	return stats;
}

const char *rules_name(const struct rules_rule *rule)
{
	return rule->name;
}

const struct rules_rule *rules_otherwise(const struct rules *rules)
{
	return &rules->otherwise;
}

uint32_t rules_priority(const struct rules_rule *rule)
{
	return rule->priority;
}

enum rules_action rules_action_of(const struct rules_rule *rule)
{
	return rule->action;
}

uint64_t rules_digest(const struct rules *rules)
{
	return rules->digest;
}

bool rules_sends_proxy(const struct rules *rules)
{
	return rules->sends_proxy;
}

/* --- matching */
struct search {
	const struct rules *rules;
	const struct rules_request *request;
	uint32_t best, evaluations;
	uint32_t undecided; /* the first rule that might be for the request; rules->n_rules: none */
};

/* No rule behind the best one need be looked at, nor behind one of which nobody knows. */
static void look(struct rules_list list, void *arg)
{
	struct search *search = arg;
	struct rules_effort *effort = search->request->effort;
	uint32_t i, number;
	bool is_for_it;

	for (i = 0; i < list.n; i++) {
		number = list.rules[i];
		if (number >= search->best || number >= search->undecided)
			return;
		search->evaluations++;
		effort->is_undecided = false;
		is_for_it = !rules_rule_fails(&search->rules->rules[number], search->request, NULL);
		if (effort->is_undecided)
			search->undecided = number;
		else if (is_for_it)
			search->best = number;
	}
}

/* Names of DNS are shorter; the index does not look longer ones up. */
static bool is_no_host(struct slice host)
{
	return host.len > RULES_HOST_BYTES_MAX;
}

void rules_match(const struct rules *rules, const struct http_request *http,
	const union addr *client, uint32_t worker, struct rules_match *ret_match)
{
	struct rules_request request;
	struct search search = {rules, &request, rules->n_rules, 0, rules->n_rules};
	const struct rules_rule *rule;
	struct rules_effort effort;

	rules_effort_init(&effort, RULES_EFFORT_MAX_US);
	rules_request_init(rules, http, client, worker, &effort, &request);
	if (!is_no_host(request.host))
		rules_index_find(rules->index, request.host, http->path, look, &search);
	rule = search.best < rules->n_rules ? &rules->rules[search.best] : &rules->otherwise;
	ret_match->rule = rule;
	ret_match->evaluations = search.evaluations;
	ret_match->is_undecided = is_no_host(request.host) || search.undecided < search.best;
	ret_match->captures.n_host = ret_match->captures.n_path = 0;
	if (ret_match->is_undecided)
		return;
	if (rule->rewrites || rule->action == RULES_REDIRECT)
		rules_rule_capture(rule, &request, &ret_match->captures);
	if (worker < rules->n_workers)
		counter_inc(&rule->stats->workers[worker].hits);
}
