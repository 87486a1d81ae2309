/* The view "trust" as a table, and one trust store in full: see render.h. Any thread. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <string.h>

static double refusals(yyjson_val *listeners)
{
	yyjson_val *listener, *reason, *count;
	double sum = 0;
	size_t i, n, j, m;

	yyjson_arr_foreach(listeners, i, n, listener)
	{
		yyjson_obj_foreach(yyjson_obj_get(listener, "refused"), j, m, reason, count)
		{
			sum += yyjson_get_num(count);
		}
	}
	return sum;
}

/* The CA whose time ends first. */
static void cell_first_end(struct render_table *table, yyjson_val *cas)
{
	yyjson_val *ca, *first = NULL;
	struct render_value text;
	size_t i, n;

	yyjson_arr_foreach(cas, i, n, ca)
	{
		if (!first || yyjson_get_num(yyjson_obj_get(ca, "not_after")) <
				      yyjson_get_num(yyjson_obj_get(first, "not_after")))
			first = ca;
	}
	render_table_cell(table, "%s", first ? render_get_date(first, "not_after", &text) : "-");
}

static size_t stale_crls(yyjson_val *crls)
{
	yyjson_val *crl;
	size_t i, n, stale = 0;

	yyjson_arr_foreach(crls, i, n, crl)
	{
		stale += yyjson_is_true(yyjson_obj_get(crl, "stale"));
	}
	return stale;
}

static void cell_crls(struct render_table *table, yyjson_val *crls)
{
	size_t stale = stale_crls(crls);

	if (stale)
		render_table_cell(table, "%zu (%zu out of date)", yyjson_arr_size(crls), stale);
	else
		render_table_cell(table, "%zu", yyjson_arr_size(crls));
}

/* "web (verify), api (optional)" */
static void cell_users(struct render_table *table, yyjson_val *listeners)
{
	struct render_value text = {""}, name, mode;
	yyjson_val *listener;
	size_t i, n, used = 0;

	yyjson_arr_foreach(listeners, i, n, listener)
	{
		if (used < sizeof(text.text))
			used += (size_t)snprintf(text.text + used, sizeof(text.text) - used,
				"%s%s (%s)", i ? ", " : "", render_get(listener, "name", &name),
				render_get(listener, "mode", &mode));
	}
	render_table_cell(table, "%s", used ? text.text : "-");
}

void render_trust(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"TRUST STORE", RENDER_TEXT},
		{"CAS", RENDER_NUMBER}, {"FIRST EXPIRES", RENDER_TEXT}, {"CRLS", RENDER_TEXT},
		{"REVOKED", RENDER_NUMBER}, {"REFUSED", RENDER_NUMBER},
		{"LISTENERS", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "trust_stores"), i, n, row)
	{
		yyjson_val *listeners = yyjson_obj_get(row, "listeners");
		yyjson_val *cas = yyjson_obj_get(row, "cas");

		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%zu", yyjson_arr_size(cas));
		cell_first_end(&table, cas);
		cell_crls(&table, yyjson_obj_get(row, "crls"));
		render_table_cell(&table, "%s", render_get(row, "revoked", &text));
		render_table_cell(&table, "%.0f", refusals(listeners));
		cell_users(&table, listeners);
	}
	if (table.n_cells == 0)
		fputs("no trust stores\n", out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_cas(yyjson_val *row, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"CA", RENDER_FLEXIBLE},
		{"EXPIRES", RENDER_TEXT}, {"SERIAL", RENDER_FLEXIBLE}, {"LINE", RENDER_NUMBER},
		{"SHA-256", RENDER_FLEXIBLE}};
	static const char *const members[] = {"serial", "line", "fingerprint_sha256"};
	struct render_table table;
	struct render_value text;
	yyjson_val *ca;
	size_t i, n, at;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(row, "cas"), i, n, ca)
	{
		render_table_cell(&table, "%s", render_get(ca, "subject", &text));
		render_table_cell(&table, "%s%s", render_get_date(ca, "not_after", &text),
			yyjson_is_true(yyjson_obj_get(ca, "revoked")) ? " REVOKED" : "");
		for (at = 0; at < array_len(members); at++)
			render_table_cell(&table, "%s", render_get(ca, members[at], &text));
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

static void put_crls(yyjson_val *row, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"CRL OF", RENDER_FLEXIBLE},
		{"REVOKED", RENDER_NUMBER}, {"MADE", RENDER_TEXT}, {"NEXT", RENDER_TEXT},
		{"MEMORY", RENDER_NUMBER}, {"FILE", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *crls = yyjson_obj_get(row, "crls"), *crl;
	size_t i, n;

	if (yyjson_arr_size(crls) == 0)
		return;
	putc('\n', out);
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(crls, i, n, crl)
	{
		render_table_cell(&table, "%s", render_get(crl, "issuer", &text));
		render_table_cell(&table, "%s", render_get(crl, "revoked", &text));
		render_table_cell(&table, "%s", render_get_date(crl, "this_update", &text));
		render_table_cell(&table, "%s%s", render_get_date(crl, "next_update", &text),
			yyjson_is_true(yyjson_obj_get(crl, "stale")) ? " OUT OF DATE" : "");
		render_table_cell(&table, "%s", render_get_bytes(crl, "memory_bytes", &text));
		render_table_cell(&table, "%s", render_get(crl, "path", &text));
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

/* "expired 12, revoked 3": what is not zero. */
static void cell_refused(struct render_table *table, yyjson_val *refused)
{
	struct render_value text = {""};
	yyjson_val *reason, *count;
	size_t i, n, used = 0;

	yyjson_obj_foreach(refused, i, n, reason, count)
	{
		if (yyjson_get_num(count) <= 0 || used >= sizeof(text.text))
			continue;
		used += (size_t)snprintf(text.text + used, sizeof(text.text) - used, "%s%s %.0f",
			used > 0 ? ", " : "", yyjson_get_str(reason), yyjson_get_num(count));
	}
	render_table_cell(table, "%s", used ? text.text : "-");
}

static void put_listeners(yyjson_val *row, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"MODE", RENDER_TEXT}, {"DEPTH", RENDER_NUMBER}, {"EXPIRY IGNORED", RENDER_TEXT},
		{"CA NAMES SENT", RENDER_TEXT}, {"REFUSED", RENDER_FLEXIBLE}};
	static const char *const members[] = {
		"name", "mode", "max_depth", "ignore_expiry", "advertise_ca_names"};
	struct render_table table;
	struct render_value text;
	yyjson_val *listeners = yyjson_obj_get(row, "listeners"), *listener;
	size_t i, n, at;

	if (yyjson_arr_size(listeners) == 0)
		return;
	putc('\n', out);
	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(listeners, i, n, listener)
	{
		for (at = 0; at < array_len(members); at++)
			render_table_cell(&table, "%s", render_get(listener, members[at], &text));
		cell_refused(&table, yyjson_obj_get(listener, "refused"));
	}
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

/* Files that changed and could not be taken. */
static void put_fault(yyjson_val *row, FILE *out)
{
	struct render_value text;

	if (yyjson_get_len(yyjson_obj_get(row, "fault")))
		fprintf(out, "FAULT (what was good is in force): %s\n\n",
			render_get(row, "fault", &text));
}

void render_trust_store(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *row = yyjson_arr_get_first(yyjson_obj_get(root, "trust_stores"));

	put_fault(row, out);
	put_cas(row, look, out);
	put_crls(row, look, out);
	put_listeners(row, look, out);
}

void render_reopened(yyjson_val *root, const struct render_look *look, FILE *out)
{
	fputs("the files of the log were opened again\n", out);
}
