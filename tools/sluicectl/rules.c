/* Rules of listeners, and which of them a request would go by. */
#include "change.h"
#include "client.h"
#include "request_target.h"
#include "show.h"
#include "sluicectl.h"

#include <stdlib.h>
#include <string.h>

enum { TEST_TIMEOUT_S = 30 };

static int ask(const struct invocation *invocation, const char *body)
{
	struct client_request request = {.where = &invocation->where,
		.method = "POST",
		.target = "/v1/rules/test",
		.body = body,
		.body_len = strlen(body),
		.timeout_s = TEST_TIMEOUT_S};

	return run_request(invocation, &request, render_rules_test);
}

/* "Name: value". False: it has no colon. */
static bool add_header(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *header)
{
	const char *colon = strchr(header, ':');
	yyjson_mut_val *pair;

	if (!colon || colon == header)
		return false;
	pair = yyjson_mut_arr_add_arr(doc, list);
	return yyjson_mut_arr_add_strn(doc, pair, header, (size_t)(colon - header)) &&
	       yyjson_mut_arr_add_str(doc, pair, colon + 1 + strspn(colon + 1, " \t"));
}

static int test(const struct invocation *invocation)
{
	const char *const texts[][2] = {{"listener", invocation->listener},
		{"method", invocation->http_method}, {"url", invocation->url},
		{"source", invocation->source}};
	yyjson_mut_doc *doc = change_doc();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc), *headers;
	int code = EXIT_OK;
	char *body;

	for (size_t i = 0; i < array_len(texts); i++)
		if (texts[i][1])
			yyjson_mut_obj_add_str(doc, root, texts[i][0], texts[i][1]);
	headers = yyjson_mut_obj_add_arr(doc, root, "headers");
	for (int i = 0; i < invocation->n_headers && code == EXIT_OK; i++)
		if (!add_header(doc, headers, invocation->headers[i]))
			code = usage("--header takes \"Name: value\", not", invocation->headers[i]);
	if (code == EXIT_OK) {
		body = yyjson_mut_write(doc, 0, NULL);
		code = body ? ask(invocation, body) : usage("not valid UTF-8:", "an option");
		free(body);
	}
	yyjson_mut_doc_free(doc);
	return code;
}

static int list(const struct invocation *invocation)
{
	struct shown shown = {.invocation = invocation, .render = render_rules};
	char *target = target_new("/v1/rules");
	int code;

	if (invocation->n_arguments > 0)
		target = target_add(target, "listener", invocation->arguments[0]);
	shown.target = target;
	code = show(&shown);
	free(target);
	return code;
}

int run_rules(const struct invocation *invocation)
{
	bool is_test = invocation->n_arguments > 0 && strcmp(invocation->arguments[0], "test") == 0;

	if (!is_test && (invocation->url || invocation->http_method || invocation->n_headers ||
				invocation->source || invocation->listener))
		return usage(
			"--listener, --method, --url, --header and --source are for rules", "test");
	if (is_test && !invocation->url)
		return usage("rules test --url URL: of which request?", "");
	if (is_test && invocation->watch_s > 0)
		return usage("--watch is not for rules", "test");
	return is_test ? test(invocation) : list(invocation);
}
