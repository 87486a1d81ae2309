/* Printing an answer: see answer.h. */
#include "answer.h"

#include "control/render_table.h"

/* "file:line:column: ..." each on a line of its own, as an editor wants them. */
static void print_error(const struct answer *answer)
{
	yyjson_val *error = yyjson_obj_get(yyjson_doc_get_root(answer->doc), "error");
	const char *message = yyjson_get_str(yyjson_obj_get(error, "message"));
	yyjson_val *line;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(error, "errors"), i, n, line)
	{
		render_text(yyjson_is_str(line) ? yyjson_get_str(line) : "?", stderr);
		putc('\n', stderr);
	}
	fputs("sluicectl: ", stderr);
	render_text(message ? message : "the daemon refused and did not say why", stderr);
	putc('\n', stderr);
}

int answer_print(const struct answer *answer, const struct invocation *invocation,
	render_function *render, const struct render_look *look, FILE *out)
{
	bool is_error = answer->status >= 300;

	switch (invocation->output) {
	case OUTPUT_JSON:
		fwrite(answer->text, 1, answer->len, out);
		break;
	case OUTPUT_YAML:
		render_yaml(yyjson_doc_get_root(answer->doc), out);
		break;
	case OUTPUT_TABLE:
	case OUTPUT_WIDE:
		if (is_error)
			print_error(answer);
		else
			render(yyjson_doc_get_root(answer->doc), look, out);
		break;
	}
	return is_error ? EXIT_REFUSED : EXIT_OK;
}
