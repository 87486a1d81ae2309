/* What rules are made from: borrowed for the call of rules_new(). See rules.h, which is the header to
 * include. */
#ifndef SLUICE_PROXY_RULES_SPEC_H
#define SLUICE_PROXY_RULES_SPEC_H

#include "core/slice.h"
#include <stdbool.h>
#include <stdint.h>

struct rate_limit;
struct rules_stats;
struct target_group;
struct tls_tickets;

enum {
	RULES_PRIORITY_MAX = 50000,
	RULES_CAPTURES_MAX = 9,
	RULES_PATTERN_BYTES_MAX = 512,
	RULES_WILDCARDS_MAX = 10, /* in one value */
	RULES_EDITS_MAX = 24, /* headers that one request, or one answer, is changed by */
	RULES_GROUPS_MAX = 16, /* of one forward */
};

/* --- what is asked of a request */
enum rules_field {
	RULES_HOST, /* any letter case */
	RULES_PATH, /* as it was sent, nothing decoded */
	RULES_METHOD,
	RULES_HEADER, /* values in any letter case */
	RULES_QUERY, /* in any letter case, nothing decoded */
	RULES_COOKIE,
	RULES_SOURCE, /* the client's address */
};

/* Host bits are 0. */
struct rules_prefix {
	uint8_t mapped[16]; /* IPv4 as ::ffff:a.b.c.d */
	uint8_t len_bits; /* of 128 */
};

/* One of the values (or prefixes) must fit; of headers, query parameters and cookies, one that is
 * there. Without values: it must be there. */
struct rules_test_spec {
	enum rules_field field;
	const char *name; /* of the header or cookie */
	const char *const *keys; /* of query parameters, beside `values`; NULL items: any */
	const char *const *values; /* patterns; NULL items (query): any */
	uint32_t n_values;
	const struct rules_prefix *prefixes;
	uint32_t n_prefixes;
};

/* All of its tests hold; or, negated, not all of them. */
struct rules_condition_spec {
	bool negated;
	const struct rules_test_spec *tests;
	uint32_t n_tests;
};

/* --- what is done with it */
enum rules_action { RULES_FORWARD, RULES_REDIRECT, RULES_FIXED };
enum rules_edit { RULES_SET, RULES_ADD, RULES_REMOVE };

struct rules_edit_spec {
	enum rules_edit edit;
	const char *name, *value; /* a template in requests, text in answers */
};

struct rules_edits_spec {
	const struct rules_edit_spec *edits;
	uint32_t n;
};

struct rules_forward_spec {
	struct target_group *group;
	uint32_t weight; /* 0: only clients that stick to it */
};

struct rules_action_spec {
	enum rules_action action;
	const struct rules_forward_spec *forward; /* a count is taken on each group */
	uint32_t n_forward;
	uint32_t sticky_s; /* 0: each request by itself */
	uint16_t status; /* of a redirect, or a fixed answer */
	const char *protocol, *host, *port, *path, *query; /* templates of a redirect */
	const char *content_type;
	struct slice body;
};

struct rules_rule_spec {
	const char *name; /* unique in the listener */
	uint32_t priority;
	const struct rules_condition_spec *conditions; /* none: every request */
	uint32_t n_conditions;
	struct rules_action_spec action;
	const char *rewrite_host, *rewrite_path, *rewrite_query; /* templates; NULL: as it came */
	struct rules_edits_spec request, response;
	struct rate_limit *limit; /* a count is taken; NULL: none */
	struct rules_stats *stats; /* a count is taken */
};

struct rules_spec {
	const char *listener; /* part of what sticky cookies are good for */
	const struct rules_rule_spec *rules;
	uint32_t n_rules;
	const struct rules_rule_spec *otherwise; /* without conditions: for what no rule is for */
	struct tls_tickets *tickets; /* of sticky cookies; a count is taken. NULL: none */
	uint64_t digest; /* of the settings */
	uint32_t n_workers;
};

#endif
