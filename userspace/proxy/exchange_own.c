/* Headers of ours in answers to clients: see exchange_own.h. */
#include "proxy/exchange_own.h"

#include <stdio.h>

static struct http_header alt_svc_header(struct slice value)
{
	return (struct http_header){
		.name = SLICE("Alt-Svc"), .id = HTTP_HEADER_ALT_SVC, .value = value};
}

/* Of all answers, by response_headers. */
static bool sets_alt_svc(const struct exchange *exchange)
{
	const struct rules *rules = exchange_spec(exchange)->rules;

	return rules && route_edits_answer(rules_otherwise(rules), HTTP_HEADER_ALT_SVC);
}

uint32_t exchange_own_headers(const struct exchange *exchange,
	struct http_header ret_headers[static EXCHANGE_OWN_HEADERS],
	char text[static EXCHANGE_OWN_TEXT_BYTES])
{
	struct slice alt_svc = exchange_spec(exchange)->http.alt_svc;
	uint32_t n = 0, retry_s = exchange->route.retry_after_s;
	int len;

	if (retry_s) {
		len = snprintf(text, EXCHANGE_OWN_TEXT_BYTES, "%u", retry_s);
		ret_headers[n++] = (struct http_header){.name = SLICE("Retry-After"),
			.id = HTTP_HEADER_RETRY_AFTER,
			.value = {text, (size_t)len}};
	}
	if (alt_svc.len && !sets_alt_svc(exchange))
		ret_headers[n++] = alt_svc_header(alt_svc);
	return n + route_own_answer(exchange_spec(exchange), ret_headers + n);
}

/* In place of what the target says, which knows its own ports; a rule knows better. */
uint32_t exchange_own_alt_svc(const struct exchange *exchange, struct http_headers *headers,
	struct http_header *ret_header)
{
	struct slice alt_svc = exchange_spec(exchange)->http.alt_svc;
	const struct route *route = &exchange->route;

	if (!alt_svc.len || (route->rule && route_edits_answer(route->rule, HTTP_HEADER_ALT_SVC)))
		return 0;
	http_headers_drop(headers, HTTP_HEADER_ALT_SVC);
	*ret_header = alt_svc_header(alt_svc);
	return 1;
}

/* Made once a second. */
static struct slice date_of(struct proxy_worker *worker)
{
	time_t now_s = time(NULL);

	if (now_s != worker->date_s)
		http_date(now_s, worker->date);
	worker->date_s = now_s;
	return (struct slice){worker->date, HTTP_DATE_BYTES - 1};
}

uint32_t exchange_own_policy(const struct exchange *exchange, struct http_headers *headers,
	struct http_header *ret_header)
{
	const struct http_terms *terms = &exchange_spec(exchange)->http;
	const struct rules_rule *rule = exchange->route.rule;

	if (terms->hides_server)
		http_headers_drop(headers, HTTP_HEADER_SERVER);
	if (!terms->dates || http_headers_find(headers, HTTP_HEADER_DATE) ||
		(rule && route_edits_answer(rule, HTTP_HEADER_DATE)))
		return 0;
	*ret_header = (struct http_header){.name = SLICE("Date"),
		.id = HTTP_HEADER_DATE,
		.value = date_of(exchange->conn->worker)};
	return 1;
}
