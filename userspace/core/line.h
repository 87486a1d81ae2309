/*
 * A line of text in the making, in memory that somebody lends: numbers, times and escaped texts
 * without a format to be read each time. What does not fit is left out, and `cut` tells. Any thread,
 * one at a time for each line.
 */
#ifndef SLUICE_CORE_LINE_H
#define SLUICE_CORE_LINE_H

#include "core/slice.h"
#include <stdint.h>

struct line {
	char *bytes;
	size_t len, size;
	bool cut;
};

static inline void line_put(struct line *line, struct slice text)
{
	if (text.len > line->size - line->len) {
		line->cut = true;
		return;
	}
	if (text.len)
		memcpy(line->bytes + line->len, text.ptr, text.len);
	line->len += text.len;
}

static inline void line_put_char(struct line *line, char c)
{
	line_put(line, (struct slice){&c, 1});
}

#define line_put_literal(line, literal) line_put(line, SLICE(literal))

void line_put_number(struct line *line, uint64_t number);
/* 16 digits. */
void line_put_hex(struct line *line, uint64_t number);
/* "1.000250" seconds. */
void line_put_seconds(struct line *line, uint64_t us);
/* "2026-11-22T04:37:00.000000Z". */
void line_put_time(struct line *line, uint64_t unix_us);

/* As within a string of JSON: bytes beyond ASCII become characters of that number. At most `max` bytes
 * are put; what is beyond is cut. */
void line_put_json(struct line *line, struct slice text, size_t max);
/* The same with \xNN for quotes, backslashes and all that is no printable ASCII. */
void line_put_hexed(struct line *line, struct slice text, size_t max);

#endif
