/* The view "connections" as a table: see render.h. Any thread. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <string.h>

enum { LEGEND_MAX = 32 };

/* Places of records that were shown, each with its reason once. */
struct legend {
	const char *places[LEGEND_MAX], *reasons[LEGEND_MAX];
	size_t n;
};

static void legend_add(struct legend *legend, yyjson_val *place)
{
	const char *name = yyjson_get_str(yyjson_obj_get(place, "place"));
	const char *reason = yyjson_get_str(yyjson_obj_get(place, "reason"));
	size_t i;

	for (i = 0; name && i < legend->n; i++)
		if (strcmp(legend->places[i], name) == 0)
			return;
	if (!name || !reason || legend->n == LEGEND_MAX)
		return;
	legend->places[legend->n] = name;
	legend->reasons[legend->n++] = reason;
}

static void legend_print(const struct legend *legend, FILE *out)
{
	size_t i;

	if (legend->n > 0)
		putc('\n', out);
	for (i = 0; i < legend->n; i++) {
		render_text(legend->places[i], out);
		fputs(": ", out);
		render_text(legend->reasons[i], out);
		putc('\n', out);
	}
}

static void cell_ms(struct render_table *table, yyjson_val *row, const char *member)
{
	yyjson_val *value = yyjson_obj_get(row, member);
	struct render_value text;

	if (yyjson_is_num(value))
		render_table_cell(table, "%s",
			render_duration((int64_t)(yyjson_get_num(value) / 1000), &text));
	else
		render_table_cell(table, "-");
}

static void cell(struct render_table *table, yyjson_val *object, const char *member)
{
	struct render_value text;

	render_table_cell(table, "%s", render_get_or_empty(object, member, &text));
}

static void cell_place(
	struct render_table *table, yyjson_val *tls, const char *direction, struct legend *legend)
{
	yyjson_val *place = yyjson_obj_get(tls, direction);

	cell(table, place, "place");
	legend_add(legend, place);
}

static void put_row(struct render_table *table, yyjson_val *row)
{
	struct render_value text;

	render_table_cell(table, "%s", render_get(row, "id", &text));
	render_table_cell(table, "%s", render_get(row, "listener", &text));
	render_table_cell(table, "%s", render_get(row, "state", &text));
	render_table_cell(table, "%s", render_get(row, "client", &text));
	cell_ms(table, row, "age_ms");
	cell_ms(table, row, "idle_ms");
	render_table_cell(table, "%s", render_get_bytes(row, "bytes_in", &text));
	render_table_cell(table, "%s", render_get_bytes(row, "bytes_out", &text));
	cell(table, row, "target");
	cell(table, yyjson_obj_get(row, "tls"), "version");
	cell(table, row, "server_name");
}

static void put_wide(struct render_table *table, yyjson_val *row, struct legend *legend)
{
	yyjson_val *tls = yyjson_obj_get(row, "tls"), *target = yyjson_obj_get(row, "target_tls");

	cell_place(table, tls, "rx", legend);
	cell_place(table, tls, "tx", legend);
	cell(table, tls, "cipher");
	cell(table, tls, "alpn");
	cell(table, row, "requests");
	cell(table, row, "local");
	cell(table, row, "target_group");
	cell(table, target, "version");
	cell_place(table, target, "rx", legend);
	cell_place(table, target, "tx", legend);
	cell(table, target, "cipher");
	cell(table, row, "worker");
	cell(table, row, "ja4");
}

void render_connections(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"ID", RENDER_NUMBER},
		{"LISTENER", RENDER_TEXT}, {"STATE", RENDER_TEXT}, {"CLIENT", RENDER_TEXT},
		{"AGE", RENDER_NUMBER}, {"IDLE", RENDER_NUMBER}, {"IN", RENDER_NUMBER},
		{"OUT", RENDER_NUMBER}, {"TARGET", RENDER_FLEXIBLE}, {"TLS", RENDER_TEXT},
		{"NAME", RENDER_FLEXIBLE},
		/* wide */
		{"RX", RENDER_TEXT}, {"TX", RENDER_TEXT}, {"CIPHER", RENDER_TEXT},
		{"ALPN", RENDER_TEXT}, {"REQUESTS", RENDER_NUMBER}, {"LOCAL", RENDER_TEXT},
		{"GROUP", RENDER_TEXT}, {"TARGET TLS", RENDER_TEXT}, {"TARGET RX", RENDER_TEXT},
		{"TARGET TX", RENDER_TEXT}, {"TARGET CIPHER", RENDER_TEXT},
		{"WORKER", RENDER_NUMBER}, {"JA4", RENDER_TEXT}};
	enum { NARROW = 11 };
	struct legend legend = {.n = 0};
	struct render_table table;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, look->wide ? array_len(columns) : NARROW);
	yyjson_arr_foreach(yyjson_obj_get(root, "connections"), i, n, row)
	{
		put_row(&table, row);
		if (look->wide)
			put_wide(&table, row, &legend);
	}
	if (n == 0)
		fputs("no connections\n", out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
	if (yyjson_is_true(yyjson_obj_get(root, "has_more")))
		fprintf(out, "\nthere are more: these are the first %zu (--limit)\n", n);
	legend_print(&legend, out);
}
