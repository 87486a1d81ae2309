/*
 * Rules and requests from one input: lines "h PATTERN", "p PATTERN", "H NAME VALUE", "q KEY VALUE",
 * "c NAME VALUE", "m METHOD" are conditions, "!" before one negates it, "-" begins the next rule,
 * "r TEMPLATE" rewrites the path, "R TEMPLATE" redirects to one; what follows an empty line is the head of a request. The index must find
 * what looking at every rule in turn finds, and what a rewrite makes must be a request target.
 */
#include "http/h1_head.h"
#include "http/syntax.h"
#include "proxy/route.h"
#include "proxy/rules_explain.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { RULES = 24, CONDITIONS = 4 };

struct made {
	struct rules_rule_spec rules[RULES];
	struct rules_condition_spec conditions[RULES][CONDITIONS];
	struct rules_test_spec tests[RULES][CONDITIONS];
	const char *values[RULES][CONDITIONS], *keys[RULES][CONDITIONS];
	char names[RULES][16];
	uint32_t n;
};

/* Nothing is sent. */
static const struct rules_forward_spec nowhere;

static void check(bool good)
{
	if (!good)
		abort();
}

static struct rules_rule_spec *add_rule(struct made *made, struct rules_stats *stats)
{
	uint32_t at = made->n++;

	snprintf(made->names[at], sizeof(made->names[at]), "rule-%u", at + 1);
	made->rules[at] = (struct rules_rule_spec){.name = made->names[at],
		.priority = at + 1,
		.conditions = made->conditions[at],
		.action = {.action = RULES_FORWARD, .forward = &nowhere},
		.stats = stats};
	return &made->rules[at];
}

static bool field_of(char letter, enum rules_field *ret_field)
{
	static const char letters[] = "hpmHqc";
	const char *found = letter ? strchr(letters, letter) : NULL;

	if (found)
		*ret_field = (enum rules_field)(found - letters);
	return found;
}

static void add_condition(struct made *made, char *line)
{
	struct rules_rule_spec *rule = &made->rules[made->n - 1];
	uint32_t at = made->n - 1, n = rule->n_conditions;
	bool negated = *line == '!';
	enum rules_field field;
	char *text = line + negated, *value;

	if (n == CONDITIONS || !field_of(*text, &field) || text[1] != ' ')
		return;
	text += 2;
	made->tests[at][n] = (struct rules_test_spec){
		.field = field, .values = &made->values[at][n], .n_values = 1};
	made->values[at][n] = text;
	if (field >= RULES_HEADER) {
		value = strchr(text, ' ');
		if (!value)
			return;
		*value = '\0';
		made->values[at][n] = value + 1;
		made->tests[at][n].name = text;
		made->keys[at][n] = text;
		made->tests[at][n].keys = field == RULES_QUERY ? &made->keys[at][n] : NULL;
		if (field != RULES_QUERY && !syntax_is_token(slice_of(text)))
			return;
	}
	made->conditions[at][n] = (struct rules_condition_spec){
		.negated = negated, .tests = &made->tests[at][n], .n_tests = 1};
	rule->n_conditions++;
}

static void read_line(struct made *made, char *line, struct rules_stats *stats)
{
	if (*line == '-' && made->n < RULES)
		add_rule(made, stats);
	else if (line[0] == 'r' && line[1] == ' ' && line[2] == '/')
		made->rules[made->n - 1].rewrite_path = line + 2;
	else if (line[0] == 'R' && line[1] == ' ' && line[2] == '/') /* as the configuration asks */
		made->rules[made->n - 1].action =
			(struct rules_action_spec){.action = RULES_REDIRECT,
				.protocol = "#{protocol}",
				.host = "#{host}",
				.port = "#{port}",
				.path = line + 2,
				.query = "#{query}"};
	else
		add_condition(made, line);
}

/* The last verdict is the one that matches. */
static void take_last(const struct rules_verdict *verdict, void *arg)
{
	*(struct rules_verdict *)arg = *verdict;
}

/* The server that a client asks next is one by its name, whatever the request said. */
static void check_location(struct slice location)
{
	const char *mark = memmem(location.ptr, location.len, "://", 3), *end;
	struct slice rest = location, host;
	uint16_t port;

	if (location.ptr[0] == '/') {
		check(location.len == 1 || (location.ptr[1] != '/' && location.ptr[1] != '\\'));
		return;
	}
	check(mark != NULL);
	rest.ptr = mark + 3;
	rest.len = location.len - (size_t)(rest.ptr - location.ptr);
	end = memchr(rest.ptr, '/', rest.len);
	check(end != NULL);
	check(syntax_authority((struct slice){rest.ptr, (size_t)(end - rest.ptr)}, &host, &port) ==
		0);
}

static void ask(const struct rules *rules, const char *head, size_t len)
{
	static struct http_header items[H1_HEADERS_DEFAULT];
	static char text[ROUTE_TEXT_BYTES];
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	union addr client = {.v4 = {.sin_family = AF_INET}};
	struct http_request request = {0};
	struct route_preview preview;
	struct rules_verdict last = {0};
	struct rules_match match;
	struct slice host;
	uint16_t port;
	struct h1_head parser = {0};
	enum h1_error error;

	http_headers_lend(&request.headers, items, H1_HEADERS_DEFAULT);
	if (h1_head_request(&parser, &limits, head, len, &request, &error) <= 0)
		return;
	rules_explain(rules, &request, &client, take_last, &last, &match);
	if (match.is_undecided)
		return;
	check(last.matches && strcmp(last.name, rules_name(match.rule)) == 0);
	if (route_preview(&match, &request, false, text, &preview) < 0)
		return;
	if (preview.location.len)
		check_location(preview.location);
	if (preview.target.len)
		check(syntax_all(preview.target, SYNTAX_TARGET) &&
			(!preview.host.len || /* HTTP/1.0 */
				syntax_authority(preview.host, &host, &port) == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct made *made = calloc(1, sizeof(*made));
	char *text = malloc(size + 1), *line = text, *end;
	struct rules_stats *stats = rules_stats_new(1);
	struct rules_rule_spec otherwise = {.name = "default",
		.action = {.action = RULES_FIXED, .status = 404},
		.stats = stats};
	struct rules_spec spec = {
		.listener = "web", .rules = made->rules, .otherwise = &otherwise, .n_workers = 1};
	struct rules *rules;
	struct err err;

	memcpy(text, data, size);
	text[size] = '\0';
	add_rule(made, stats);
	while ((end = strchr(line, '\n')) && end != line) {
		*end = '\0';
		read_line(made, line, stats);
		line = end + 1;
	}
	spec.n_rules = made->n;
	if (rules_new(&spec, &rules, &err) == 0) {
		if (*line == '\n')
			ask(rules, line + 1, size - (size_t)(line + 1 - text));
		rules_free(rules);
	}
	shared_put(&stats->shared);
	free(text);
	free(made);
	return 0;
}
