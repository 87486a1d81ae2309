/* Objects of the admin API as tables: what there is, what a change did, versions. See render.h. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <stdlib.h>
#include <string.h>

void render_objects(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"KIND", RENDER_TEXT},
		{"NAME", RENDER_FLEXIBLE}, {"FROM", RENDER_TEXT}, {"ETAG", RENDER_TEXT}};
	static const char *const members[] = {"kind", "name", "origin", "etag"};
	struct render_table table;
	struct render_value text;

	render_table_init(&table, columns, array_len(columns));
	render_get_rows(&table, yyjson_obj_get(root, "objects"), members);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
	fprintf(out, "\nversion %s of what was made at run time\n",
		render_get(root, "version", &text));
}

/* The settings as they are kept: errors count the lines of this text. */
void render_object(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *own = yyjson_obj_get(root, "api");
	char *text = yyjson_val_write(yyjson_is_obj(own) ? own : yyjson_obj_get(root, "settings"),
		YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);

	if (text)
		render_text(text, out);
	putc('\n', out);
	free(text);
}

/* Each fact on a line of its own. */
void render_cert(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(root, "certificates"));
	yyjson_val *key, *value;
	struct render_value text;
	size_t i, n;

	yyjson_obj_foreach(row, i, n, key, value)
	{
		const char *name = yyjson_get_str(key);

		fprintf(out, "%-14s ", name);
		if (yyjson_is_arr(value))
			render_text(
				yyjson_arr_size(value) ? render_get_list(row, name, &text) : "-",
				out);
		else if (strncmp(name, "not_", 4) == 0)
			render_text(render_get_date(row, name, &text), out);
		else
			render_text(render_get(row, name, &text), out);
		putc('\n', out);
	}
}

void render_choice(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"RANK", RENDER_NUMBER}, {"CERTIFICATE", RENDER_TEXT}, {"MATCH", RENDER_TEXT},
		{"KEY", RENDER_TEXT}, {"EXPIRES", RENDER_TEXT}, {"WHY", RENDER_FLEXIBLE}};
	static const char *const members[] = {"rank", "name", "match", "key_type"};
	yyjson_val *listener, *row;
	struct render_table table;
	struct render_value text;
	size_t i, n, j, m, at;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "listeners"), i, n, listener)
	{
		yyjson_arr_foreach(yyjson_obj_get(listener, "candidates"), j, m, row)
		{
			render_table_cell(&table, "%s", render_get(listener, "name", &text));
			for (at = 0; at < array_len(members); at++)
				render_table_cell(
					&table, "%s", render_get(row, members[at], &text));
			render_table_cell(&table, "%s", render_get_date(row, "not_after", &text));
			render_table_cell(&table, "%s", render_get(row, "why", &text));
		}
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

/* "change certificates/shop (sha256 1a2b...)", each on a line of its own. */
static void put_changes(yyjson_val *list, const char *indent, FILE *out)
{
	struct render_value op, kind, name, fingerprint;
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, row)
	{
		fprintf(out, "%s%s ", indent, render_get(row, "op", &op));
		render_text(render_get(row, "kind", &kind), out);
		putc('/', out);
		render_text(render_get(row, "name", &name), out);
		if (yyjson_obj_get(row, "fingerprint"))
			fprintf(out, " (sha256 %s)", render_get(row, "fingerprint", &fingerprint));
		putc('\n', out);
	}
}

void render_change(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *result = yyjson_obj_get(root, "result");
	struct render_value version;

	render_get(root, "version", &version);
	if (yyjson_equals_str(result, "unchanged"))
		fprintf(out, "nothing to change: version %s stays in force\n", version.text);
	else if (yyjson_equals_str(result, "valid"))
		fprintf(out, "valid; nothing was changed. It would:\n");
	else
		fprintf(out, "version %s is in force:\n", version.text);
	put_changes(yyjson_obj_get(root, "changes"), "  ", out);
}

void render_history(yyjson_val *root, const struct render_look *look, FILE *out)
{
	struct render_value number, ago, uid, pid, who, to;
	yyjson_val *row;
	size_t i, n;

	if (yyjson_arr_size(yyjson_obj_get(root, "versions")) == 0)
		fputs("nothing was ever changed at run time\n", out);
	yyjson_arr_foreach(yyjson_obj_get(root, "versions"), i, n, row)
	{
		fprintf(out, "version %s%s, %s ago, by ", render_get(row, "version", &number),
			yyjson_is_true(yyjson_obj_get(row, "in_force")) ? " (in force)" : "",
			render_get_ago(row, "at", look->now_unix_s, &ago));
		if (yyjson_is_str(yyjson_obj_get(row, "who")))
			fputs(render_get(row, "who", &who), out);
		else
			fprintf(out, "uid %s (pid %s)", render_get(row, "uid", &uid),
				render_get(row, "pid", &pid));
		if (yyjson_is_uint(yyjson_obj_get(row, "rollback_to")))
			fprintf(out, ": back to %s", render_get(row, "rollback_to", &to));
		putc('\n', out);
		put_changes(yyjson_obj_get(row, "changes"), "  ", out);
	}
}
