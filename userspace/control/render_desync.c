/* The view "desync" as a table. See render.h. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include "core/attr.h"

static uint64_t number(yyjson_val *row, const char *name)
{
	return yyjson_get_uint(yyjson_obj_get(row, name));
}

void render_desync(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"MODE", RENDER_TEXT}, {"CLASS", RENDER_TEXT}, {"FOUND", RENDER_TEXT},
		{"FORWARDED", RENDER_NUMBER}, {"REFUSED", RENDER_NUMBER},
		{"WHAT IT MEANS", RENDER_FLEXIBLE}};
	static const char *const members[] = {
		"listener", "mode", "class", "found", "forwarded", "refused", "help"};
	yyjson_val *row;
	struct render_table table;
	struct render_value text;
	size_t i, n, member;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "desync"), i, n, row)
	{
		if (!look->all && !number(row, "forwarded") && !number(row, "refused"))
			continue;
		for (member = 0; member < array_len(members); member++)
			render_table_cell(&table, "%s", render_get(row, members[member], &text));
	}
	if (table.n_cells == 0)
		fprintf(out, "all requests were in order\n");
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}
