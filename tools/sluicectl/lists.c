/* The deny and the allow list: show, change, import, export. */
#include "answer.h"
#include "client.h"
#include "sluicectl.h"

#include "control/admin.h"
#include "core/mem.h"
#include "request_target.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum {
	LIST_TIMEOUT_S = 30,
	CHANGE_TIMEOUT_S = 120, /* a million prefixes on a busy host */
};

static struct client_request request_for(
	const struct invocation *invocation, const char *method, const char *target)
{
	return (struct client_request){
		.where = &invocation->where,
		.method = method,
		.target = target,
		.timeout_s = CHANGE_TIMEOUT_S,
	};
}

static char *list_target(const struct invocation *invocation, const char *path)
{
	return target_add(target_new(path), "list", invocation->command->name);
}

/* --- show */

static int list(const struct invocation *invocation, char **words, int n)
{
	char *target = list_target(invocation, "/v1/deny");
	struct client_request request;
	int code;

	if (n > 1)
		return usage("what is meant by", words[1]);
	if (n == 1)
		target = target_add(target, "address", words[0]);
	request = request_for(invocation, "GET", target);
	request.timeout_s = LIST_TIMEOUT_S;
	code = run_request(invocation, &request, render_list);
	free(target);
	return code;
}

/* --- add, del */

static void put_change(
	yyjson_mut_doc *doc, yyjson_mut_val *changes, const char *prefix, uint32_t expires_s)
{
	yyjson_mut_val *change;

	if (expires_s == 0) {
		yyjson_mut_arr_add_str(doc, changes, prefix);
		return;
	}
	change = yyjson_mut_arr_add_obj(doc, changes);
	yyjson_mut_obj_add_str(doc, change, "prefix", prefix);
	yyjson_mut_obj_add_uint(doc, change, "expires_in_s", expires_s);
}

/* NULL: a word is no UTF-8, and so no prefix. */
static char *change_body(const struct invocation *invocation, const char *verb, char **words, int n)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *changes;
	char *body;

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_str(doc, root, "list", invocation->command->name);
	changes = yyjson_mut_obj_add_arr(doc, root, verb);
	for (int i = 0; i < n; i++)
		put_change(doc, changes, words[i], invocation->expires_s);
	body = yyjson_mut_write(doc, 0, NULL);
	yyjson_mut_doc_free(doc);
	return body;
}

static int change(const struct invocation *invocation, const char *verb, char **words, int n)
{
	struct client_request request = request_for(invocation, "POST", "/v1/deny");
	char *body;
	int code;

	if (n == 0)
		return usage("which prefix? Such as:", "deny add 192.0.2.0/24");
	body = change_body(invocation, verb, words, n);
	if (!body)
		return usage("this is no prefix:", words[0]);
	request.body = body;
	request.body_len = strlen(body);
	code = run_request(invocation, &request, render_list_change);
	free(body);
	return code;
}

static int add(const struct invocation *invocation, char **words, int n)
{
	return change(invocation, "add", words, n);
}

static int del(const struct invocation *invocation, char **words, int n)
{
	return change(invocation, "del", words, n);
}

/* --- import */

/* Everything that is left of `file`. NULL: it has been said why. */
static char *read_all(FILE *file, const char *path, size_t *ret_len)
{
	size_t len = 0, size = 1024 * 1024;
	char *text = mem_alloc(size);

	for (;;) {
		len += fread(text + len, 1, size - len, file);
		if (len < size || len > ADMIN_BIG_BODY_BYTES_MAX)
			break;
		size *= 2;
		text = mem_realloc(text, size);
	}
	*ret_len = len;
	if (!ferror(file) && len <= ADMIN_BIG_BODY_BYTES_MAX)
		return text;
	fprintf(stderr, "sluicectl: %s: %s\n", path,
		ferror(file) ? strerror(errno) : "more than 128 MiB: use deny_file, allow_file");
	free(text);
	return NULL;
}

/* "-": standard input. */
static char *slurp(const char *path, size_t *ret_len)
{
	FILE *file;
	char *text;

	if (strcmp(path, "-") == 0)
		return read_all(stdin, "standard input", ret_len);
	file = fopen(path, "re");
	if (!file) {
		fprintf(stderr, "sluicectl: %s: %s\n", path, strerror(errno));
		return NULL;
	}
	text = read_all(file, path, ret_len);
	fclose(file);
	return text;
}

/* The daemon knows the line; the name of the file is ours: "FILE:LINE: what". */
static bool print_fault(const struct answer *answer, const char *path)
{
	static const char import[] = "import:";
	yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(answer->doc), "error");
	const char *message = yyjson_get_str(yyjson_obj_get(error, "message"));

	if (!message || strncmp(message, import, sizeof(import) - 1) != 0)
		return false;
	fprintf(stderr, "%s:%s\nsluicectl: nothing was changed\n",
		strcmp(path, "-") == 0 ? "(standard input)" : path, message + sizeof(import) - 1);
	return true;
}

static int import(const struct invocation *invocation, char **words, int n)
{
	char *target = list_target(invocation, "/v1/deny/import"), *text;
	struct client_request request = request_for(invocation, "POST", target);
	struct render_look look = {0};
	struct answer answer;
	int code = EXIT_REFUSED;
	struct err err;

	if (n != 1) {
		free(target);
		return usage(n > 1 ? "import takes one file, what is meant by"
				   : "import which file? (- is standard input)",
			n > 1 ? words[1] : "");
	}
	text = slurp(words[0], &request.body_len);
	request.body = text;
	if (!text) {
		free(target);
		return EXIT_REFUSED;
	}
	if (client_ask(&request, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		code = EXIT_UNREACHABLE;
	} else {
		if (answer.status < 300 || !is_table(invocation->output) ||
			!print_fault(&answer, words[0]))
			code = answer_print(&answer, invocation, render_list_change, &look, stdout);
		client_answer_free(&answer);
	}
	free(text);
	free(target);
	return code;
}

/* --- export, hits */

static void print_piece(void *arg, const char *bytes, size_t len)
{
	fwrite(bytes, 1, len, stdout);
}

static int export(const struct invocation *invocation, char **words, int n)
{
	char *target = list_target(invocation, "/v1/deny/export");
	struct client_request request = request_for(invocation, "GET", target);
	struct render_look look = {0};
	struct answer answer;
	int code = EXIT_OK;
	struct err err;

	if (n > 0) {
		free(target);
		return usage("what is meant by", words[0]);
	}
	if (client_stream(&request, print_piece, NULL, &answer, &err)) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		code = EXIT_UNREACHABLE;
	} else if (answer.status >= 300) {
		code = answer_print(&answer, invocation, render_list, &look, stdout);
		client_answer_free(&answer);
	}
	free(target);
	return code;
}

static int hits(const struct invocation *invocation, char **words, int n)
{
	struct client_request request = request_for(invocation, "POST", NULL);

	if (strcmp(invocation->command->name, "deny") != 0)
		return usage(
			"hits are counted for the deny list, not for", invocation->command->name);
	if (n != 1 || (strcmp(words[0], "on") != 0 && strcmp(words[0], "off") != 0))
		return usage(n > 0 ? "hits are on or off, not" : "hits on, or hits off?",
			n > 0 ? words[0] : "");
	request.target = strcmp(words[0], "on") == 0 ? "/v1/deny/hits?on=1" : "/v1/deny/hits?on=0";
	return run_request(invocation, &request, render_hits);
}

int run_list(const struct invocation *invocation)
{
	static const struct {
		const char *name;
		int (*run)(const struct invocation *invocation, char **words, int n);
	} verbs[] = {{"list", list}, {"add", add}, {"del", del}, {"import", import},
		{"export", export}, {"hits", hits}};
	const char *verb = invocation->n_arguments > 0 ? invocation->arguments[0] : "list";

	if (invocation->expires_s > 0 && strcmp(verb, "add") != 0)
		return usage("--expires is for add, not for", verb);
	for (size_t i = 0; i < array_len(verbs); i++)
		if (strcmp(verb, verbs[i].name) == 0)
			return verbs[i].run(invocation, invocation->arguments + 1,
				invocation->n_arguments > 0 ? invocation->n_arguments - 1 : 0);
	return usage("of a list there is list, add, del, import, export and hits, not", verb);
}
