/* Drops as they happen, until Ctrl-C. */
#include "answer.h"
#include "client.h"
#include "sluicectl.h"

#include "core/mem.h"
#include "request_target.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { ANSWER_TIMEOUT_S = 10 };

/* Lines come in pieces. */
struct watching {
	enum output output;
	char *line;
	size_t len;
};

static void print_line(const struct watching *watching, const char *line, size_t len)
{
	yyjson_doc *doc;

	if (watching->output == OUTPUT_JSON) {
		fwrite(line, 1, len, stdout);
		return;
	}
	doc = yyjson_read(line, len, 0);
	if (watching->output == OUTPUT_YAML) {
		puts("---");
		render_yaml(yyjson_doc_get_root(doc), stdout);
	} else {
		render_watch_line(yyjson_doc_get_root(doc), stdout);
	}
	yyjson_doc_free(doc);
}

static void take(void *arg, const char *bytes, size_t len)
{
	struct watching *watching = arg;
	size_t begin = 0, at;

	watching->line = mem_realloc(watching->line, watching->len + len);
	memcpy(watching->line + watching->len, bytes, len);
	watching->len += len;
	for (at = 0; at < watching->len; at++)
		if (watching->line[at] == '\n') {
			print_line(watching, watching->line + begin, at + 1 - begin);
			begin = at + 1;
		}
	watching->len -= begin;
	memmove(watching->line, watching->line + begin, watching->len);
	if (fflush(stdout) == EOF)
		_exit(EXIT_OK); /* nobody reads any more */
}

/* The daemon collects drops from now on. */
static void print_titles(void)
{
	render_watch_titles(stdout);
	fflush(stdout);
}

/* What was printed has been flushed: there is nothing left to do. */
static void interrupted(int number)
{
	_exit(EXIT_OK);
}

int run_watch(const struct invocation *invocation)
{
	struct client_request request = {
		.where = &invocation->where,
		.method = "GET",
		.timeout_s = ANSWER_TIMEOUT_S,
		.is_endless = true,
	};
	struct watching watching = {.output = invocation->output};
	struct render_look look = {0};
	struct answer answer = {0};
	struct err err;
	char *target;
	int rc;

	if (invocation->n_arguments == 0 || strcmp(invocation->arguments[0], "drops") != 0)
		return usage("watch what? There is:", "watch drops");
	target = target_new("/v1/watch/drops");
	if (invocation->reason)
		target = target_add(target, "reason", invocation->reason);
	if (invocation->source)
		target = target_add(target, "source", invocation->source);
	request.target = target;
	signal(SIGINT, interrupted);
	signal(SIGTERM, interrupted);
	if (is_table(invocation->output))
		request.begin = print_titles;
	rc = client_stream(&request, take, &watching, &answer, &err);
	free(watching.line);
	free(target);
	if (rc < 0) {
		fprintf(stderr, "sluicectl: %s\n", err.text);
		return EXIT_UNREACHABLE;
	}
	if (answer.status >= 300) {
		rc = answer_print(&answer, invocation, render_drops, &look, stdout);
		client_answer_free(&answer);
		return rc;
	}
	fputs("sluicectl: the daemon has ended\n", stderr);
	return EXIT_UNREACHABLE;
}
