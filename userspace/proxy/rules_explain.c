/* Why a request goes by a rule: see rules_explain.h. */
#include "proxy/rules_explain.h"

#include "proxy/rules_parts.h"

enum { EXPLAIN_MAX_US = 500 * 1000 }; /* then the rest is not looked at */

static struct rules_verdict verdict_on(
	const struct rules_rule *rule, const struct rules_request *request)
{
	const struct rules_condition *failing;
	const struct rules_test *test = NULL;
	struct rules_verdict verdict = {.name = rule->name, .priority = rule->priority};

	failing = rules_rule_fails(rule, request, &test);
	verdict.matches = !failing;
	if (!failing)
		return verdict;
	verdict.condition = (uint32_t)(failing - rule->conditions);
	verdict.negated = failing->negated;
	if (test)
		verdict.field = test->field;
	return verdict;
}

void rules_explain(const struct rules *rules, const struct http_request *http,
	const union addr *client, rules_explain_verdict *each, void *arg,
	struct rules_match *ret_match)
{
	const struct rules_rule *rule = &rules->otherwise;
	struct rules_verdict verdict;
	struct rules_request request;
	struct rules_effort effort;
	uint32_t i;

	rules_match(rules, http, client, rules->n_workers, ret_match);
	rules_effort_init(&effort, EXPLAIN_MAX_US);
	rules_request_init(rules, http, client, rules->n_workers, &effort, &request);
	for (i = 0; i < rules->n_rules && !effort.is_spent; i++) {
		verdict = verdict_on(&rules->rules[i], &request);
		each(&verdict, arg);
		if (verdict.matches)
			return;
	}
	verdict = verdict_on(rule, &request);
	each(&verdict, arg);
}

void rules_explain_totals(
	const struct rules_stats *stats, uint32_t n_workers, struct rules_totals *ret_totals)
{
	uint32_t i;

	*ret_totals = (struct rules_totals){0};
	for (i = 0; i <= n_workers; i++) {
		ret_totals->hits += __atomic_load_n(&stats->workers[i].hits, __ATOMIC_RELAXED);
		ret_totals->regex_limits +=
			__atomic_load_n(&stats->workers[i].regex_limits, __ATOMIC_RELAXED);
		ret_totals->limited +=
			__atomic_load_n(&stats->workers[i].limited, __ATOMIC_RELAXED);
	}
}
