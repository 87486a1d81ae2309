/* One rule against one request: see rules_parts.h. */
#include "proxy/rules_parts.h"

#include "core/counter.h"
#include "http/syntax.h"

#include <string.h>

static const uint8_t mapped_v4[12] = {[10] = 0xff, [11] = 0xff}; /* of addr_to_mapped() */

bool rules_test_has_any_case(enum rules_field field)
{
	return field == RULES_HOST || field == RULES_HEADER || field == RULES_QUERY;
}

/* An expression that was given up does not fit, but the request goes nowhere then. */
static bool fits(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_pattern *pattern, struct slice text)
{
	int r;

	if (!rules_effort_take(request->effort, rules_effort_of(pattern, text)))
		return false;
	r = rules_pattern_fits(pattern, text, request->scratch, NULL);
	if (r < 0)
		request->effort->is_undecided = true;
	if (r < 0 && request->worker < rule->n_workers)
		counter_inc(&rule->stats->workers[request->worker].regex_limits);
	return r > 0;
}

static bool fits_any(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test, struct slice text)
{
	uint32_t i;

	for (i = 0; i < test->n_values; i++)
		if (fits(rule, request, &test->values[i], text))
			return true;
	return false;
}

/* ::/0 holds for IPv6 alone. */
static bool has_source(const struct rules_test *test, const uint8_t source[16])
{
	bool is_v4 = memcmp(source, mapped_v4, sizeof(mapped_v4)) == 0;
	uint32_t i;

	for (i = 0; i < test->n_prefixes; i++) {
		const struct rules_prefix *prefix = &test->prefixes[i];
		uint32_t whole = prefix->len_bits / 8, rest = prefix->len_bits % 8;

		if (is_v4 && prefix->len_bits < 8 * sizeof(mapped_v4))
			continue;
		if (memcmp(prefix->mapped, source, whole) == 0 &&
			(!rest || (prefix->mapped[whole] ^ source[whole]) >> (8 - rest) == 0))
			return true;
	}
	return false;
}

static struct http_header *first_header(
	const struct rules_test *test, const struct http_headers *headers)
{
	return test->header != HTTP_HEADER_UNKNOWN
		       ? http_headers_find(headers, test->header)
		       : http_headers_find_name(headers, slice_of(test->name));
}

static bool has_header(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test)
{
	const struct http_headers *headers = &request->http->headers;
	const struct http_header *header = first_header(test, headers);

	if (!test->n_values)
		return header;
	for (; header; header = http_headers_next(headers, header))
		if (fits_any(rule, request, test, header->value))
			return true;
	return false;
}

/* Takes what is in front of the next `mark` off. False: there was nothing left. */
static bool take_part(struct slice *rest, char mark, struct slice *ret_part)
{
	const char *end;

	if (!rest->ptr)
		return false;
	end = rest->len ? memchr(rest->ptr, mark, rest->len) : NULL;
	*ret_part = *rest;
	if (!end) {
		rest->ptr = NULL;
		return true;
	}
	ret_part->len = (size_t)(end - rest->ptr);
	*rest = (struct slice){end + 1, rest->len - ret_part->len - 1};
	return true;
}

static void split(struct slice pair, struct slice *ret_key, struct slice *ret_value)
{
	const char *mark = pair.len ? memchr(pair.ptr, '=', pair.len) : NULL;

	*ret_key = pair;
	*ret_value = (struct slice){"", 0};
	if (!mark)
		return;
	ret_key->len = (size_t)(mark - pair.ptr);
	*ret_value = (struct slice){mark + 1, pair.len - ret_key->len - 1};
}

static bool fits_pair(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test, struct slice key, struct slice value)
{
	uint32_t i;

	for (i = 0; i < test->n_values; i++)
		if ((!test->has_key[i] || fits(rule, request, &test->keys[i], key)) &&
			(!test->has_value[i] || fits(rule, request, &test->values[i], value)))
			return true;
	return false;
}

static bool has_query(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test)
{
	struct slice rest = request->http->query, pair, key, value;

	if (!rules_effort_take(request->effort, rest.len))
		return false;
	while (take_part(&rest, '&', &pair)) {
		split(pair, &key, &value);
		if (pair.len && fits_pair(rule, request, test, key, value))
			return true;
	}
	return false;
}

static bool has_cookie(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test)
{
	const struct http_headers *headers = &request->http->headers;
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_COOKIE);
	struct slice rest, pair, name, value;

	for (; header; header = http_headers_next(headers, header)) {
		rest = header->value;
		if (!rules_effort_take(request->effort, rest.len))
			return false;
		while (take_part(&rest, ';', &pair)) {
			split(syntax_trim(pair), &name, &value);
			if (slice_eq(name, slice_of(test->name)) &&
				(!test->n_values || fits_any(rule, request, test, value)))
				return true;
		}
	}
	return false;
}

static bool holds(const struct rules_rule *rule, const struct rules_request *request,
	const struct rules_test *test)
{
	switch (test->field) {
	case RULES_HOST:
		return fits_any(rule, request, test, request->host);
	case RULES_PATH:
		return fits_any(rule, request, test, request->http->path);
	case RULES_METHOD:
		return fits_any(rule, request, test, request->http->method_text);
	case RULES_HEADER:
		return has_header(rule, request, test);
	case RULES_QUERY:
		return has_query(rule, request, test);
	case RULES_COOKIE:
		return has_cookie(rule, request, test);
	case RULES_SOURCE:
		return rules_effort_take(request->effort, 2 * test->n_prefixes) &&
		       has_source(test, request->source);
	}
	return false;
}

static const struct rules_test *failing_test(const struct rules_rule *rule,
	const struct rules_request *request, const struct rules_condition *condition)
{
	uint32_t i;

	for (i = 0; i < condition->n_tests; i++)
		if (!holds(rule, request, &condition->tests[i]))
			return &condition->tests[i];
	return NULL;
}

const struct rules_condition *rules_rule_fails(const struct rules_rule *rule,
	const struct rules_request *request, const struct rules_test **ret_test)
{
	const struct rules_test *failing;
	uint32_t i;

	for (i = 0; i < rule->n_conditions; i++) {
		failing = failing_test(rule, request, &rule->conditions[i]);
		if ((failing != NULL) == rule->conditions[i].negated)
			continue;
		if (ret_test)
			*ret_test = failing;
		return &rule->conditions[i];
	}
	return NULL;
}

static void capture(const struct rules_test *test, struct slice text,
	const struct rules_request *request, struct slice ret_parts[RULES_CAPTURES_MAX],
	uint32_t *ret_n)
{
	uint32_t i;

	for (i = 0; i < test->n_values; i++)
		if (rules_pattern_fits(&test->values[i], text, request->scratch, ret_parts) > 0) {
			*ret_n = test->values[i].n_captures;
			return;
		}
}

const struct rules_test *rules_rule_test(const struct rules_rule *rule, enum rules_field field)
{
	uint32_t i, at;

	for (i = 0; i < rule->n_conditions; i++)
		for (at = 0; !rule->conditions[i].negated && at < rule->conditions[i].n_tests; at++)
			if (rule->conditions[i].tests[at].field == field)
				return &rule->conditions[i].tests[at];
	return NULL;
}

void rules_rule_capture(const struct rules_rule *rule, const struct rules_request *request,
	struct rules_captures *ret_captures)
{
	const struct rules_test *host = rules_rule_test(rule, RULES_HOST);
	const struct rules_test *path = rules_rule_test(rule, RULES_PATH);

	ret_captures->n_host = ret_captures->n_path = 0;
	if (host)
		capture(host, request->host, request, ret_captures->host, &ret_captures->n_host);
	if (path)
		capture(path, request->http->path, request, ret_captures->path,
			&ret_captures->n_path);
}

void rules_request_init(const struct rules *rules, const struct http_request *http,
	const union addr *client, uint32_t worker, struct rules_effort *effort,
	struct rules_request *ret_request)
{
	*ret_request = (struct rules_request){
		.http = http,
		.host = http->host,
		.scratch = rules->scratch[worker],
		.worker = worker,
		.effort = effort,
	};
	if (http->host.len > 1 && http->host.ptr[http->host.len - 1] == '.')
		ret_request->host.len--;
	addr_to_mapped(client, ret_request->source);
}
