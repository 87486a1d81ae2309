/* Why a request goes by the rule it goes by: every rule in turn, as rules_match() would find if it had no
 * index. Counts nothing. The control thread alone. */
#ifndef SLUICE_PROXY_RULES_EXPLAIN_H
#define SLUICE_PROXY_RULES_EXPLAIN_H

#include "proxy/rules.h"

/* Of one rule. */
struct rules_verdict {
	const char *name;
	uint32_t priority; /* 0: of what no rule is for */
	bool matches; /* it was the last, then */
	uint32_t condition; /* the first that does not hold; and of it: */
	bool negated; /* it would have held, without its "not" */
	enum rules_field field; /* what does not fit, if it is not negated */
};

typedef void rules_explain_verdict(const struct rules_verdict *verdict, void *arg);

/* ret_match as that of rules_match(). */
void rules_explain(const struct rules *rules, const struct http_request *request,
	const union addr *client, rules_explain_verdict *each, void *arg,
	struct rules_match *ret_match);

/* Sums over all workers. */
struct rules_totals {
	uint64_t hits, regex_limits, limited;
};

void rules_explain_totals(
	const struct rules_stats *stats, uint32_t n_workers, struct rules_totals *ret_totals);

#endif
