/* A table of text cells: see render_table.h. */
#include "control/render_table.h"

#include "core/mem.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum { GAP = 2, FLEXIBLE_MIN = 8 };

/* Bytes of the UTF-8 character at `text`; 1 for a byte that begins none. */
static size_t char_bytes(const char *text)
{
	unsigned char first = (unsigned char)text[0];
	size_t len = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc2 ? 2 : 1;

	for (size_t i = 1; i < len; i++) {
		if (((unsigned char)text[i] & 0xc0) != 0x80)
			return 1;
	}
	return len;
}

/* Control characters (C0, DEL, C1 as U+0080 to U+009F) and what is not UTF-8. */
static bool is_harmful(const char *text, size_t len)
{
	unsigned char first = (unsigned char)text[0];

	if (len == 1)
		return first < 0x20 || first >= 0x7f;
	return first == 0xc2 && (unsigned char)text[1] < 0xa0;
}

static uint32_t text_columns(const char *text)
{
	uint32_t columns = 0;

	for (; *text; text += char_bytes(text))
		columns++;
	return columns;
}

static void put_char(const char *text, size_t len, FILE *out)
{
	if (is_harmful(text, len))
		putc('?', out);
	else
		fwrite(text, 1, len, out);
}

void render_text(const char *text, FILE *out)
{
	for (size_t len; *text; text += len) {
		len = char_bytes(text);
		if (*text == '\n')
			putc('\n', out);
		else
			put_char(text, len, out);
	}
}

void render_table_init(
	struct render_table *table, const struct render_column *columns, uint32_t n_columns)
{
	assert(n_columns > 0 && n_columns <= RENDER_COLUMNS_MAX);
	*table = (struct render_table){.columns = columns, .n_columns = n_columns};
}

void render_table_fini(struct render_table *table)
{
	for (uint32_t i = 0; i < table->n_cells; i++)
		free(table->cells[i]);
	free(table->cells);
	*table = (struct render_table){0};
}

void render_table_cell(struct render_table *table, const char *format, ...)
{
	va_list args;
	char *text = NULL;

	va_start(args, format);
	if (vasprintf(&text, format, args) < 0)
		text = mem_strdup("");
	va_end(args);
	if (table->n_cells == table->max_cells) {
		table->max_cells = table->max_cells ? table->max_cells * 2 : 64;
		table->cells = mem_realloc(table->cells, table->max_cells * sizeof(char *));
	}
	table->cells[table->n_cells++] = text;
}

/* The columns' widths; 0: left out. */
static void measure(const struct render_table *table, uint32_t widths[static RENDER_COLUMNS_MAX])
{
	memset(widths, 0, RENDER_COLUMNS_MAX * sizeof(widths[0]));
	for (uint32_t i = 0; i < table->n_cells; i++) {
		uint32_t column = i % table->n_columns;
		uint32_t columns = text_columns(table->cells[i]);

		if (columns > widths[column])
			widths[column] = columns;
	}
	for (uint32_t i = 0; i < table->n_columns; i++) {
		uint32_t title = text_columns(table->columns[i].title);

		if (widths[i] > 0 && widths[i] < title)
			widths[i] = title;
	}
}

static uint32_t total(const uint32_t *widths, uint32_t n)
{
	uint32_t sum = 0;

	for (uint32_t i = 0; i < n; i++)
		sum += widths[i] > 0 ? widths[i] + GAP : 0;
	return sum > 0 ? sum - GAP : 0;
}

/* Takes from the widest flexible column until it fits or nothing is left to take. */
static void squeeze(const struct render_table *table, uint32_t width, uint32_t *widths)
{
	while (total(widths, table->n_columns) > width) {
		uint32_t widest = table->n_columns;

		for (uint32_t i = 0; i < table->n_columns; i++) {
			if (table->columns[i].kind == RENDER_FLEXIBLE && widths[i] > FLEXIBLE_MIN &&
				(widest == table->n_columns || widths[i] > widths[widest]))
				widest = i;
		}
		if (widest == table->n_columns)
			return;
		widths[widest]--;
	}
}

static void print_cell(
	const char *text, enum render_kind kind, uint32_t width, bool is_last, FILE *out)
{
	uint32_t columns = text_columns(text);
	bool is_cut = columns > width;
	uint32_t shown = is_cut ? width - 1 : columns;
	uint32_t pad = is_cut ? 0 : width - columns;

	for (uint32_t i = 0; kind == RENDER_NUMBER && i < pad; i++)
		putc(' ', out);
	for (uint32_t i = 0; i < shown; i++) {
		size_t len = char_bytes(text);

		put_char(text, len, out);
		text += len;
	}
	if (is_cut)
		fputs("\xe2\x80\xa6", out); /* … */
	for (uint32_t i = 0; kind != RENDER_NUMBER && !is_last && i < pad; i++)
		putc(' ', out);
	if (!is_last)
		fprintf(out, "%*s", GAP, "");
}

static uint32_t last_column(const struct render_table *table, const uint32_t *widths)
{
	uint32_t last = 0;

	for (uint32_t i = 0; i < table->n_columns; i++) {
		if (widths[i] > 0)
			last = i;
	}
	return last;
}

/* `cells` NULL: the titles. */
static void print_row(
	const struct render_table *table, char *const *cells, const uint32_t *widths, FILE *out)
{
	uint32_t last = last_column(table, widths);

	for (uint32_t i = 0; i < table->n_columns; i++) {
		if (widths[i] > 0)
			print_cell(cells ? cells[i] : table->columns[i].title,
				table->columns[i].kind, widths[i], i == last, out);
	}
	putc('\n', out);
}

void render_table_print(const struct render_table *table, uint32_t width, FILE *out)
{
	uint32_t widths[RENDER_COLUMNS_MAX];

	assert(table->n_cells % table->n_columns == 0);
	if (table->n_cells == 0)
		return;
	measure(table, widths);
	if (width > 0)
		squeeze(table, width, widths);
	print_row(table, NULL, widths, out);
	for (uint32_t i = 0; i < table->n_cells; i += table->n_columns)
		print_row(table, table->cells + i, widths, out);
}
