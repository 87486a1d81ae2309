/* Actions, rewrites and changed headers of rules: see config_rules_parts.h. */
#include "control/config_rules_parts.h"

#include "http/message.h"
#include "http/syntax.h"
#include "proxy/rules_template.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

void config_check_target(struct config_checker *checker,
	const struct config_target_group *const *field, uint32_t n_actions, struct config_mark mark,
	const char *actions)
{
	bool is_given = config_is_given(checker->config, field) || config_is_unread(checker, field);

	if (is_given && n_actions)
		config_refuse(
			checker, field, mark, "target_group", "has no effect beside %s", actions);
	else if (!is_given && !n_actions)
		config_refuse(checker, field, mark, "target_group", "is required (or %s)", actions);
}

/* --- templates */
static bool check_captures(struct config_checker *checker, const struct rules_template *template,
	const char *const *field, struct config_mark mark, const char *name,
	const struct config_captures *captures)
{
	uint32_t host = rules_template_captures(template, RULES_VAR_HOST);
	uint32_t path = rules_template_captures(template, RULES_VAR_PATH);

	if (host <= captures->host && path <= captures->path)
		return true;
	config_refuse(checker, field, mark, name,
		"#{%s.%u}: not every %s value of the rule has so many wildcards * or groups",
		host > captures->host ? "host" : "path", host > captures->host ? host : path,
		host > captures->host ? "host" : "path");
	return false;
}

/* The pieces that are written out have only bytes of this class. */
static bool is_of(const struct rules_template *template, unsigned int class, const char *but)
{
	uint32_t i;

	for (i = 0; i < template->n; i++) {
		struct slice text = template->pieces[i].text;
		size_t at;

		for (at = 0; at < text.len; at++)
			if (!syntax_byte_is(text.ptr[at], class) || strchr(but, text.ptr[at]))
				return false;
	}
	return true;
}

/* `class`: of which bytes the text between the variables is, but for some. */
static bool check_template(struct config_checker *checker, char *const *field,
	struct config_mark mark, const char *name, unsigned int class, const char *but,
	const struct config_captures *captures)
{
	const char *const *place = (const char *const *)field;
	struct rules_template template;
	char quoted[QUOTED_BYTES];
	struct err err;
	bool good;

	if (!*field)
		return false;
	if (rules_template_init(&template, *field, &err) < 0) {
		config_refuse(checker, field, mark, name, "%s", err.text);
		return false;
	}
	good = is_of(&template, class, but);
	if (!good)
		config_refuse(checker, field, mark, name, "%s has a character that cannot be there",
			scalar_quote(slice_of(*field), quoted));
	good = check_captures(checker, &template, place, mark, name, captures) && good;
	rules_template_fini(&template);
	return good;
}

static void check_path(struct config_checker *checker, char *const *field, struct config_mark mark,
	const struct config_captures *captures)
{
	if (check_template(checker, field, mark, "path", SYNTAX_TARGET, "?", captures) &&
		**field != '/')
		config_refuse(checker, field, mark, "path", "must begin with /");
}

/* --- actions */
static bool is_same(const char *text, const char *template)
{
	return !text || strcmp(text, template) == 0;
}

static void check_port(struct config_checker *checker, const struct config_redirect *redirect)
{
	uint64_t port = 0;

	if (!redirect->port || strcmp(redirect->port, "#{port}") == 0)
		return;
	if (syntax_number(slice_of(redirect->port), &port) < 0 || !port || port > 65535)
		config_refuse(checker, &redirect->port, redirect->mark, "port",
			"is neither a port (1 to 65535) nor #{port}");
}

static bool is_protocol(const struct config_redirect *redirect, const char *word)
{
	return redirect->protocol && strcasecmp(redirect->protocol, word) == 0;
}

/* Any client that comes back comes to a port of the listener's. */
static bool is_own_port(const struct config_listener *listener, const char *port)
{
	uint64_t number = 0;
	uint32_t i;

	if (is_same(port, "#{port}"))
		return true;
	if (syntax_number(slice_of(port), &number) < 0)
		return false;
	for (i = 0; i < listener->address_count; i++)
		if (listener->address[i].port == number)
			return true;
	return false;
}

/* To itself, for ever. */
static void check_loop(struct config_checker *checker, const struct config_listener *listener,
	const struct config_redirect *redirect)
{
	bool has_protocol =
		is_protocol(redirect, listener->protocol == CONFIG_HTTPS ? "https" : "http");

	if ((has_protocol || is_same(redirect->protocol, "#{protocol}")) &&
		is_same(redirect->host, "#{host}") && is_own_port(listener, redirect->port) &&
		is_same(redirect->path, "/#{path}") && is_same(redirect->query, "#{query}"))
		config_errors_add(checker->errors, redirect->mark, checker->path.text,
			"leads back to the same URL: change protocol, host, port, path or query");
}

static void check_redirect(struct config_checker *checker, const struct config_listener *listener,
	const struct config_redirect *redirect, const struct config_captures *captures)
{
	size_t before = config_path_enter(&checker->path, "redirect");

	if (!is_same(redirect->protocol, "#{protocol}") && !is_protocol(redirect, "http") &&
		!is_protocol(redirect, "https"))
		config_refuse(checker, &redirect->protocol, redirect->mark, "protocol",
			"is not one of http, https, #{protocol}");
	check_template(checker, &redirect->host, redirect->mark, "host", SYNTAX_HOST, "", captures);
	check_port(checker, redirect);
	check_path(checker, &redirect->path, redirect->mark, captures);
	check_template(
		checker, &redirect->query, redirect->mark, "query", SYNTAX_TARGET, "", captures);
	check_loop(checker, listener, redirect);
	config_path_cut(&checker->path, before);
}

static void check_forward(struct config_checker *checker, const struct config_listener *listener,
	const struct config_forward *forward)
{
	size_t before = config_path_enter(&checker->path, "forward");
	size_t list = config_path_enter(&checker->path, "target_groups");
	uint32_t i, at, weights = 0;

	for (i = 0; i < forward->target_groups_count; i++) {
		const struct config_weighted_group *group = &forward->target_groups[i];
		size_t item = config_path_item(&checker->path, NULL, i);

		weights += group->weight;
		config_check_group_fits(checker, listener, &group->target_group, group->mark);
		for (at = 0; at < i && group->target_group; at++)
			if (forward->target_groups[at].target_group == group->target_group)
				config_refuse(checker, &group->target_group, group->mark,
					"target_group", "is in the list twice");
		config_path_cut(&checker->path, item);
	}
	if (forward->target_groups_count && !weights)
		config_errors_add(checker->errors, forward->mark, checker->path.text,
			"one of them needs a weight above 0");
	config_path_cut(&checker->path, list);
	config_path_cut(&checker->path, before);
}

static void check_fixed(struct config_checker *checker, const struct config_fixed_response *fixed)
{
	size_t before = config_path_enter(&checker->path, "fixed_response");

	if (fixed->body && *fixed->body &&
		(fixed->status == 204 || fixed->status == 205 || fixed->status == 304))
		config_refuse(checker, &fixed->body, fixed->mark, "body",
			"a response of status %u has none", fixed->status);
	if (fixed->content_type && !syntax_all(slice_of(fixed->content_type), SYNTAX_VALUE))
		config_refuse(checker, &fixed->content_type, fixed->mark, "content_type",
			"has a character that cannot be there");
	config_path_cut(&checker->path, before);
}

void config_check_actions(struct config_checker *checker, const struct config_listener *listener,
	const struct config_action *actions, uint32_t n, const char *list,
	const struct config_captures *captures)
{
	size_t before = config_path_enter(&checker->path, list);
	uint32_t i;

	for (i = 0; i < n; i++) {
		const struct config_action *action = &actions[i];
		size_t item = config_path_item(&checker->path, NULL, i);
		int given = (action->forward.mark.line != 0) + (action->redirect.mark.line != 0) +
			    (action->fixed_response.mark.line != 0);

		if (given != 1)
			config_errors_add(checker->errors, action->mark, checker->path.text,
				"must be one of forward, redirect and fixed_response");
		if (action->forward.mark.line)
			check_forward(checker, listener, &action->forward);
		if (action->redirect.mark.line)
			check_redirect(checker, listener, &action->redirect, captures);
		if (action->fixed_response.mark.line)
			check_fixed(checker, &action->fixed_response);
		config_path_cut(&checker->path, item);
	}
	config_path_cut(&checker->path, before);
}

/* --- what is changed */
void config_check_rewrite(struct config_checker *checker, const struct config_rewrite *rewrite,
	const struct config_captures *captures)
{
	size_t before = config_path_enter(&checker->path, "rewrite");

	if (rewrite->host)
		check_template(checker, &rewrite->host, rewrite->mark, "host",
			SYNTAX_HOST | SYNTAX_TARGET, "/?@", captures);
	if (rewrite->path)
		check_path(checker, &rewrite->path, rewrite->mark, captures);
	if (rewrite->query)
		check_template(checker, &rewrite->query, rewrite->mark, "query", SYNTAX_TARGET, "",
			captures);
	config_path_cut(&checker->path, before);
}

static bool is_ours(struct slice name)
{
	switch (http_header_id(name)) {
	case HTTP_HEADER_HOST:
	case HTTP_HEADER_CONTENT_LENGTH:
	case HTTP_HEADER_TRAILER:
	case HTTP_HEADER_EXPECT:
	case HTTP_HEADER_X_FORWARDED_FOR:
	case HTTP_HEADER_X_FORWARDED_PROTO:
	case HTTP_HEADER_X_FORWARDED_PORT:
		return true;
	default:
		return http_header_name_flags(http_header_id(name)) & HTTP_NAME_HOP_BY_HOP;
	}
}

static void check_name(struct config_checker *checker, char *const *field, struct config_mark mark,
	const char *setting)
{
	char quoted[QUOTED_BYTES];

	if (!*field)
		return;
	if (!syntax_is_token(slice_of(*field)))
		config_refuse(checker, field, mark, setting, "%s is not the name of a header",
			scalar_quote(slice_of(*field), quoted));
	else if (is_ours(slice_of(*field)))
		config_refuse(checker, field, mark, setting, "%s cannot be changed by rules",
			scalar_quote(slice_of(*field), quoted));
}

static void check_header(struct config_checker *checker, const struct config_header_value *header,
	const struct config_captures *captures)
{
	check_name(checker, &header->name, header->mark, "name");
	if (captures)
		check_template(
			checker, &header->value, header->mark, "value", SYNTAX_VALUE, "", captures);
}

static void check_headers(struct config_checker *checker, const struct config_header_value *headers,
	uint32_t n, const char *list, const struct config_captures *captures)
{
	size_t before = config_path_enter(&checker->path, list), item;
	uint32_t i;

	for (i = 0; i < n; i++) {
		item = config_path_item(&checker->path, headers[i].name, i);
		check_header(checker, &headers[i], captures);
		config_path_cut(&checker->path, item);
	}
	config_path_cut(&checker->path, before);
}

enum { ANSWER_EDITS_BYTES_MAX = 8 * 1024 }; /* of a rule, and of its listener */

static size_t bytes_of(const struct config_header_value *headers, uint32_t n)
{
	size_t bytes = 0;
	uint32_t i;

	for (i = 0; i < n; i++)
		if (headers[i].name && headers[i].value)
			bytes += strlen(headers[i].name) + strlen(headers[i].value) + 4;
	return bytes;
}

/* They are part of every answer's head, which has to have room for what the target sends. */
static void check_bytes(struct config_checker *checker, const struct config_header_edits *edits)
{
	size_t bytes =
		bytes_of(edits->set, edits->set_count) + bytes_of(edits->add, edits->add_count);

	if (bytes > ANSWER_EDITS_BYTES_MAX)
		config_errors_add(checker->errors, edits->mark, checker->path.text,
			"sets and adds headers of %zu bytes: at most %d are allowed", bytes,
			ANSWER_EDITS_BYTES_MAX);
}

void config_check_edits(struct config_checker *checker, const struct config_header_edits *edits,
	const char *section, uint32_t n_others, const struct config_captures *captures)
{
	size_t before = config_path_enter(&checker->path, section);
	uint32_t n = edits->set_count + edits->add_count + edits->remove_count, i;

	check_headers(checker, edits->set, edits->set_count, "set", captures);
	check_headers(checker, edits->add, edits->add_count, "add", captures);
	for (i = 0; i < edits->remove_count; i++)
		check_name(checker, &edits->remove[i], edits->mark, "remove");
	if (n && n + n_others > RULES_EDITS_MAX)
		config_errors_add(checker->errors, edits->mark, checker->path.text,
			"changes %u headers, with those of the listener: at most %d are allowed",
			n + n_others, RULES_EDITS_MAX);
	if (!captures)
		check_bytes(checker, edits);
	config_path_cut(&checker->path, before);
}
