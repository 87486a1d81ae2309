/*
 * Single values of the admin API as short texts for a table cell: numbers, sizes, durations,
 * dates, lists. Every function writes into the caller's text and returns it. Any thread.
 */
#ifndef SLUICE_CONTROL_RENDER_VALUE_H
#define SLUICE_CONTROL_RENDER_VALUE_H

#include "control/render_table.h"

#include <stdint.h>
#include <yyjson.h>

enum { RENDER_VALUE_BYTES = 1024 };

struct render_value {
	char text[RENDER_VALUE_BYTES];
};

/* The member's text, number, yes or no; "-" if it is missing or null. */
const char *render_get(yyjson_val *object, const char *member, struct render_value *ret_text);
/* As above, but "" for what is missing, so that a column of nothing vanishes. */
const char *render_get_or_empty(
	yyjson_val *object, const char *member, struct render_value *ret_text);
/* A line of the table for each object of the list: one member, as render_get() shows it, per column. */
void render_get_rows(struct render_table *table, yyjson_val *rows, const char *const members[]);
/* 1536 is "1.5K". */
const char *render_get_bytes(yyjson_val *object, const char *member, struct render_value *ret_text);
/* Microseconds: "850us", "1.3ms", "2.0s". */
const char *render_get_us(yyjson_val *object, const char *member, struct render_value *ret_text);
/* A list of strings, joined with ", ". */
const char *render_get_list(yyjson_val *object, const char *member, struct render_value *ret_text);
/* A point in time: how long before `now_unix_s` ("3m12s"). */
const char *render_get_ago(
	yyjson_val *object, const char *member, int64_t now_unix_s, struct render_value *ret_text);
/* A point in time: "2027-01-31" (UTC). */
const char *render_get_date(yyjson_val *object, const char *member, struct render_value *ret_text);
/* Seconds: "42s", "3m12s", "5h02m", "12d4h". */
const char *render_duration(int64_t seconds, struct render_value *ret_text);

#endif
