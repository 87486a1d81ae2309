/* What the files of rules share; nobody else but route*.c includes it. See rules.h. */
#ifndef SLUICE_PROXY_RULES_PARTS_H
#define SLUICE_PROXY_RULES_PARTS_H

#include "proxy/rules.h"
#include "proxy/rules_index.h"
#include "proxy/rules_pattern.h"
#include "proxy/rules_regex.h"
#include "proxy/rules_template.h"

struct rules_test {
	enum rules_field field;
	char *name; /* of a header or cookie */
	enum http_header_id header; /* of `name` */
	struct rules_pattern *keys; /* as values; where has_key says so */
	bool *has_key, *has_value;
	struct rules_pattern *values;
	uint32_t n_values;
	struct rules_prefix *prefixes;
	uint32_t n_prefixes;
};

struct rules_condition {
	bool negated;
	struct rules_test *tests;
	uint32_t n_tests;
};

/* One worker's turn of weighted groups. */
struct rules_turn {
	int32_t *current; /* per group */
} cache_aligned;

struct rules_header_edit {
	enum rules_edit edit;
	struct slice name;
	enum http_header_id id;
	struct rules_template value; /* of requests */
	struct slice text; /* of answers */
};

struct rules_edits {
	struct rules_header_edit *edits;
	uint32_t n;
};

struct rules_rule {
	char *name;
	uint32_t priority;
	struct rules_condition *conditions;
	uint32_t n_conditions;
	enum rules_action action;
	struct rules_forward_spec *forward;
	uint32_t n_forward;
	uint32_t sticky_s;
	char *cookie; /* its name, where requests stick to a group */
	struct rules_turn *turns; /* per worker; NULL: there is no choice */
	uint32_t n_workers;
	uint16_t status;
	struct rules_template protocol, host, port, path, query; /* of a redirect */
	char *content_type;
	struct slice body; /* owned */
	struct rules_template rewrite_host, rewrite_path, rewrite_query;
	struct rules_edits request, response;
	bool rewrites; /* anything of the request */
	struct rate_limit *limit; /* NULL: none */
	struct rules_stats *stats;
	const struct rules *rules; /* that it is one of */
};

struct rules {
	char *listener;
	struct rules_rule *rules; /* by priority */
	uint32_t n_rules;
	const struct rules_rule **by_name;
	struct rules_rule otherwise;
	struct rules_index *index;
	struct rules_regex_scratch **scratch; /* per worker, and one more */
	struct tls_tickets *tickets;
	uint64_t digest;
	uint32_t n_workers;
	bool sends_proxy; /* a PROXY header to some of its groups */
};

/* --- rules_effort.c: what one request may cost. Units are some nanoseconds each; only if there are
 * many it is asked what they really took. */
struct rules_effort {
	bool is_undecided; /* set when an expression was given up, or all is spent */
	bool is_spent;
	uint64_t units, next_look;
	uint64_t begin_us, max_us; /* of the thread's own time */
};

enum { RULES_EFFORT_MAX_US = 20 * 1000 };

void rules_effort_init(struct rules_effort *effort, uint64_t max_us);
/* False: no more, and the request is undecided. */
bool rules_effort_take(struct rules_effort *effort, uint64_t units);
uint64_t rules_effort_of(const struct rules_pattern *pattern, struct slice text);

/* --- rules_test.c: one rule against one request */
struct rules_request {
	const struct http_request *http;
	struct slice host; /* without a dot at its end */
	uint8_t source[16];
	struct rules_regex_scratch *scratch;
	uint32_t worker; /* whose counts; rules->n_workers: nobody's */
	struct rules_effort *effort;
};

/* The condition that does not hold, or NULL: it is for this request. ret_test (may be NULL): which of
 * its tests, NULL for a negated one. */
const struct rules_condition *rules_rule_fails(const struct rules_rule *rule,
	const struct rules_request *request, const struct rules_test **ret_test);
/* The first condition on that field that is not negated, or NULL. */
const struct rules_test *rules_rule_test(const struct rules_rule *rule, enum rules_field field);
/* What the wildcards of its first host and path conditions stand for. */
void rules_rule_capture(const struct rules_rule *rule, const struct rules_request *request,
	struct rules_captures *ret_captures);
void rules_request_init(const struct rules *rules, const struct http_request *http,
	const union addr *client, uint32_t worker, struct rules_effort *effort,
	struct rules_request *ret_request);
bool rules_test_has_any_case(enum rules_field field);

/* --- rules_make.c: from the spec. A rule that could not be made is freed by the caller, too. */
int rules_rule_init(struct rules_rule *rule, const struct rules_rule_spec *spec,
	const struct rules *rules, struct err *err) must_check;
void rules_rule_fini(struct rules_rule *rule);

#endif
