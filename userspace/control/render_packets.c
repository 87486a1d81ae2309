/* The views of the packet plane as tables: drops, counters, top, lists, watched drops. See render.h.
 * Columns that are empty throughout are left out by the table. */
#include "control/render.h"
#include "control/render_table.h"
#include "control/render_value.h"

#include "core/mem.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static void print_or_say(
	struct render_table *table, const char *nothing, const struct render_look *look, FILE *out)
{
	if (table->n_cells == 0)
		fprintf(out, "%s\n", nothing);
	render_table_print(table, look->width, out);
	render_table_fini(table);
}

/* --- drops and counters */

static bool is_same_member(yyjson_val *a, yyjson_val *b, const char *member)
{
	yyjson_val *text = yyjson_obj_get(a, member);

	return yyjson_is_str(text) &&
	       yyjson_equals_str(yyjson_obj_get(b, member), yyjson_get_str(text));
}

/* A row with how fast it rises. */
struct counted {
	yyjson_val *row;
	uint64_t count;
	double rate; /* negative: not known */
};

/* The count of the same row in the answer before. 0 if it had none. */
static uint64_t previous_count(yyjson_val *row, const char *list, const struct render_look *look)
{
	yyjson_val *old;
	size_t i, n;

	yyjson_arr_foreach(yyjson_obj_get(look->previous, list), i, n, old)
	{
		if (is_same_member(row, old, "where") && is_same_member(row, old, "reason"))
			return yyjson_get_uint(yyjson_obj_get(old, "count"));
	}
	return 0;
}

/* Since the look before, if there was one; else what the daemon says. A count below the one before
 * is another daemon's: its rate counts from zero. */
static struct counted count_row(yyjson_val *row, const char *list, const struct render_look *look)
{
	yyjson_val *rate = yyjson_obj_get(row, "rate_per_s");
	struct counted counted = {
		.row = row,
		.count = yyjson_get_uint(yyjson_obj_get(row, "count")),
		.rate = yyjson_is_num(rate) ? yyjson_get_num(rate) : -1,
	};
	uint64_t before;

	if (!look->previous || look->elapsed_s <= 0)
		return counted;
	before = previous_count(row, list, look);
	counted.rate = (double)(counted.count < before ? counted.count : counted.count - before) /
		       look->elapsed_s;
	return counted;
}

/* What rises fastest first, then what was counted most. */
static int by_rate(const void *a, const void *b)
{
	const struct counted *left = a, *right = b;

	if (left->rate != right->rate)
		return left->rate < right->rate ? 1 : -1;
	if (left->count != right->count)
		return left->count < right->count ? 1 : -1;
	return 0;
}

static void count_cells(struct render_table *table, const struct counted *counted, bool has_verdict,
	const struct render_look *look)
{
	yyjson_val *seen = yyjson_obj_get(counted->row, "last_seen_at");
	struct render_value text;

	render_table_cell(table, "%s", render_get(counted->row, "where", &text));
	render_table_cell(table, "%s", render_get(counted->row, "reason", &text));
	render_table_cell(table, "%s", render_get(counted->row, "count", &text));
	if (counted->rate >= 0)
		render_table_cell(table, "%.1f", counted->rate);
	else
		render_table_cell(table, "%s", "");
	if (yyjson_is_num(seen))
		render_table_cell(table, "%s ago",
			render_get_ago(counted->row, "last_seen_at", look->now_unix_s, &text));
	else
		render_table_cell(table, "%s", "");
	render_table_cell(table, "%s",
		has_verdict ? render_get_or_empty(counted->row, "verdict", &text) : "");
	render_table_cell(table, "%s", render_get_or_empty(counted->row, "help", &text));
}

static void put_counts(yyjson_val *root, const char *list, const char *nothing,
	const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"WHERE", RENDER_TEXT},
		{"REASON", RENDER_TEXT}, {"COUNT", RENDER_NUMBER}, {"PER SECOND", RENDER_NUMBER},
		{"LAST SEEN", RENDER_NUMBER}, {"VERDICT", RENDER_TEXT},
		{"WHAT IT MEANS", RENDER_FLEXIBLE}};
	yyjson_val *rows = yyjson_obj_get(root, list), *row;
	struct counted *shown = mem_alloc((yyjson_arr_size(rows) + 1) * sizeof(*shown));
	struct render_table table;
	size_t i, n, n_shown = 0;

	render_table_init(&table, columns, array_len(columns));
	yyjson_arr_foreach(rows, i, n, row)
	{
		if (look->all || yyjson_get_uint(yyjson_obj_get(row, "count")) > 0)
			shown[n_shown++] = count_row(row, list, look);
	}
	qsort(shown, n_shown, sizeof(*shown), by_rate);
	for (i = 0; i < n_shown; i++)
		count_cells(&table, &shown[i], strcmp(list, "counters") == 0, look);
	print_or_say(&table, look->all ? "no reasons" : nothing, look, out);
	free(shown);
}

void render_drops(yyjson_val *root, const struct render_look *look, FILE *out)
{
	put_counts(root, "drops", "nothing was dropped", look, out);
}

void render_counters(yyjson_val *root, const struct render_look *look, FILE *out)
{
	put_counts(root, "counters", "nothing was counted", look, out);
}

/* --- top */

void render_top(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column sources[] = {{"SOURCE", RENDER_TEXT},
		{"RELEASED", RENDER_NUMBER}, {"REFUSED", RENDER_NUMBER}, {"DROPPED", RENDER_NUMBER},
		{"AT MOST TOO MUCH", RENDER_NUMBER}};
	static const struct render_column names[] = {{"SERVER NAME", RENDER_TEXT},
		{"RELEASED", RENDER_NUMBER}, {"REFUSED", RENDER_NUMBER},
		{"AT MOST TOO MUCH", RENDER_NUMBER}};
	static const struct render_column ja4[] = {{"JA4", RENDER_TEXT},
		{"RELEASED", RENDER_NUMBER}, {"REFUSED", RENDER_NUMBER},
		{"AT MOST TOO MUCH", RENDER_NUMBER}};
	yyjson_val *kind = yyjson_obj_get(root, "kind"), *row;
	bool has_dropped = yyjson_equals_str(kind, "sources");
	struct render_table table;
	struct render_value text;
	size_t i, n;

	if (has_dropped)
		render_table_init(&table, sources, array_len(sources));
	else if (yyjson_equals_str(kind, "ja4"))
		render_table_init(&table, ja4, array_len(ja4));
	else
		render_table_init(&table, names, array_len(names));
	yyjson_arr_foreach(yyjson_obj_get(root, "rows"), i, n, row)
	{
		render_table_cell(&table, "%s", render_get(row, "key", &text));
		render_table_cell(&table, "%s", render_get(row, "released", &text));
		render_table_cell(&table, "%s", render_get(row, "refused", &text));
		if (has_dropped)
			render_table_cell(&table, "%s", render_get(row, "dropped", &text));
		render_table_cell(&table, "%s",
			yyjson_get_uint(yyjson_obj_get(row, "error")) > 0
				? render_get(row, "error", &text)
				: "");
	}
	print_or_say(&table, "nobody has connected in the last minutes", look, out);
}

/* --- lists */

static void put_list_counts(yyjson_val *root, const struct render_look *look, FILE *out)
{
	yyjson_val *counts = yyjson_obj_get(root, "counts");
	struct render_value text;

	fprintf(out, "%s list: ", render_get(root, "list", &text));
	fprintf(out, "%s from the configuration", render_get(counts, "config", &text));
	fprintf(out, ", %s from a file", render_get(counts, "file", &text));
	fprintf(out, ", %s added at run time", render_get(counts, "api", &text));
	if (yyjson_is_num(yyjson_obj_get(root, "changed_at")))
		fprintf(out, "; changed %s ago",
			render_get_ago(root, "changed_at", look->now_unix_s, &text));
	if (yyjson_is_true(yyjson_obj_get(root, "changing")))
		fputs("; a change is being put in force", out);
	putc('\n', out);
	if (*render_get_or_empty(root, "error", &text)) {
		fputs("last change: ", out);
		render_text(text.text, out);
		putc('\n', out);
	}
}

static int by_hits(const void *a, const void *b)
{
	yyjson_val *const *left = a, *const *right = b;
	uint64_t left_hits = yyjson_get_uint(yyjson_obj_get(*left, "hits"));
	uint64_t right_hits = yyjson_get_uint(yyjson_obj_get(*right, "hits"));

	if (left_hits != right_hits)
		return left_hits < right_hits ? 1 : -1;
	return *left < *right ? -1 : *left > *right; /* as they came: a document is one block */
}

static void list_row(struct render_table *table, yyjson_val *row, const struct render_look *look)
{
	yyjson_val *expires = yyjson_obj_get(row, "expires_at");
	struct render_value text;

	render_table_cell(table, "%s", render_get(row, "prefix", &text));
	render_table_cell(table, "%s", render_get(row, "source", &text));
	render_table_cell(table, "%s",
		yyjson_is_num(expires)
			? render_duration(
				  (int64_t)yyjson_get_num(expires) - look->now_unix_s, &text)
			: "");
	render_table_cell(table, "%s", render_get_or_empty(row, "hits", &text));
}

void render_list(yyjson_val *root, const struct render_look *look, FILE *out)
{
	static const struct render_column columns[] = {{"PREFIX", RENDER_TEXT},
		{"FROM", RENDER_TEXT}, {"EXPIRES IN", RENDER_NUMBER}, {"HITS", RENDER_NUMBER}};
	yyjson_val *entries = yyjson_obj_get(root, "entries"), *row, **rows;
	struct render_table table;
	size_t i, n, n_rows = 0;

	put_list_counts(root, look, out);
	rows = mem_alloc((yyjson_arr_size(entries) + 1) * sizeof(*rows));
	yyjson_arr_foreach(entries, i, n, row)
	{
		rows[n_rows++] = row;
	}
	if (yyjson_is_true(yyjson_obj_get(root, "hits_counted")))
		qsort(rows, n_rows, sizeof(*rows), by_hits);
	render_table_init(&table, columns, array_len(columns));
	for (i = 0; i < n_rows; i++)
		list_row(&table, rows[i], look);
	free(rows);
	print_or_say(&table, "no entries", look, out);
}

void render_list_change(yyjson_val *root, const struct render_look *look, FILE *out)
{
	struct render_value text;

	if (yyjson_obj_get(root, "entries")) {
		fprintf(out, "%s list: ", render_get(root, "list", &text));
		fprintf(out, "%s entries in force, imported\n", render_get(root, "entries", &text));
		return;
	}
	fprintf(out, "%s list: ", render_get(root, "list", &text));
	fprintf(out, "%s added", render_get(root, "added", &text));
	fprintf(out, ", %s deleted\n", render_get(root, "deleted", &text));
}

void render_hits(yyjson_val *root, const struct render_look *look, FILE *out)
{
	fputs(yyjson_is_true(yyjson_obj_get(root, "hits_counted"))
			? "hits are counted for every denied prefix\n"
			: "hits are not counted any more\n",
		out);
}

void render_rotated(yyjson_val *root, const struct render_look *look, FILE *out)
{
	fputs("a new secret signs SYN cookies; the one before is believed for some minutes\n", out);
}

/* --- drops as they happen */

enum { WATCH_SOURCE_COLUMNS = 22, WATCH_TARGET_COLUMNS = 22, WATCH_REASON_COLUMNS = 24 };

void render_watch_titles(FILE *out)
{
	fprintf(out, "%-12s  %-6s  %-*s  %-*s  %-*s  %6s  %s\n", "TIME", "WHERE",
		WATCH_REASON_COLUMNS, "REASON", WATCH_SOURCE_COLUMNS, "SOURCE",
		WATCH_TARGET_COLUMNS, "DESTINATION", "DROPS", "WHAT IS KNOWN");
}

/* "192.0.2.1:443", "[2001:db8::1]:443", "-". */
static const char *address_text(
	yyjson_val *root, const char *name, const char *port_name, struct render_value *ret_text)
{
	struct render_value host, port;

	if (!*render_get_or_empty(root, name, &host))
		snprintf(ret_text->text, sizeof(ret_text->text), "-");
	else
		snprintf(ret_text->text, sizeof(ret_text->text),
			strchr(host.text, ':') ? "[%.64s]:%.8s" : "%.64s:%.8s", host.text,
			render_get(root, port_name, &port));
	return ret_text->text;
}

static const char *clock_text(yyjson_val *at, char text[static 32])
{
	double seconds = yyjson_get_num(at);
	time_t whole = (time_t)seconds;
	struct tm local;
	size_t len = 0;

	if (yyjson_is_num(at) && localtime_r(&whole, &local))
		len = strftime(text, 16, "%H:%M:%S", &local);
	if (len == 0)
		return "-";
	snprintf(text + len, 16, ".%03d", (int)((seconds - (double)whole) * 1000) % 1000);
	return text;
}

/* "listener web, interface eth0, SYN, 60 bytes, name www.example.org, t13d1516h2_..." */
static void put_known(yyjson_val *root, FILE *out)
{
	static const char *const rows[][2] = {{"listener", "listener "}, {"server_name", "name "},
		{"ja4", ""}, {"interface", ""}, {"tcp_flags", ""}};
	const char *gap = "";
	struct render_value text;

	for (size_t i = 0; i < array_len(rows); i++) {
		if (!*render_get_or_empty(root, rows[i][0], &text))
			continue;
		fprintf(out, "%s%s", gap, rows[i][1]);
		render_text(text.text, out);
		gap = ", ";
	}
	if (*render_get_or_empty(root, "length_bytes", &text))
		fprintf(out, "%s%s bytes", gap, text.text);
	putc('\n', out);
}

void render_watch_line(yyjson_val *root, FILE *out)
{
	struct render_value where, reason, source, target, weight;
	char clock[32];

	if (yyjson_obj_get(root, "lost")) {
		fprintf(out, "... %s lines were lost: this reader is too slow\n",
			render_get(root, "lost", &weight));
		return;
	}
	fprintf(out, "%-12s  ", clock_text(yyjson_obj_get(root, "at"), clock));
	fprintf(out, "%-6s  ", render_get(root, "where", &where));
	fprintf(out, "%-*s  ", WATCH_REASON_COLUMNS, render_get(root, "reason", &reason));
	fprintf(out, "%-*s  ", WATCH_SOURCE_COLUMNS,
		address_text(root, "source", "source_port", &source));
	fprintf(out, "%-*s  ", WATCH_TARGET_COLUMNS,
		address_text(root, "destination", "destination_port", &target));
	fprintf(out, "%6s  ", render_get(root, "weight", &weight));
	put_known(root, out);
}
