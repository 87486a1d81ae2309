/* Rules as a table, and why a request goes by one of them: see render.h. Any thread. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <string.h>

static void put_row(
	struct render_table *table, const char *listener, yyjson_val *row, bool is_default)
{
	struct render_value text;

	render_table_cell(table, "%s", listener);
	render_table_cell(table, "%s", is_default ? "-" : render_get(row, "priority", &text));
	render_table_cell(table, "%s", is_default ? "default" : render_get(row, "name", &text));
	render_table_cell(table, "%s", is_default ? "" : render_get_list(row, "conditions", &text));
	render_table_cell(table, "%s", render_get(row, "action", &text));
	render_table_cell(table, "%s", render_get(row, "hits", &text));
	render_table_cell(table, "%s", render_get(row, "limited", &text));
}

void render_rules(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"PRIORITY", RENDER_NUMBER}, {"RULE", RENDER_TEXT}, {"CONDITIONS", RENDER_FLEXIBLE},
		{"ACTION", RENDER_FLEXIBLE}, {"HITS", RENDER_NUMBER}, {"LIMITED", RENDER_NUMBER}};
	struct render_table table;
	yyjson_val *listener, *rule;
	size_t i, n, at, n_rules;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "listeners"), i, n, listener)
	{
		struct render_value name;

		render_get(listener, "name", &name);
		yyjson_arr_foreach(yyjson_obj_get(listener, "rules"), at, n_rules, rule)
		{
			put_row(&table, name.text, rule, false);
		}
		put_row(&table, name.text, yyjson_obj_get(listener, "default"), true);
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_line(const char *title, yyjson_val *root, const char *member, FILE *out)
{
	struct render_value text;

	if (!*render_get_or_empty(root, member, &text))
		return;
	fprintf(out, "%-10s", title);
	render_text(text.text, out);
	putc('\n', out);
}

void render_rules_test(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"PRIORITY", RENDER_NUMBER},
		{"RULE", RENDER_TEXT}, {"MATCHES", RENDER_TEXT}, {"WHY NOT", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	put_line("listener", root, "listener", out);
	put_line("rule", root, "rule", out);
	put_line("action", root, "action", out);
	put_line("location", root, "location", out);
	put_line("host", root, "host", out);
	put_line("target", root, "target", out);
	put_line("error", root, "error", out);
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "evaluated"), i, n, row)
	{
		bool is_default = strcmp(render_get(row, "priority", &text), "0") == 0;

		render_table_cell(&table, "%s", is_default ? "-" : text.text);
		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%s", render_get(row, "matches", &text));
		render_table_cell(&table, "%s", render_get_or_empty(row, "why", &text));
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}
