/* Problem details: see admin_problem.h. */
#include "control/admin_problem.h"

#include "core/slice.h"
#include "http/message.h"

#include <ctype.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* A line of config_errors_print(): "SOURCE:LINE:COLUMN: SETTING: WHAT"; place and setting may be missing.
 * Names of sources may have colons themselves. */
struct line {
	struct slice source, field, detail;
	uint32_t line, column; /* 0: not known */
};

/* ":LINE:COLUMN: " at `at`; its length, 0: it is something else. */
static size_t place_len(const char *at, const char *end, uint32_t *ret_line, uint32_t *ret_column)
{
	const char *c = at;
	uint32_t numbers[2];

	for (int i = 0; i < 2; i++) {
		if (end - c < 2 || c[0] != ':' || !isdigit((unsigned char)c[1]))
			return 0;
		c++;
		numbers[i] = (uint32_t)strtoul(c, NULL, 10);
		while (c != end && isdigit((unsigned char)*c))
			c++;
	}
	if (end - c < 2 || c[0] != ':' || c[1] != ' ')
		return 0;
	*ret_line = numbers[0];
	*ret_column = numbers[1];
	return (size_t)(c + 2 - at);
}

/* "listeners[web].tls.policy: " has no spaces and begins like a name. */
static size_t field_len(struct slice text)
{
	size_t len = 0;

	while (len < text.len && text.ptr[len] != ' ')
		len++;
	if (len < 2 || len == text.len || text.ptr[len - 1] != ':' ||
		!islower((unsigned char)text.ptr[0]))
		return 0;
	return len - 1;
}

static struct slice behind(struct slice text, size_t n)
{
	return (struct slice){text.ptr + n, text.len - n};
}

static struct line split(struct slice text)
{
	struct line line = {.detail = text};
	size_t len;

	for (size_t i = 0; i < text.len; i++) {
		len = place_len(text.ptr + i, text.ptr + text.len, &line.line, &line.column);
		if (!len)
			continue;
		line.source = (struct slice){text.ptr, i};
		line.detail = behind(text, i + len);
		break;
	}
	len = field_len(line.detail);
	if (!len)
		return line;
	line.field = (struct slice){line.detail.ptr, len};
	line.detail = behind(line.detail, len + 2);
	return line;
}

static void add_text(
	yyjson_mut_doc *doc, yyjson_mut_val *object, const char *name, struct slice text)
{
	if (text.len)
		yyjson_mut_obj_add_strncpy(doc, object, name, text.ptr, text.len);
}

static void add_line(yyjson_mut_doc *doc, yyjson_mut_val *list, yyjson_mut_val *text)
{
	struct line line =
		split((struct slice){yyjson_mut_get_str(text), yyjson_mut_get_len(text)});
	yyjson_mut_val *row = yyjson_mut_arr_add_obj(doc, list);

	add_text(doc, row, "detail", line.detail);
	add_text(doc, row, "field", line.field);
	add_text(doc, row, "source", line.source);
	if (!line.line)
		return;
	yyjson_mut_obj_add_uint(doc, row, "line", line.line);
	yyjson_mut_obj_add_uint(doc, row, "column", line.column);
}

static void add_members(
	yyjson_mut_doc *doc, yyjson_mut_val *root, yyjson_mut_val *error, unsigned int http_status)
{
	const char *code = yyjson_mut_get_str(yyjson_mut_obj_get(error, "code"));
	const char *message = yyjson_mut_get_str(yyjson_mut_obj_get(error, "message"));
	yyjson_mut_val *list, *text;
	struct slice title = http_status_reason(http_status);
	size_t i, n;

	yyjson_mut_obj_add_str(doc, root, "type", "about:blank");
	yyjson_mut_obj_add_strncpy(doc, root, "title", title.ptr, title.len);
	yyjson_mut_obj_add_uint(doc, root, "status", http_status);
	yyjson_mut_obj_add_strcpy(doc, root, "detail", message);
	yyjson_mut_obj_add_strcpy(doc, root, "code", code);
	if (!yyjson_mut_obj_get(error, "errors"))
		return;
	list = yyjson_mut_obj_add_arr(doc, root, "errors");
	yyjson_mut_arr_foreach(yyjson_mut_obj_get(error, "errors"), i, n, text)
		add_line(doc, list, text);
}

bool admin_problem_complete(yyjson_mut_doc *doc, unsigned int http_status)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
	yyjson_mut_val *error = yyjson_mut_obj_get(root, "error");

	if (!yyjson_mut_is_str(yyjson_mut_obj_get(error, "code")) ||
		!yyjson_mut_is_str(yyjson_mut_obj_get(error, "message")))
		return false;
	yyjson_mut_obj_remove_key(root, "error");
	add_members(doc, root, error, http_status);
	yyjson_mut_obj_add_val(doc, root, "error", error);
	return true;
}
