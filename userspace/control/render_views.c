/* The lists of the admin API as tables: one function per view. See render.h; status is in
 * render_status.c. Columns that are empty throughout are left out by the table. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char *or_dash(const char *text)
{
	return *text ? text : "-";
}

static void print_or_say(
	struct render_table *table, const char *nothing, const struct render_look *look, FILE *out)
{
	if (table->n_cells == 0)
		fprintf(out, "%s\n", nothing);
	render_table_print(table, look->width, out);
	render_table_fini(table);
}

/* What the packet plane does for listeners, with --all: in one table it would not fit a terminal. */
static void put_listener_packets(yyjson_val *rows, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"GATED", RENDER_TEXT}, {"SYN COOKIES", RENDER_TEXT}, {"COOKIES", RENDER_NUMBER},
		{"SYNS PASSED", RENDER_NUMBER}, {"SYNS REFUSED", RENDER_NUMBER},
		{"GATE FRAMES", RENDER_NUMBER}, {"RELEASED", RENDER_NUMBER},
		{"DROPPED", RENDER_NUMBER}};
	static const char *const members[] = {"name", "gated", "syn_cookies", "cookies", "syns",
		"syns_refused", "gate_frames", "released", "dropped"};
	struct render_table table;

	render_table_init(&table, columns, array_len(columns));
	render_get_rows(&table, rows, members);
	putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

/* "kernel 12, cipher 3": what is not zero. */
static void cell_places(struct render_table *table, yyjson_val *places)
{
	struct render_value text = {.text = ""};
	yyjson_val *name, *count;
	size_t i, n, used = 0;

	yyjson_obj_foreach(places, i, n, name, count)
	{
		if (yyjson_get_num(count) <= 0 || used >= sizeof(text.text))
			continue;
		used += (size_t)snprintf(text.text + used, sizeof(text.text) - used, "%s%s %.0f",
			used > 0 ? ", " : "", yyjson_get_str(name), yyjson_get_num(count));
	}
	render_table_cell(table, "%s", text.text);
}

/* Who made the records of TLS connections that have ended, with -o wide. `member` names the row. */
static void put_ktls(yyjson_val *rows, const char *heading, const char *member,
	const struct render_look *look, FILE *out)
{
	const struct render_column columns[] = {{heading, RENDER_TEXT}, {"ADDRESS", RENDER_TEXT},
		{"KTLS", RENDER_TEXT}, {"RECORDS RECEIVED", RENDER_TEXT},
		{"RECORDS SENT", RENDER_TEXT}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row, *ktls;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(rows, i, n, row)
	{
		ktls = yyjson_obj_get(row, "ktls");
		if (!yyjson_is_obj(ktls))
			continue;
		render_table_cell(&table, "%s", render_get(row, member, &text));
		render_table_cell(&table, "%s", render_get_or_empty(row, "address", &text));
		render_table_cell(&table, "%s", render_get_or_empty(ktls, "setting", &text));
		cell_places(&table, yyjson_obj_get(ktls, "rx"));
		cell_places(&table, yyjson_obj_get(ktls, "tx"));
	}
	if (table.n_cells > 0)
		putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

void render_listeners(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"LISTENER", RENDER_TEXT},
		{"PROTOCOL", RENDER_TEXT}, {"ADDRESS", RENDER_FLEXIBLE}, {"STATE", RENDER_TEXT},
		{"OPEN", RENDER_NUMBER}, {"ACCEPTED", RENDER_NUMBER}, {"REQUESTS", RENDER_NUMBER},
		{"REFUSED", RENDER_NUMBER}, {"IN", RENDER_NUMBER}, {"OUT", RENDER_NUMBER},
		{"CERTS", RENDER_NUMBER}, {"GROUP", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "listeners"), i, n, row)
	{
		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%s", render_get(row, "protocol", &text));
		render_table_cell(&table, "%s", render_get_list(row, "addresses", &text));
		render_table_cell(&table, "%s", render_get(row, "state", &text));
		render_table_cell(&table, "%s", render_get(row, "open", &text));
		render_table_cell(&table, "%s", render_get(row, "accepted", &text));
		render_table_cell(&table, "%s", render_get(row, "requests", &text));
		render_table_cell(&table, "%s", render_get(row, "refused", &text));
		render_table_cell(&table, "%s", render_get_bytes(row, "bytes_in", &text));
		render_table_cell(&table, "%s", render_get_bytes(row, "bytes_out", &text));
		render_table_cell(&table, "%s", render_get(row, "certificates", &text));
		render_table_cell(&table, "%s", render_get(row, "target_group", &text));
	}
	print_or_say(&table, "no listeners", look, out);
	if (look->wide)
		put_ktls(yyjson_obj_get(root, "listeners"), "LISTENER", "name", look, out);
	if (look->all)
		put_listener_packets(yyjson_obj_get(root, "listeners"), look, out);
}

/* What traffic met, for a while: a check may ask for less. */
static void put_refusal(char *text, size_t size, yyjson_val *row, const struct render_look *look)
{
	enum { WHILE_S = 600 };
	yyjson_val *last = yyjson_obj_get(row, "last_tls_failure");
	struct render_value failure, detail, ago;

	text[0] = '\0';
	if (!yyjson_is_obj(last) ||
		look->now_unix_s - yyjson_get_sint(yyjson_obj_get(last, "at")) > WHILE_S)
		return;
	render_get_or_empty(last, "failure", &failure);
	render_get_or_empty(last, "detail", &detail);
	snprintf(text, size, "TLS failed %s ago: %s%s%s",
		render_get_ago(last, "at", look->now_unix_s, &ago), failure.text,
		*detail.text ? ": " : "", detail.text);
}

/* Why it is in its state, and what the last check found if that says more. */
static void target_why(struct render_table *table, yyjson_val *row, const struct render_look *look)
{
	yyjson_val *check = yyjson_obj_get(row, "last_check");
	yyjson_val *ejected = yyjson_obj_get(row, "ejected");
	struct render_value reason, detail;
	char refusal[192];

	render_get_or_empty(row, "reason", &reason);
	render_get_or_empty(yyjson_is_obj(ejected) ? ejected : check, "detail", &detail);
	if (strcmp(reason.text, detail.text) == 0)
		detail.text[0] = '\0';
	put_refusal(refusal, sizeof(refusal), row, look);
	render_table_cell(table, "%s%s%s%s%s", reason.text,
		*reason.text && *detail.text ? ": " : "", detail.text,
		*refusal && (*reason.text || *detail.text) ? "; " : "", refusal);
}

static void target_row(struct render_table *table, yyjson_val *row, const struct render_look *look)
{
	yyjson_val *check = yyjson_obj_get(row, "last_check");
	struct render_value name, text;

	render_get_or_empty(row, "name", &name);
	render_get(row, "address", &text);
	render_table_cell(table, "%s", strcmp(name.text, text.text) == 0 ? "" : name.text);
	render_table_cell(table, "%s", text.text);
	render_table_cell(table, "%s", render_get(row, "weight", &text));
	render_table_cell(table, "%s", render_get(row, "state", &text));
	render_table_cell(table, "%s", render_get_ago(row, "since", look->now_unix_s, &text));
	render_table_cell(table, "%s", render_get_us(check, "latency_us", &text));
	render_table_cell(table, "%s", render_get(row, "outstanding", &text));
	render_table_cell(table, "%s", render_get(row, "connections", &text));
	render_table_cell(table, "%s", render_get(row, "requests", &text));
	render_table_cell(table, "%s", render_get(row, "failures", &text));
	target_why(table, row, look);
}

void render_targets(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"GROUP", RENDER_TEXT},
		{"TARGET", RENDER_TEXT}, {"ADDRESS", RENDER_TEXT}, {"WEIGHT", RENDER_NUMBER},
		{"STATE", RENDER_TEXT}, {"SINCE", RENDER_NUMBER}, {"CHECK", RENDER_NUMBER},
		{"ACTIVE", RENDER_NUMBER}, {"CONNS", RENDER_NUMBER}, {"REQUESTS", RENDER_NUMBER},
		{"FAILURES", RENDER_NUMBER}, {"REASON", RENDER_FLEXIBLE}};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "targets"), i, n, row)
	{
		render_table_cell(&table, "%s", render_get(row, "group", &text));
		target_row(&table, row, look);
	}
	print_or_say(&table, "no targets", look, out);
	if (look->wide)
		put_ktls(yyjson_obj_get(root, "targets"), "GROUP", "group", look, out);
}

/* What targets did not get, and what was tried again. */
static void put_group_counts(yyjson_val *groups, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"GROUP", RENDER_TEXT},
		{"OVER LIMITS", RENDER_NUMBER}, {"RETRIES", RENDER_NUMBER},
		{"OVER THE BUDGET", RENDER_NUMBER}};
	static const char *const names[] = {"name", "limited", "retries", "retries_refused"};
	struct render_table table;

	render_table_init(&table, columns, array_len(columns));
	render_get_rows(&table, groups, names);
	if (table.n_cells > 0)
		putc('\n', out);
	render_table_print(&table, look->width, out);
	render_table_fini(&table);
}

void render_groups(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"GROUP", RENDER_TEXT},
		{"PROTOCOL", RENDER_TEXT}, {"ALGORITHM", RENDER_TEXT}, {"HEALTHY", RENDER_NUMBER},
		{"UNHEALTHY", RENDER_NUMBER}, {"INITIAL", RENDER_NUMBER},
		{"DRAINING", RENDER_NUMBER}, {"UNUSED", RENDER_NUMBER},
		{"FAILING OPEN", RENDER_TEXT}, {"LISTENERS", RENDER_FLEXIBLE}};
	static const char *const states[] = {
		"healthy", "unhealthy", "initial", "draining", "unused"};
	struct render_table table;
	struct render_value text;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "target_groups"), i, n, row)
	{
		yyjson_val *targets = yyjson_obj_get(row, "targets");

		render_table_cell(&table, "%s", render_get(row, "name", &text));
		render_table_cell(&table, "%s", render_get(row, "protocol", &text));
		render_table_cell(&table, "%s", render_get(row, "algorithm", &text));
		for (size_t s = 0; s < array_len(states); s++)
			render_table_cell(&table, "%s", render_get(targets, states[s], &text));
		render_table_cell(&table, "%s", render_get(row, "failing_open", &text));
		render_table_cell(&table, "%s", or_dash(render_get_list(row, "listeners", &text)));
	}
	print_or_say(&table, "no target groups", look, out);
	if (look->wide) {
		put_group_counts(yyjson_obj_get(root, "target_groups"), look, out);
		put_ktls(yyjson_obj_get(root, "target_groups"), "GROUP", "name", look, out);
	}
}

static void render_faults(yyjson_val *directory, FILE *out)
{
	struct render_value text, fault;
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(directory, "faults"), i, n, row)
	{
		fprintf(out, "  %s: %s%s\n", render_get(row, "file", &text),
			render_get(row, "fault", &fault),
			yyjson_is_true(yyjson_obj_get(row, "last_good_served"))
				? " (the last good one is served)"
				: "");
	}
}

static void render_directories(yyjson_val *root, FILE *out)
{
	struct render_value name, source, pairs, bad, expired, unchecked, faulty;
	yyjson_val *row;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(root, "directories"), i, n, row)
	{
		fprintf(out,
			"\n%s: %s pairs in %s, %s bad, %s expired, %s unchecked; %s cannot be used\n",
			render_get(row, "name", &name), render_get(row, "pairs", &pairs),
			render_get(row, "source", &source), render_get(row, "bad", &bad),
			render_get(row, "expired", &expired),
			render_get(row, "unchecked", &unchecked),
			render_get(row, "faulty", &faulty));
		render_faults(row, out);
	}
}

static void cert_row(struct render_table *table, yyjson_val *row)
{
	yyjson_val *days = yyjson_obj_get(row, "days_left");
	struct render_value text;

	render_table_cell(table, "%s", render_get(row, "name", &text));
	render_table_cell(table, "%s", or_dash(render_get_list(row, "names", &text)));
	render_table_cell(table, "%s", render_get(row, "key_type", &text));
	render_table_cell(table, "%s", render_get_date(row, "not_after", &text));
	if (yyjson_is_num(days) && yyjson_get_num(days) < 0)
		render_table_cell(table, "EXPIRED");
	else
		render_table_cell(table, "%s%s", render_get(row, "days_left", &text),
			yyjson_is_num(days) ? "d" : "");
	render_table_cell(table, "%s", or_dash(render_get_list(row, "listeners", &text)));
	render_table_cell(table, "%s", render_get_list(row, "default_for", &text));
	render_table_cell(table, "%s", render_get(row, "issuer", &text));
	render_table_cell(table, "%s", render_get_or_empty(row, "serial", &text));
	render_table_cell(table, "%s", render_get_or_empty(row, "scts", &text));
	render_table_cell(table, "%s", render_get_or_empty(row, "source", &text));
}

void render_certs(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"CERTIFICATE", RENDER_TEXT},
		{"NAMES", RENDER_FLEXIBLE}, {"KEY", RENDER_TEXT}, {"EXPIRES", RENDER_TEXT},
		{"LEFT", RENDER_NUMBER}, {"LISTENERS", RENDER_FLEXIBLE},
		{"DEFAULT FOR", RENDER_FLEXIBLE}, {"ISSUER", RENDER_FLEXIBLE},
		{"SERIAL", RENDER_FLEXIBLE}, {"SCTS", RENDER_NUMBER}, {"SOURCE", RENDER_FLEXIBLE}};
	struct render_table table;
	yyjson_val *row;
	size_t i, n;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(yyjson_obj_get(root, "certificates"), i, n, row)
	{
		cert_row(&table, row);
	}
	print_or_say(&table, "no certificates", look, out);
	render_directories(root, out);
}

void render_config(yyjson_val *root, const struct render_look *look, FILE *out)
{
	const char *yaml = yyjson_get_str(yyjson_obj_get(root, "yaml"));

	if (yaml)
		render_text(yaml, out);
}

void render_reload(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *result = yyjson_obj_get(root, "result");
	struct render_value text;

	if (yyjson_equals_str(result, "valid"))
		fputs("the configuration is valid; nothing was changed", out);
	else
		fputs("the configuration was applied", out);
	fprintf(out, " (generation %s)\n", render_get(root, "generation", &text));
}
