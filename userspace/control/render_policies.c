/* The view "policies" as a table, and one policy in full: see render.h. Any thread. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <string.h>

static bool is_in(yyjson_val *list, const char *text)
{
	yyjson_val *item;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, item)
	{
		if (yyjson_equals_str(item, text))
			return true;
	}
	return false;
}

static void cell_list(struct render_table *table, yyjson_val *row, const char *member)
{
	struct render_value text;

	render_table_cell(table, "%s", render_get_list(row, member, &text));
}

static void cell_count(struct render_table *table, yyjson_val *row, const char *member)
{
	render_table_cell(table, "%zu", yyjson_arr_size(yyjson_obj_get(row, member)));
}

static void cell_users(struct render_table *table, yyjson_val *row)
{
	struct render_value listeners, groups;

	render_get_list(row, "listeners", &listeners);
	render_get_list(row, "target_groups", &groups);
	render_table_cell(table, "%s%s%s", listeners.text,
		*listeners.text && *groups.text ? ", " : "", groups.text);
}

void render_policies(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"POLICY", RENDER_TEXT},
		{"TLS", RENDER_TEXT}, {"CIPHERS", RENDER_NUMBER}, {"SUITES", RENDER_NUMBER},
		{"FIRST GROUP", RENDER_TEXT}, {"NOT OFFERED", RENDER_FLEXIBLE},
		{"USED BY", RENDER_FLEXIBLE}};
	struct render_table table;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "policies"), i, n, row)
	{
		const char *group =
			yyjson_get_str(yyjson_arr_get_first(yyjson_obj_get(row, "groups")));
		struct render_value text;

		render_table_cell(&table, "%s", render_get(row, "name", &text));
		cell_list(&table, row, "offered_versions");
		cell_count(&table, row, "ciphers");
		cell_count(&table, row, "suites");
		render_table_cell(&table, "%s", group ? group : "-");
		cell_list(&table, row, "missing");
		cell_users(&table, row);
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_line(const char *title, const char *text, FILE *out)
{
	if (!*text)
		return;
	fprintf(out, "%-22s", title);
	render_text(text, out);
	putc('\n', out);
}

static void put_items(const char *title, yyjson_val *row, const char *member, FILE *out)
{
	yyjson_val *missing = yyjson_obj_get(row, "missing"), *item;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(row, member), i, n, item)
	{
		const char *text = yyjson_get_str(item);

		fprintf(out, "%-22s", i == 0 ? title : "");
		render_text(text ? text : "-", out);
		fputs(text && is_in(missing, text) ? "  (not offered: this OpenSSL lacks it)\n"
						   : "\n",
			out);
	}
}

static void put_policy(yyjson_val *row, FILE *out)
{
	struct render_value text;

	put_line("policy", render_get(row, "name", &text), out);
	put_line("also called", render_get_list(row, "aliases", &text), out);
	put_line("source", render_get(row, "source", &text), out);
	put_line("TLS", render_get_list(row, "versions", &text), out);
	put_line("offered here", render_get_list(row, "offered_versions", &text), out);
	put_items("ciphers (to TLS 1.2)", row, "ciphers", out);
	put_items("suites (TLS 1.3)", row, "suites", out);
	put_items("groups", row, "groups", out);
	put_items("signature algorithms", row, "signature_algorithms", out);
	put_line("order",
		yyjson_is_false(yyjson_obj_get(row, "server_preference")) ? "the client's"
									  : "the server's",
		out);
	put_line("not offered", render_get_list(row, "missing", &text), out);
	put_line("listeners", render_get_list(row, "listeners", &text), out);
	put_line("target groups", render_get_list(row, "target_groups", &text), out);
}

void render_policy(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(root, "policies"), i, n, row)
	{
		put_policy(row, out);
	}
}
