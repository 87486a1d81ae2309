/*
 * A request on its way to a target over HTTP/1.1: a rule and the head of a request from one input. The
 * first byte says what is told of the client; lines "h PATTERN" and "p PATTERN" are conditions of the rule,
 * "o TEMPLATE", "r TEMPLATE" and "q TEMPLATE" rewrite host, path and query, "s NAME TEMPLATE", "a NAME
 * TEMPLATE" and "d NAME" set, add and remove headers; the head follows an empty line. What is written must
 * be one request, with nothing in it that neither the client nor the rule has said.
 */
#include "http/h1_head.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include "http/origin.h"
#include "http/syntax.h"
#include "proxy/route.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum {
	EDITS = 6,
	HEADERS_MAX = H1_HEADERS_DEFAULT + EDITS + HTTP_FORWARDED_EXTRA + HTTP_ORIGIN_EXTRA,
	TOLD_BYTES = 65 * 1024,
	OUT_BYTES = 512 * 1024,
};

static const struct h1_limits generous = {OUT_BYTES, OUT_BYTES, OUT_BYTES, HEADERS_MAX};
static const struct rules_forward_spec nowhere;

struct made {
	struct rules_rule_spec rule;
	struct rules_condition_spec conditions[2];
	struct rules_test_spec tests[2];
	const char *values[2];
	struct rules_edit_spec edits[EDITS];
};

static void check(bool good)
{
	if (!good)
		abort();
}

/* As the configuration asks, which refuses what the program is in charge of. */
static bool may_edit(struct slice name)
{
	enum http_header_id id = http_header_id(name);

	return syntax_is_token(name) && id != HTTP_HEADER_HOST && id != HTTP_HEADER_EXPECT &&
	       id != HTTP_HEADER_CONTENT_LENGTH && id != HTTP_HEADER_TRAILER &&
	       !(http_header_name_flags(id) & HTTP_NAME_HOP_BY_HOP);
}

static void add_edit(struct made *made, enum rules_edit edit, char *name)
{
	char *value = strchr(name, ' ');
	uint32_t at = made->rule.request.n;

	if (value)
		*value++ = '\0';
	else
		value = name + strlen(name);
	if (at == EDITS || !may_edit(slice_of(name)) ||
		!syntax_all(slice_of(value), SYNTAX_VALUE) || *value == ' ' ||
		(*value && value[strlen(value) - 1] == ' '))
		return;
	made->edits[at] = (struct rules_edit_spec){.edit = edit, .name = name, .value = value};
	made->rule.request.n++;
}

static void add_condition(struct made *made, enum rules_field field, const char *pattern)
{
	uint32_t at = made->rule.n_conditions;

	if (at == 2)
		return;
	made->values[at] = pattern;
	made->tests[at] = (struct rules_test_spec){
		.field = field, .values = &made->values[at], .n_values = 1};
	made->conditions[at] =
		(struct rules_condition_spec){.tests = &made->tests[at], .n_tests = 1};
	made->rule.n_conditions++;
}

static void read_line(struct made *made, char *line)
{
	char *rest = line + 2;

	if (!line[0] || line[1] != ' ')
		return;
	if (line[0] == 'h')
		add_condition(made, RULES_HOST, rest);
	else if (line[0] == 'p')
		add_condition(made, RULES_PATH, rest);
	else if (line[0] == 'o')
		made->rule.rewrite_host = rest;
	else if (line[0] == 'r' && *rest == '/')
		made->rule.rewrite_path = rest;
	else if (line[0] == 'q')
		made->rule.rewrite_query = rest;
	else if (line[0] == 's')
		add_edit(made, RULES_SET, rest);
	else if (line[0] == 'a')
		add_edit(made, RULES_ADD, rest);
	else if (line[0] == 'd')
		add_edit(made, RULES_REMOVE, rest);
}

static uint32_t count(const struct http_request *request, enum http_header_id id)
{
	const struct http_header *header = http_headers_find(&request->headers, id);
	uint32_t n = 0;

	for (; header; header = http_headers_next(&request->headers, header))
		n++;
	return n;
}

static bool is_same(struct slice a, struct slice b)
{
	return a.len == b.len && (!a.len || memcmp(a.ptr, b.ptr, a.len) == 0);
}

/* `sent` as it was, `got` as the target reads it. */
static void compare(const struct http_request *sent, const struct http_request *got,
	const struct http_forwarded *forwarded)
{
	check(is_same(sent->method_text, got->method_text) && is_same(sent->target, got->target));
	check(is_same(sent->authority, got->authority));
	check(sent->body == got->body && sent->content_length == got->content_length);
	check(got->version == HTTP_VERSION_1_1 && count(got, HTTP_HEADER_HOST) == 1);
	if (forwarded->proto_mode == HTTP_FORWARDED_PROTO_SET)
		check(count(got, HTTP_HEADER_X_FORWARDED_PROTO) == 1 &&
			is_same(http_headers_find(&got->headers, HTTP_HEADER_X_FORWARDED_PROTO)
					->value,
				forwarded->scheme));
	if (forwarded->mode == HTTP_FORWARDED_REMOVE)
		check(count(got, HTTP_HEADER_X_FORWARDED_FOR) == 0);
}

/* As exchange_request.c does it; -1: it is refused. */
static int forward(uint8_t how_told, const struct rules_match *match, struct http_request *request,
	struct http_forwarded *forwarded, char *out)
{
	static char told[2][TOLD_BYTES], text[ROUTE_TEXT_BYTES];
	static struct http_header extra[EDITS + HTTP_FORWARDED_EXTRA + HTTP_ORIGIN_EXTRA];
	struct proxy_worker worker = {.route_text = text};
	struct conn conn = {.worker = &worker, .is_tls = how_told & 1};
	const struct route route = {.rule = match->rule};
	const struct http_origin_terms terms = {.forwarded = (how_told >> 1 & 3) % 3,
		.request_id = (how_told >> 5 & 3) % 3,
		.trace_id = how_told >> 7};
	struct http_origin origin = {.client = SLICE("[2001:db8::1]:1"),
		.scheme = SLICE("http"),
		.host = request->authority};
	struct h1_write how = {.extra = extra};
	int n = route_rewrite(&route, match, &conn, request, extra), more;

	if (n < 0)
		return n;
	if (!request->authority.len)
		request->authority = SLICE("group");
	http_headers_drop_hop_by_hop(&request->headers);
	more = http_forwarded_apply(&request->headers, forwarded, told[0], TOLD_BYTES, extra + n);
	if (more < 0)
		return more;
	n += more;
	more = http_origin_apply(
		&request->headers, &terms, &origin, told[1], TOLD_BYTES, extra + n);
	if (more < 0)
		return more;
	how.n_extra = (uint32_t)(n + more);
	request->upgrade = (struct slice){NULL, 0};
	check(h1_write_request_bytes(request, &how) <= OUT_BYTES);
	n = h1_write_request(request, &how, out, OUT_BYTES);
	check(n > 0 && (size_t)n <= h1_write_request_bytes(request, &how));
	return n;
}

static void ask(const struct rules *rules, uint8_t how_told, const char *head, size_t len)
{
	static struct http_header items[2][HEADERS_MAX];
	static char out[OUT_BYTES];
	struct http_forwarded forwarded = {.mode = (how_told >> 1 & 3) % 3,
		.proto_mode = (how_told >> 3 & 3) % 3,
		.client = SLICE("192.0.2.1"),
		.scheme = how_told & 1 ? SLICE("https") : SLICE("http"),
		.port = SLICE("443")};
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	union addr client = {.v4 = {.sin_family = AF_INET}};
	struct http_request request = {0}, got = {0};
	struct h1_head parser = {0};
	struct rules_match match;
	enum h1_error error;
	int n;

	http_headers_lend(&request.headers, items[0], H1_HEADERS_DEFAULT);
	if (h1_head_request(&parser, &limits, head, len, &request, &error) <= 0)
		return;
	rules_match(rules, &request, &client, 0, &match);
	if (match.is_undecided)
		return;
	n = forward(how_told, &match, &request, &forwarded, out);
	if (n < 0)
		return;
	http_headers_lend(&got.headers, items[1], HEADERS_MAX);
	check(h1_head_request(&parser, &generous, out, (size_t)n, &got, &error) == n);
	compare(&request, &got, &forwarded);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct made made = {.rule = {.name = "rule", .priority = 1}};
	struct rules_stats *stats = rules_stats_new(1);
	struct rules_rule_spec otherwise = {.name = "default",
		.action = {.action = RULES_FORWARD, .forward = &nowhere},
		.stats = stats};
	struct rules_spec spec = {.listener = "web",
		.rules = &made.rule,
		.n_rules = 1,
		.otherwise = &otherwise,
		.n_workers = 1};
	char *text = malloc(size + 1), *line = text + 1, *end;
	struct rules *rules;
	struct err err;

	memcpy(text, data, size);
	text[size] = '\0';
	made.rule.action = otherwise.action;
	made.rule.stats = stats;
	made.rule.conditions = made.conditions;
	made.rule.request.edits = made.edits;
	while (size && (end = strchr(line, '\n')) && end != line) {
		*end = '\0';
		read_line(&made, line);
		line = end + 1;
	}
	if (size && *line == '\n' && rules_new(&spec, &rules, &err) == 0) {
		ask(rules, data[0], line + 1, size - (size_t)(line + 1 - text));
		rules_free(rules);
	}
	shared_put(&stats->shared);
	free(text);
	return 0;
}
