/* Who connects or is dropped most; or, without a word, everything that moves on one screen. */
#include "show.h"

#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

static const double screen_s = 2;

/* The member of each answer that the overview has, under its own name or another. */
static const struct {
	const char *target, *member, *name; /* member NULL: the whole answer */
} parts[] = {
	{"/v1/status", NULL, "status"},
	{"/v1/listeners", "listeners", "listeners"},
	{"/v1/targets", "targets", "targets"},
	{"/v1/drops", "drops", "drops"},
	{"/v1/top?kind=sources&n=8", NULL, "sources"},
};

static void finish(yyjson_mut_doc *doc, struct answer *ret_answer)
{
	*ret_answer = (struct answer){.status = 200};
	ret_answer->text = yyjson_mut_write(doc,
		YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END, &ret_answer->len);
	if (!ret_answer->text)
		abort(); /* out of memory */
	ret_answer->doc = yyjson_read(ret_answer->text, ret_answer->len, 0);
}

/* Several answers as one; the first that is a refusal is all there is. */
static int ask_all(const struct invocation *invocation, struct answer *ret_answer, struct err *err)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc);
	struct answer answer;
	int rc = 0;

	yyjson_mut_doc_set_root(doc, root);
	for (size_t i = 0; i < array_len(parts); i++) {
		yyjson_val *value;

		rc = show_ask(invocation, parts[i].target, &answer, err);
		if (rc || answer.status >= 300) {
			if (!rc)
				*ret_answer = answer;
			break;
		}
		value = yyjson_doc_get_root(answer.doc);
		if (parts[i].member)
			value = yyjson_obj_get(value, parts[i].member);
		yyjson_mut_obj_add_val(doc, root, parts[i].name, yyjson_val_mut_copy(doc, value));
		client_answer_free(&answer);
		if (i + 1 == array_len(parts))
			finish(doc, ret_answer);
	}
	yyjson_mut_doc_free(doc);
	return rc;
}

/* On a terminal until Ctrl-C, like top(1). */
static int show_overview(const struct invocation *invocation)
{
	struct invocation repeated = *invocation;
	struct shown shown = {.invocation = &repeated, .render = render_overview, .ask = ask_all};

	if (invocation->watch_s == 0 && is_table(invocation->output) && show_is_terminal())
		repeated.watch_s = screen_s;
	return show(&shown);
}

int run_top(const struct invocation *invocation)
{
	static const char *const kinds[][2] = {
		{"sources", "sources"}, {"sni", "names"}, {"ja4", "ja4"}};
	const char *kind = invocation->n_arguments > 0 ? invocation->arguments[0] : "";
	const char *rows = invocation->n_arguments > 1 ? invocation->arguments[1] : "20";
	struct shown shown = {.invocation = invocation, .render = render_top};
	char target[128];
	size_t i;

	if (invocation->n_arguments == 0)
		return show_overview(invocation);
	for (i = 0; i < array_len(kinds) && strcmp(kind, kinds[i][0]) != 0; i++)
		;
	if (i == array_len(kinds))
		return usage("there is top, top sources, top sni and top ja4, not top", kind);
	if (strlen(rows) > 4 || strspn(rows, "0123456789") != strlen(rows) || atoi(rows) < 1)
		return usage("the number of rows is 1 to 1000, not", rows);
	snprintf(target, sizeof(target), "/v1/top?kind=%s&n=%s", kinds[i][1], rows);
	shown.target = target;
	return show(&shown);
}
