/* Rules as texts: see rules_text.h. */
#include "control/rules_text.h"

#include "control/config_scalar.h"
#include "control/config_settings.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The default of a redirect's query. */
#define SAME_QUERY "#{query}"

static FILE *text_open(char **text, size_t *len)
{
	FILE *out = open_memstream(text, len);

	if (!out)
		abort();
	return out;
}

static void put_secrets(uint32_t n, FILE *out)
{
	if (n)
		fputs(" " CONFIG_REDACTED, out);
}

static void put_values(char *const *values, uint32_t n, FILE *out)
{
	uint32_t i;

	for (i = 0; i < n; i++)
		fprintf(out, "%s%s", i ? " or " : " ", values[i]);
}

static void put_named(
	const struct config_named_values *named, const char *word, bool redact, FILE *out)
{
	fprintf(out, "%s %s", word, named->name);
	if (named->values_count)
		fputc(':', out);
	if (redact)
		put_secrets(named->values_count, out);
	else
		put_values(named->values, named->values_count, out);
}

static void put_query(const struct config_condition *condition, bool redact, FILE *out)
{
	const char *value;
	uint32_t i;

	fputs("query", out);
	for (i = 0; i < condition->query_count; i++) {
		value = condition->query[i].value;
		fprintf(out, "%s%s=%s", i ? " or " : " ", condition->query[i].key ?: "*",
			!value   ? "*"
			: redact ? CONFIG_REDACTED
				 : value);
	}
}

static void put_sources(const struct config_condition *condition, FILE *out)
{
	char text[ADDRESS_TEXT_BYTES];
	uint32_t i;

	fputs("source_ip", out);
	for (i = 0; i < condition->source_ip_count; i++)
		fprintf(out, "%s%s", i ? " or " : " ",
			config_address_prefix_text(&condition->source_ip[i], text, sizeof(text)));
}

static void put_field(
	const struct config_condition *condition, enum rules_field field, bool redact, FILE *out)
{
	switch (field) {
	case RULES_HOST:
		fputs("host", out);
		put_values(condition->hosts, condition->hosts_count, out);
		break;
	case RULES_PATH:
		fputs("path", out);
		put_values(condition->paths, condition->paths_count, out);
		break;
	case RULES_METHOD:
		fputs("method", out);
		put_values(condition->methods, condition->methods_count, out);
		break;
	case RULES_HEADER:
		put_named(&condition->header, "header", redact, out);
		break;
	case RULES_QUERY:
		put_query(condition, redact, out);
		break;
	case RULES_COOKIE:
		put_named(&condition->cookie, "cookie", redact, out);
		break;
	case RULES_SOURCE:
		put_sources(condition, out);
		break;
	}
}

static bool has_field(const struct config_condition *condition, enum rules_field field)
{
	switch (field) {
	case RULES_HOST:
		return condition->hosts_count;
	case RULES_PATH:
		return condition->paths_count;
	case RULES_METHOD:
		return condition->methods_count;
	case RULES_HEADER:
		return condition->header.mark.line;
	case RULES_QUERY:
		return condition->query_count;
	case RULES_COOKIE:
		return condition->cookie.mark.line;
	case RULES_SOURCE:
		return condition->source_ip_count;
	}
	return false;
}

char *rules_text_condition(const struct config_condition *condition, bool redact)
{
	const char *between = condition->negated ? "not: " : "";
	enum rules_field field;
	char *text = NULL;
	size_t len;
	FILE *out = text_open(&text, &len);

	for (field = RULES_HOST; field <= RULES_SOURCE; field++) {
		if (!has_field(condition, field))
			continue;
		fputs(between, out);
		put_field(condition, field, redact, out);
		between = ", ";
	}
	fclose(out);
	return text;
}

char *rules_text_failing(
	const struct config_condition *condition, bool negated, enum rules_field field, bool redact)
{
	char *text = NULL, *whole;
	size_t len;
	FILE *out;

	if (negated) {
		whole = rules_text_condition(condition, redact);
		out = text_open(&text, &len);
		fprintf(out, "what must not hold does: %s", whole + strlen("not: "));
		free(whole);
	} else {
		out = text_open(&text, &len);
		fputs("does not fit: ", out);
		put_field(condition, field, redact, out);
	}
	fclose(out);
	return text;
}

static void put_forward(const struct config_forward *forward, FILE *out)
{
	uint32_t i;

	fputs("forward", out);
	for (i = 0; i < forward->target_groups_count; i++) {
		fprintf(out, "%s %s", i ? "," : "", forward->target_groups[i].target_group->name);
		if (forward->target_groups_count > 1)
			fprintf(out, " %u", forward->target_groups[i].weight);
	}
	if (forward->stickiness_ms && forward->target_groups_count > 1)
		fprintf(out, ", sticky %u s", forward->stickiness_ms / 1000);
}

static void put_redirect(const struct config_redirect *redirect, bool redact, FILE *out)
{
	static const unsigned int statuses[] = {301, 302, 303, 307, 308};
	bool is_own = strcmp(redirect->query, SAME_QUERY) != 0;
	const char *query = redact && is_own ? CONFIG_REDACTED : redirect->query;

	fprintf(out, "redirect %u %s://%s%s%s%s%s%s", statuses[redirect->status],
		redirect->protocol, redirect->host, redirect->port ? ":" : "", redirect->port ?: "",
		redirect->path, *redirect->query ? "?" : "", *redirect->query ? query : "");
}

char *rules_text_action(
	const struct config_target_group *group, const struct config_action *action, bool redact)
{
	char *text = NULL;
	size_t len;
	FILE *out = text_open(&text, &len);

	if (group)
		fprintf(out, "forward %s", group->name);
	else if (action->forward.mark.line)
		put_forward(&action->forward, out);
	else if (action->redirect.mark.line)
		put_redirect(&action->redirect, redact, out);
	else
		fprintf(out, "fixed response %u", action->fixed_response.status);
	fclose(out);
	return text;
}
