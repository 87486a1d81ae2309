/* Which rule a request would go by, and why none before it: POST /v1/rules/test. The request is written
 * as a client would send it, and read as those of clients are. See views.h. */
#include "control/views_parts.h"

#include "control/rules_text.h"
#include "core/mem.h"
#include "http/h1_head.h"
#include "http/h1_error.h"
#include "proxy/route.h"
#include "proxy/rules_explain.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEAD_BYTES = 64 * 1024, VERDICTS_MAX = 1000, SOURCE_BYTES = 64 };

/* What is asked. */
struct question {
	const struct config_listener *config;
	const struct rules *rules; /* NULL: there are none */
	bool redact;
	char *head; /* HEAD_BYTES */
	struct http_header items[H1_HEADERS_DEFAULT];
	struct http_request request;
	union addr client;
};

static const char *text_of(yyjson_val *body, const char *name, const char *otherwise)
{
	yyjson_val *value = yyjson_obj_get(body, name);

	return value ? yyjson_get_str(value) : otherwise;
}

/* The named one; without a name the only one there is. */
static int find_listener(const struct build *build, const char *name, struct question *question)
{
	const struct config *config = build->config;
	uint32_t i, found = 0;

	for (i = 0; i < config->listeners_count; i++) {
		const struct config_listener *listener = &config->listeners[i];

		if (listener->protocol > CONFIG_HTTPS ||
			(name && strcmp(name, listener->name) != 0))
			continue;
		question->config = listener;
		question->rules = build->listeners[i]->spec.rules;
		found++;
	}
	return found == 1 ? 0 : -ENOENT;
}

static bool has_host(yyjson_val *headers)
{
	yyjson_val *pair;
	size_t i, n;

	yyjson_arr_foreach(headers, i, n, pair)
	{
		const char *name = yyjson_get_str(yyjson_arr_get_first(pair));

		if (name && slice_eq_nocase(slice_of(name), SLICE("Host")))
			return true;
	}
	return false;
}

/* "https://host/path", or a path alone. */
static void write_start(FILE *out, const char *method, const char *url, bool has_own_host)
{
	const char *host = strstr(url, "://"), *path;

	if (url[0] == '/' || url[0] == '*' || !host) {
		fprintf(out, "%s %s HTTP/1.1\r\n%s", method, url,
			has_own_host ? "" : "Host: localhost\r\n");
		return;
	}
	host += 3;
	path = host + strcspn(host, "/?");
	fprintf(out, "%s %s%s HTTP/1.1\r\n", method, *path == '/' ? "" : "/", path);
	if (!has_own_host)
		fprintf(out, "Host: %.*s\r\n", (int)(path - host), host);
}

static bool is_line(const char *text)
{
	return text && !text[strcspn(text, "\r\n")];
}

static int write_headers(FILE *out, yyjson_val *headers)
{
	yyjson_val *pair;
	size_t i, n;

	if (headers && !yyjson_is_arr(headers))
		return -EINVAL;
	yyjson_arr_foreach(headers, i, n, pair)
	{
		const char *name = yyjson_get_str(yyjson_arr_get(pair, 0));
		const char *value = yyjson_get_str(yyjson_arr_get(pair, 1));

		if (!is_line(name) || !is_line(value))
			return -EINVAL;
		fprintf(out, "%s: %s\r\n", name, value);
	}
	return 0;
}

static int write_head(yyjson_val *body, struct question *question, size_t *ret_len)
{
	const char *method = text_of(body, "method", "GET"), *url = text_of(body, "url", NULL);
	yyjson_val *headers = yyjson_obj_get(body, "headers");
	FILE *out = fmemopen(question->head, HEAD_BYTES, "w");
	int r = -EINVAL;

	if (!out)
		return -errno;
	if (is_line(method) && is_line(url)) {
		write_start(out, method, url, has_host(headers));
		r = write_headers(out, headers);
	}
	fputs("\r\n", out);
	fflush(out);
	*ret_len = (size_t)ftell(out);
	return fclose(out) == 0 ? r : -EINVAL;
}

/* False: it was answered. */
static bool read_question(const struct build *build, yyjson_val *body, struct question *question,
	struct admin_reply *reply)
{
	struct h1_limits limits = H1_LIMITS_DEFAULT;
	const char *source = text_of(body, "source", "127.0.0.1");
	const char *listener = text_of(body, "listener", NULL);
	char address[SOURCE_BYTES];
	struct h1_head head = {0};
	enum h1_error error = 0;
	size_t len;

	snprintf(address, sizeof(address), source && strchr(source, ':') ? "[%s]:1" : "%s:1",
		source ?: "");
	http_headers_lend(&question->request.headers, question->items, array_len(question->items));
	if (find_listener(build, listener, question) < 0)
		admin_reply_error(reply, 404, "not_found",
			listener ? "there is no listener %s of protocol http or https"
				 : "which listener? name it%s",
			listener ?: "");
	else if (addr_parse(address, &question->client) < 0)
		admin_reply_error(reply, 400, "bad_request", "source is an IP address");
	else if (write_head(body, question, &len) < 0)
		admin_reply_error(reply, 400, "bad_request",
			"url (and method) are texts, headers a list of [name, value]");
	else if (h1_head_request(&head, &limits, question->head, len, &question->request, &error) <
		 0)
		admin_reply_error(reply, 422, "request_invalid",
			"such a request is refused before any rule: %s", h1_error_row(error)->help);
	else
		return true;
	return false;
}

/* --- the answer */
struct telling {
	const struct question *question;
	struct view_list list;
	uint32_t n;
};

static const struct config_rule *rule_of(const struct config_listener *config, uint32_t priority)
{
	uint32_t i;

	for (i = 0; i < config->rules_count; i++)
		if (config->rules[i].priority == priority)
			return &config->rules[i];
	return NULL;
}

static void put_verdict(const struct rules_verdict *verdict, void *arg)
{
	struct telling *telling = arg;
	const struct config_rule *rule;
	struct view row;
	char *why;

	telling->n++;
	if (telling->n > VERDICTS_MAX && !verdict->matches)
		return;
	row = view_list_object(&telling->list);
	view_text(&row, "name", verdict->name);
	view_number(&row, "priority", verdict->priority);
	view_bool(&row, "matches", verdict->matches);
	rule = rule_of(telling->question->config, verdict->priority);
	if (verdict->matches || !rule) {
		view_null(&row, "why");
		return;
	}
	why = rules_text_failing(&rule->conditions[verdict->condition], verdict->negated,
		verdict->field, telling->question->redact);
	view_text(&row, "why", why);
	free(why);
}

static void put_slice(const struct view *view, const char *name, struct slice text)
{
	if (text.len)
		view_slice(view, name, text);
	else
		view_null(view, name);
}

/* A query that a rule has made may hold what only the rule knows. */
static void put_url(const struct question *question, const struct view *view, const char *name,
	struct slice url)
{
	const char *mark = url.len ? memchr(url.ptr, '?', url.len) : NULL;
	char *text;

	if (!mark || !question->redact) {
		put_slice(view, name, url);
		return;
	}
	text = mem_printf("%.*s?" CONFIG_REDACTED, (int)(mark - url.ptr), url.ptr);
	view_text(view, name, text);
	free(text);
}

static void put_preview(
	const struct question *question, const struct rules_match *match, const struct view *root)
{
	char *text = mem_alloc(ROUTE_TEXT_BYTES);
	struct route_preview preview;
	int r = route_preview(match, &question->request, question->config->protocol == CONFIG_HTTPS,
		text, &preview);

	view_text(root, "error",
		match->is_undecided
			? "the rules take too long for this request, or its host is over 255 bytes (400)"
		: r == -EINVAL ? "what the rewrite makes of it is no request (400)"
		: r < 0        ? "what comes of it is too long"
			       : NULL);
	put_url(question, root, "location", r < 0 ? (struct slice){0} : preview.location);
	put_slice(root, "host", r < 0 ? (struct slice){0} : preview.host);
	put_url(question, root, "target", r < 0 ? (struct slice){0} : preview.target);
	free(text);
}

static void put_action(const struct question *question, const char *name, const struct view *root)
{
	const struct config_listener *config = question->config;
	const struct config_rule *rule = NULL;
	char unnamed[CONFIG_RULE_NAME_BYTES], *text;
	uint32_t i;

	for (i = 0; i < config->rules_count && !rule; i++)
		if (strcmp(config_rule_name(&config->rules[i], unnamed), name) == 0)
			rule = &config->rules[i];
	text = rule ? rules_text_action(rule->target_group, rule->actions, question->redact)
		    : rules_text_action(
			      config->target_group, config->default_actions, question->redact);
	view_text(root, "rule", name);
	view_text(root, "action", text);
	free(text);
}

static void answer(const struct question *question, const struct view *root)
{
	struct telling telling = {.question = question};
	struct rules_match match = {.rule = NULL};

	view_text(root, "listener", question->config->name);
	telling.list = view_list(root, "evaluated");
	if (question->rules)
		rules_explain(question->rules, &question->request, &question->client, put_verdict,
			&telling, &match);
	put_action(question, match.rule ? rules_name(match.rule) : "default", root);
	view_number(root, "evaluations", match.evaluations);
	if (match.rule)
		put_preview(question, &match, root);
}

void view_rules_test(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	const struct daemon *daemon = arg;
	yyjson_doc *body = yyjson_read(call->body.ptr, call->body.len, 0);
	struct question *question = mem_zalloc(sizeof(*question));
	yyjson_mut_doc *doc;
	struct view root;

	question->head = mem_zalloc(HEAD_BYTES);
	question->redact = call->redact;
	if (!yyjson_is_obj(yyjson_doc_get_root(body))) {
		admin_reply_error(
			reply, 400, "bad_request", "the body is a JSON object with a url");
	} else if (read_question(daemon->build, yyjson_doc_get_root(body), question, reply)) {
		doc = admin_doc_new();
		root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
		answer(question, &root);
		admin_reply_finish(reply, 200, doc);
	}
	yyjson_doc_free(body);
	free(question->head);
	free(question);
}
