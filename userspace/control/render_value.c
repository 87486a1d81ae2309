/* Single values as short texts: see render_value.h. */
#include "control/render_value.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static const char *set(struct render_value *value, const char *text)
{
	snprintf(value->text, sizeof(value->text), "%s", text);
	return value->text;
}

static const char *print_json(yyjson_val *json, const char *missing, struct render_value *ret_text)
{
	char *text = ret_text->text;

	if (yyjson_is_str(json))
		return set(ret_text, yyjson_get_str(json));
	if (yyjson_is_bool(json))
		return set(ret_text, yyjson_get_bool(json) ? "yes" : "no");
	if (yyjson_is_uint(json))
		snprintf(text, sizeof(ret_text->text), "%" PRIu64, yyjson_get_uint(json));
	else if (yyjson_is_sint(json))
		snprintf(text, sizeof(ret_text->text), "%" PRId64, yyjson_get_sint(json));
	else if (yyjson_is_real(json))
		snprintf(text, sizeof(ret_text->text), "%.1f", yyjson_get_real(json));
	else
		set(ret_text, missing);
	return text;
}

const char *render_get(yyjson_val *object, const char *member, struct render_value *ret_text)
{
	return print_json(yyjson_obj_get(object, member), "-", ret_text);
}

const char *render_get_or_empty(
	yyjson_val *object, const char *member, struct render_value *ret_text)
{
	return print_json(yyjson_obj_get(object, member), "", ret_text);
}

const char *render_get_bytes(yyjson_val *object, const char *member, struct render_value *ret_text)
{
	static const char units[] = "BKMGTPE";
	yyjson_val *json = yyjson_obj_get(object, member);
	double size = yyjson_get_num(json);
	int unit = 0;

	if (!yyjson_is_num(json))
		return set(ret_text, "-");
	while (size >= 1023.95 && units[unit + 1]) {
		size /= 1024;
		unit++;
	}
	snprintf(ret_text->text, sizeof(ret_text->text), "%.*f%c", unit > 0, size, units[unit]);
	return ret_text->text;
}

const char *render_get_us(yyjson_val *object, const char *member, struct render_value *ret_text)
{
	yyjson_val *json = yyjson_obj_get(object, member);
	double us = yyjson_get_num(json);

	if (!yyjson_is_num(json))
		return set(ret_text, "-");
	if (us < 1000)
		snprintf(ret_text->text, sizeof(ret_text->text), "%.0fus", us);
	else if (us < 1e6)
		snprintf(ret_text->text, sizeof(ret_text->text), "%.1fms", us / 1e3);
	else
		snprintf(ret_text->text, sizeof(ret_text->text), "%.1fs", us / 1e6);
	return ret_text->text;
}

const char *render_get_list(yyjson_val *object, const char *member, struct render_value *ret_text)
{
	yyjson_val *list = yyjson_obj_get(object, member), *item;
	size_t used = 0, i, n;

	set(ret_text, "");
	yyjson_arr_foreach(list, i, n, item)
	{
		const char *text = yyjson_get_str(item);
		size_t room = sizeof(ret_text->text) - used;
		int len = snprintf(ret_text->text + used, room, "%s%s", used > 0 ? ", " : "",
			text ? text : "?");

		if ((size_t)len >= room) /* cut: a table would not show it anyway */
			break;
		used += (size_t)len;
	}
	return ret_text->text;
}

const char *render_duration(int64_t seconds, struct render_value *ret_text)
{
	char *text = ret_text->text;
	size_t size = sizeof(ret_text->text);
	int64_t minutes = seconds / 60, hours = seconds / 3600;

	if (seconds < 0)
		return set(ret_text, "0s");
	if (seconds < 60)
		snprintf(text, size, "%" PRId64 "s", seconds);
	else if (seconds < 3600)
		snprintf(text, size, "%" PRId64 "m%02" PRId64 "s", minutes, seconds % 60);
	else if (hours < 24)
		snprintf(text, size, "%" PRId64 "h%02" PRId64 "m", hours, minutes % 60);
	else
		snprintf(text, size, "%" PRId64 "d%" PRId64 "h", hours / 24, hours % 24);
	return text;
}

const char *render_get_ago(
	yyjson_val *object, const char *member, int64_t now_unix_s, struct render_value *ret_text)
{
	yyjson_val *json = yyjson_obj_get(object, member);

	if (!yyjson_is_num(json))
		return set(ret_text, "-");
	return render_duration(now_unix_s - (int64_t)yyjson_get_num(json), ret_text);
}

void render_get_rows(struct render_table *table, yyjson_val *rows, const char *const members[])
{
	struct render_value text;
	yyjson_val *row;
	size_t i, n, at;

	yyjson_arr_foreach(rows, i, n, row)
	{
		for (at = 0; at < table->n_columns; at++)
			render_table_cell(table, "%s", render_get(row, members[at], &text));
	}
}

const char *render_get_date(yyjson_val *object, const char *member, struct render_value *ret_text)
{
	yyjson_val *json = yyjson_obj_get(object, member);
	time_t when = (time_t)yyjson_get_num(json);
	struct tm utc;

	if (!yyjson_is_num(json) || !gmtime_r(&when, &utc) ||
		strftime(ret_text->text, sizeof(ret_text->text), "%Y-%m-%d", &utc) == 0)
		return set(ret_text, "-");
	return ret_text->text;
}
