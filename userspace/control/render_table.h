/*
 * A table of text cells: columns as wide as their widest cell; where the terminal is narrower, the
 * flexible columns give way, the widest first, and end in an ellipsis. A column without any text
 * is left out. Bytes that a terminal would obey (escape sequences) come out as "?". Owned by the
 * caller; one thread at a time.
 */
#ifndef SLUICE_CONTROL_RENDER_TABLE_H
#define SLUICE_CONTROL_RENDER_TABLE_H

#include "core/attr.h"
#include <stdint.h>
#include <stdio.h>

enum { RENDER_COLUMNS_MAX = 24 };

enum render_kind {
	RENDER_TEXT,     /* left */
	RENDER_NUMBER,   /* right */
	RENDER_FLEXIBLE, /* left, may be cut short */
};

struct render_column {
	const char *title;
	enum render_kind kind;
};

struct render_table {
	const struct render_column *columns;
	uint32_t n_columns;
	char **cells; /* row by row */
	uint32_t n_cells, max_cells;
};

void render_table_init(
	struct render_table *table, const struct render_column *columns, uint32_t n_columns);
void render_table_fini(struct render_table *table);
/* The next cell, row by row, left to right. */
void render_table_cell(struct render_table *table, const char *format, ...) printf_like(2, 3);
/* Prints nothing, not even the titles, if there is no row. `width` 0: no limit. */
void render_table_print(const struct render_table *table, uint32_t width, FILE *out);

/* One text, made harmless for a terminal; line ends stay. */
void render_text(const char *text, FILE *out);

#endif
