/*
 * Rules of a listener: which requests they are for, and what is done with them. Made once from a
 * spec, on the loader thread; immutable then, but for the rows of each worker (counts, the turn of
 * weighted groups, scratch of regular expressions). Owned by a listener: what a match points at is
 * good as long as that listener is held. Knows requests of any HTTP version.
 *
 * Matching is an index of hosts and paths (rules_index.h) that leaves few candidates, each of which
 * is then looked at whole (rules_test.c); the one with the lowest priority number wins.
 */
#ifndef SLUICE_PROXY_RULES_H
#define SLUICE_PROXY_RULES_H

#include "core/err.h"
#include "core/shared.h"
#include "http/message.h"
#include "net/addr.h"
#include "proxy/rules_spec.h"

struct rules;
struct rules_rule;

/* Counts of a rule; they outlive it as long as there is one of that name. */
struct rules_stats {
	struct shared shared;
	struct rules_stats_row {
		uint64_t hits, regex_limits, limited;
	} cache_aligned *workers; /* and behind them, a row of what was counted before them */
};

int rules_new(const struct rules_spec *spec, struct rules **ret_rules, struct err *err) must_check;
void rules_free(struct rules *rules);
struct rules_stats *rules_stats_new(uint32_t n_workers);
/* Those of a rule by its name ("default": of what no rule is for), not counted; NULL: none. */
struct rules_stats *rules_stats_find(const struct rules *rules, const char *name);
/* In the same way, what a rule lets through. */
struct rate_limit *rules_limit_find(const struct rules *rules, const char *name);

/* Is it a pattern for this field? 0, or -EINVAL; ret_captures: how many parts of it templates can
 * name. */
int rules_pattern_check(enum rules_field field, const char *pattern, uint32_t *ret_captures,
	struct err *err) must_check;

/* --- matching */
struct rules_captures {
	struct slice host[RULES_CAPTURES_MAX], path[RULES_CAPTURES_MAX];
	uint32_t n_host, n_path;
};

struct rules_match {
	const struct rules_rule *rule; /* never NULL */
	uint32_t evaluations; /* of rules */
	/* Nobody knows: an expression of it, or of a rule before it, was given up, all rules together
	 * take too long, or the host is longer than any name. */
	bool is_undecided;
	struct rules_captures captures; /* point into the request */
};

/* `worker`: the caller's row, n_workers: that of the control thread. */
void rules_match(const struct rules *rules, const struct http_request *request,
	const union addr *client, uint32_t worker, struct rules_match *ret_match);

/* What is done with requests that no rule is for. */
const struct rules_rule *rules_otherwise(const struct rules *rules);

/* For people. */
const char *rules_name(const struct rules_rule *rule);
/* 0: the one for what no rule is for. */
uint32_t rules_priority(const struct rules_rule *rule);
enum rules_action rules_action_of(const struct rules_rule *rule);
uint64_t rules_digest(const struct rules *rules);
/* Does any of its groups get a PROXY header? */
bool rules_sends_proxy(const struct rules *rules);

#endif
