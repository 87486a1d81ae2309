/* What becomes of a request: see route.h. */
#include "proxy/route.h"

#include "core/clock.h"
#include "core/counter.h"
#include "http/h1_write.h"
#include "http/syntax.h"
#include "proxy/rate_limit.h"
#include "proxy/route_sticky.h"
#include "proxy/rules_parts.h"
#include "proxy/tls_headers.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

/* --- where it goes */

/* Smooth weighted round robin: each gains its weight, the richest is taken and pays the sum. */
static struct target_group *next_group(const struct rules_rule *rule, uint32_t worker)
{
	int32_t *current, total = 0;
	uint32_t i, best = 0;

	if (!rule->turns)
		return rule->forward[0].group;
	current = rule->turns[worker].current;
	for (i = 0; i < rule->n_forward; i++) {
		current[i] += (int32_t)rule->forward[i].weight;
		total += (int32_t)rule->forward[i].weight;
		if (rule->forward[i].weight &&
			(!rule->forward[best].weight || current[i] > current[best]))
			best = i;
	}
	current[best] -= total;
	return rule->forward[best].group;
}

static void choose_group(struct route *route, const struct http_request *request, uint32_t worker)
{
	const struct rules_rule *rule = route->rule;
	bool is_old = true;

	if (rule->cookie)
		route->group = route_sticky_find(rule, &request->headers, clock_unix_s(), &is_old);
	if (!route->group)
		route->group = next_group(rule, worker);
	route->sets_cookie = rule->cookie && rule->rules->tickets && is_old;
}

/* Is it one too many? Also what would be is counted. */
static uint32_t wait_of(const struct rules_rule *rule, const union addr *client, uint32_t worker)
{
	uint32_t wait_s = rate_limit_take(rule->limit, client, clock_mono_us());

	if (wait_s)
		counter_inc(&rule->stats->workers[worker].limited);
	return rate_limit_spec(rule->limit)->dry_run ? 0 : wait_s;
}

void route_find(const struct conn *conn, const struct http_request *request,
	struct rules_match *ret_match, struct route *ret_route)
{
	const struct listener_spec *spec = &conn->listener->spec;
	struct listener_counts *counts = conn_counts(conn);
	uint32_t worker = conn->worker->io.worker;

	*ret_route = (struct route){.group = spec->group};
	if (!spec->rules)
		return;
	rules_match(spec->rules, request, &conn->client, worker, ret_match);
	*ret_route =
		(struct route){.rule = ret_match->rule, .is_undecided = ret_match->is_undecided};
	counter_add(&counts->rule_evaluations, ret_match->evaluations);
	if (ret_match->is_undecided)
		return;
	if (ret_match->rule->limit)
		ret_route->retry_after_s = wait_of(ret_match->rule, &conn->client, worker);
	if (ret_route->retry_after_s)
		return;
	switch (ret_match->rule->action) {
	case RULES_FORWARD:
		choose_group(ret_route, request, worker);
		break;
	case RULES_REDIRECT:
		counter_inc(&counts->redirects);
		break;
	case RULES_FIXED:
		counter_inc(&counts->fixed_responses);
		break;
	}
}

/* --- what is made of it */

/* Memory for texts, taken piece by piece. */
struct scratch {
	char *at;
	size_t room;
};

static struct scratch scratch_of(const struct conn *conn)
{
	return (struct scratch){conn->worker->route_text, ROUTE_TEXT_BYTES};
}

static int fill(const struct rules_template *template, const struct rules_values *values,
	struct scratch *scratch, struct slice *ret_text)
{
	int len = rules_template_fill(template, values, scratch->at, scratch->room);

	if (len < 0)
		return len;
	*ret_text = (struct slice){scratch->at, (size_t)len};
	scratch->at += len;
	scratch->room -= (size_t)len;
	return 0;
}

static int append(struct scratch *scratch, struct slice text)
{
	if (text.len > scratch->room)
		return -ENOBUFS;
	if (text.len)
		memcpy(scratch->at, text.ptr, text.len);
	scratch->at += text.len;
	scratch->room -= text.len;
	return 0;
}

static struct slice port_of(bool is_tls, uint16_t port, char text[static 8])
{
	int len = snprintf(text, 8, "%u", port ?: is_tls ? 443 : 80);

	return (struct slice){text, (size_t)len};
}

/* `port` is scratch memory that lives as long as the values. */
static void fill_values(bool is_tls, const struct http_request *request,
	const struct rules_match *match, char port[static 8], struct rules_values *ret_values)
{
	struct slice path = request->path;

	if (path.len && path.ptr[0] == '/')
		path = (struct slice){path.ptr + 1, path.len - 1};
	*ret_values = (struct rules_values){.captures = &match->captures};
	ret_values->whole[RULES_VAR_PROTOCOL] = is_tls ? SLICE("https") : SLICE("http");
	ret_values->whole[RULES_VAR_HOST] = request->host;
	ret_values->whole[RULES_VAR_PORT] = port_of(is_tls, request->port, port);
	ret_values->whole[RULES_VAR_PATH] = path;
	ret_values->whole[RULES_VAR_QUERY] = request->query;
}

static int rewrite_host(const struct rules_rule *rule, const struct rules_values *values,
	struct scratch *scratch, struct http_request *request)
{
	struct slice host;
	int r;

	if (!rules_template_is_there(&rule->rewrite_host))
		return 0;
	r = fill(&rule->rewrite_host, values, scratch, &host);
	if (r < 0)
		return r;
	if (syntax_authority(host, &request->host, &request->port) < 0)
		return -EINVAL;
	request->authority = host;
	return 0;
}

/* Path and query are one text in the request line. */
static int rewrite_target(const struct rules_rule *rule, const struct rules_values *values,
	struct scratch *scratch, struct http_request *request)
{
	struct slice path = request->path, query = request->query;
	char *begin = scratch->at;
	int r;

	if ((!rules_template_is_there(&rule->rewrite_path) &&
		    !rules_template_is_there(&rule->rewrite_query)) ||
		!path.len || path.ptr[0] != '/')
		return 0;
	if (rules_template_is_there(&rule->rewrite_path))
		r = fill(&rule->rewrite_path, values, scratch, &path);
	else
		r = append(scratch, path);
	r = r ?: append(scratch, SLICE("?"));
	if (r == 0 && rules_template_is_there(&rule->rewrite_query))
		r = fill(&rule->rewrite_query, values, scratch, &query);
	else if (r == 0)
		r = append(scratch, query);
	if (r < 0)
		return r;
	request->path = (struct slice){begin, path.len};
	request->query = query.len ? (struct slice){begin + path.len + 1, query.len}
				   : (struct slice){NULL, 0};
	request->target = (struct slice){begin, path.len + (query.len ? 1 + query.len : 0)};
	return syntax_all(request->target, SYNTAX_TARGET) ? 0 : -EINVAL;
}

/* Targets that hand headers on in variables know X-Name and X_Name by one name. */
static bool is_of_edit(const struct rules_header_edit *edit, const struct http_header *header)
{
	if (header->id != HTTP_HEADER_UNKNOWN)
		return header->id == edit->id;
	return http_name_is_alike(header->name, edit->name);
}

static void drop_of_edit(struct http_headers *headers, const struct rules_header_edit *edit)
{
	uint32_t i;

	for (i = 0; edit->edit != RULES_ADD && i < headers->len; i++)
		if (headers->items[i].id == HTTP_HEADER_UNKNOWN &&
			is_of_edit(edit, &headers->items[i]))
			headers->items[i].flags |= HTTP_HEADER_DROPPED;
}

static void drop_header(struct http_headers *headers, const struct rules_header_edit *edit)
{
	struct http_header *header;

	if (edit->id != HTTP_HEADER_UNKNOWN) {
		http_headers_drop(headers, edit->id);
		return;
	}
	while ((header = http_headers_find_name(headers, edit->name)))
		header->flags |= HTTP_HEADER_DROPPED;
}

bool route_decides(const struct rules_rule *rule, enum http_header_id id)
{
	uint32_t i;

	for (i = 0; i < rule->request.n; i++)
		if (rule->request.edits[i].edit != RULES_ADD && rule->request.edits[i].id == id)
			return true;
	return false;
}

bool route_drops_trailer(const struct rules_rule *rule, const struct http_header *trailer)
{
	uint32_t i;

	for (i = 0; i < rule->request.n; i++)
		if (rule->request.edits[i].edit != RULES_ADD &&
			is_of_edit(&rule->request.edits[i], trailer))
			return true;
	return false;
}

/* Drops what is set or removed; what is set or added goes to `extra`. */
static struct http_header *start_edit(struct http_headers *headers,
	const struct rules_header_edit *edit, struct http_header *extra)
{
	if (edit->edit != RULES_ADD)
		drop_header(headers, edit);
	if (edit->edit == RULES_REMOVE)
		return NULL;
	*extra = (struct http_header){.name = edit->name, .id = (uint8_t)edit->id};
	return extra;
}

static int edit_request(const struct rules_rule *rule, const struct rules_values *values,
	struct scratch *scratch, struct http_request *request, struct http_header *extra)
{
	struct http_header *header;
	int n = 0, r;
	uint32_t i;

	for (i = 0; i < rule->request.n; i++) {
		drop_of_edit(&request->headers, &rule->request.edits[i]);
		header = start_edit(&request->headers, &rule->request.edits[i], extra + n);
		if (!header)
			continue;
		r = fill(&rule->request.edits[i].value, values, scratch, &header->value);
		if (r < 0)
			return r;
		n++;
	}
	return n;
}

int route_rewrite(const struct route *route, const struct rules_match *match,
	const struct conn *conn, struct http_request *request,
	struct http_header ret_extra[RULES_EDITS_MAX])
{
	struct scratch scratch = scratch_of(conn);
	struct rules_values values;
	char port[8];
	int n, r;

	if (!route->rule || !route->rule->rewrites)
		return 0;
	fill_values(conn->is_tls, request, match, port, &values);
	n = edit_request(route->rule, &values, &scratch, request, ret_extra);
	if (n < 0)
		return n;
	r = rewrite_target(route->rule, &values, &scratch, request);
	r = r ?: rewrite_host(route->rule, &values, &scratch, request);
	return r ?: n;
}

/* --- answers */
bool route_edits_answer(const struct rules_rule *rule, enum http_header_id id)
{
	uint32_t i;

	for (i = 0; i < rule->response.n; i++)
		if (rule->response.edits[i].id == id)
			return true;
	return false;
}

static uint32_t edit_answer(
	const struct rules_rule *rule, struct http_headers *headers, struct http_header *extra)
{
	struct http_header *header;
	uint32_t n = 0, i;

	for (i = 0; i < rule->response.n; i++) {
		header = start_edit(headers, &rule->response.edits[i], extra + n);
		if (!header)
			continue;
		header->value = rule->response.edits[i].text;
		n++;
	}
	return n;
}

uint32_t route_change_answer(const struct route *route, const struct conn *conn,
	struct http_headers *headers, char cookie[static ROUTE_COOKIE_BYTES],
	struct http_header ret_extra[RULES_EDITS_MAX + 1])
{
	uint32_t n;

	if (!route->rule)
		return 0;
	n = edit_answer(route->rule, headers, ret_extra);
	if (route->sets_cookie)
		ret_extra[n++] = (struct http_header){.name = SLICE("Set-Cookie"),
			.id = HTTP_HEADER_SET_COOKIE,
			.value = route_sticky_make(route->rule, route->group, clock_unix_s(),
				conn->is_tls, cookie, ROUTE_COOKIE_BYTES)};
	return n;
}

/* What such an answer says itself. */
static bool is_own(const struct rules_header_edit *edit)
{
	const uint64_t own =
		UINT64_C(1) << HTTP_HEADER_DATE | UINT64_C(1) << HTTP_HEADER_CONTENT_TYPE |
		UINT64_C(1) << HTTP_HEADER_CONTENT_LENGTH |
		UINT64_C(1) << HTTP_HEADER_CACHE_CONTROL | UINT64_C(1) << HTTP_HEADER_RETRY_AFTER;

	return own >> edit->id & 1 || slice_eq_nocase(edit->name, SLICE("allow"));
}

uint32_t route_own_answer(
	const struct listener_spec *spec, struct http_header ret_extra[RULES_EDITS_MAX])
{
	const struct rules_edits *edits;
	uint32_t n = 0, i;

	if (!spec->rules)
		return 0;
	edits = &rules_otherwise(spec->rules)->response;
	for (i = 0; i < edits->n; i++)
		if (edits->edits[i].edit != RULES_REMOVE && !is_own(&edits->edits[i]))
			ret_extra[n++] = (struct http_header){.name = edits->edits[i].name,
				.id = (uint8_t)edits->edits[i].id,
				.value = edits->edits[i].text};
	return n;
}

/* ":443" goes without saying with https. */
static bool is_port_said(struct slice protocol, struct slice port)
{
	return port.len &&
	       !slice_eq(port, slice_eq(protocol, SLICE("https")) ? SLICE("443") : SLICE("80"));
}

/* Parts of the request may be in it: nothing of them may lead to another server than the rule says. */
static int check_redirect_host(struct slice host)
{
	struct slice name;
	uint16_t port = 0;
	int r = syntax_authority(host, &name, &port);

	if (r < 0)
		return r;
	return name.len == host.len && !memchr(host.ptr, '%', host.len) ? 0 : -EINVAL;
}

/* Without a host in front, "//" and what browsers take for it would begin one. */
static bool names_a_host(struct slice path)
{
	return path.len > 1 && (path.ptr[1] == '/' || path.ptr[1] == '\\');
}

/* The same server, of which nothing is known: HTTP/1.0 without Host. */
static int check_redirect_here(
	struct slice protocol, struct slice port, const struct rules_values *values)
{
	return slice_eq(protocol, values->whole[RULES_VAR_PROTOCOL]) &&
			       slice_eq(port, values->whole[RULES_VAR_PORT])
		       ? 0
		       : -EINVAL;
}

static int put_location(
	const struct rules_rule *rule, const struct rules_values *values, char *out, size_t size)
{
	struct scratch scratch = {out, size};
	struct slice protocol, host, port, path, query;
	char port_text[16];
	int r, len;

	len = rules_template_fill(&rule->port, values, port_text, sizeof(port_text));
	if (len < 0)
		return len;
	port = (struct slice){port_text, (size_t)len};
	r = fill(&rule->protocol, values, &scratch, &protocol);
	r = r ?: append(&scratch, SLICE("://"));
	r = r ?: fill(&rule->host, values, &scratch, &host);
	if (r == 0 && host.len)
		r = check_redirect_host(host);
	else if (r == 0)
		r = check_redirect_here(protocol, port, values);
	if (r == 0 && !host.len)
		scratch = (struct scratch){out, size};
	else if (r == 0 && is_port_said(protocol, port))
		r = append(&scratch, SLICE(":")) ?: append(&scratch, port);
	r = r ?: fill(&rule->path, values, &scratch, &path);
	if (r == 0 && !host.len && names_a_host(path))
		r = -EINVAL;
	r = r ?: append(&scratch, SLICE("?"));
	r = r ?: fill(&rule->query, values, &scratch, &query);
	if (r < 0)
		return r;
	return (int)(scratch.at - out) - (query.len ? 0 : 1);
}

static int redirect(const struct rules_match *match, const struct http_request *request,
	bool is_tls, struct scratch scratch, struct slice *ret_location)
{
	struct rules_values values;
	char port[8];
	int len;

	fill_values(is_tls, request, match, port, &values);
	len = put_location(match->rule, &values, scratch.at, scratch.room);
	if (len < 0)
		return len;
	*ret_location = (struct slice){scratch.at, (size_t)len};
	return slice_eq(*ret_location, request->target) ? -EINVAL : 0; /* without Host: itself */
}

/* There is room: ROUTE_ANSWER_HEADERS. */
static void add_header(struct http_headers *headers, struct slice name, struct slice value)
{
	int r = http_headers_add(headers, name, value);

	assert(r == 0);
}

/* RFC 9110 section 15: these have no body. */
static bool has_no_body(uint16_t status)
{
	return status == 204 || status == 304;
}

int route_answer(const struct route *route, const struct rules_match *match,
	const struct conn *conn, const struct http_request *request, struct http_header *items,
	struct http_response *ret_response, struct slice *ret_body)
{
	struct scratch scratch = {
		conn->worker->route_text + HTTP_DATE_BYTES, ROUTE_TEXT_BYTES - HTTP_DATE_BYTES};
	const struct rules_rule *rule = route->rule;
	struct slice location = {NULL, 0};
	struct http_headers *headers;
	int r = 0;

	if (rule->action == RULES_REDIRECT)
		r = redirect(match, request, conn->is_tls, scratch, &location);
	if (r < 0)
		return r;
	*ret_response = (struct http_response){.status = rule->status,
		.version = HTTP_VERSION_1_1,
		.body = has_no_body(rule->status) ? HTTP_BODY_NONE : HTTP_BODY_LENGTH,
		.content_length = rule->body.len,
		.keep_alive = true};
	headers = &ret_response->headers;
	http_headers_lend(headers, items, ROUTE_ANSWER_HEADERS);
	add_header(
		headers, SLICE("Date"), slice_of(http_date(time(NULL), conn->worker->route_text)));
	if (location.len)
		add_header(headers, SLICE("Location"), location);
	if (rule->body.len)
		add_header(headers, SLICE("Content-Type"), slice_of(rule->content_type));
	headers->len += edit_answer(rule, headers, items + headers->len);
	*ret_body = request->method == HTTP_METHOD_HEAD ? (struct slice){NULL, 0} : rule->body;
	return 0;
}

int route_preview(const struct rules_match *match, const struct http_request *request, bool is_tls,
	char *text, struct route_preview *ret_preview)
{
	struct scratch scratch = {text, ROUTE_TEXT_BYTES};
	struct http_request changed = *request;
	struct rules_values values;
	char port[8];
	int r;

	*ret_preview = (struct route_preview){.host = {NULL, 0}};
	if (match->rule->action == RULES_FIXED)
		return 0;
	if (match->rule->action == RULES_REDIRECT)
		return redirect(match, request, is_tls, scratch, &ret_preview->location);
	fill_values(is_tls, request, match, port, &values);
	r = rewrite_target(match->rule, &values, &scratch, &changed);
	r = r ?: rewrite_host(match->rule, &values, &scratch, &changed);
	ret_preview->host = changed.authority;
	ret_preview->target = changed.target;
	return r;
}
