/*
 * JSON as YAML: block style for what holds something, plain scalars only where no reader could
 * take them for anything but that string (YAML 1.1's words and sexagesimal numbers included),
 * literal blocks for texts of several lines, else double quotes, which in YAML take JSON's escapes.
 */
#include "control/render.h"

#include <string.h>
#include <strings.h>
#include <stdlib.h>

enum { INDENT = 2 };

static void put_value(yyjson_val *value, int indent, FILE *out);

/* Words that YAML 1.1 or 1.2 reads as null, a boolean or a number. */
static bool is_special_word(const char *text, size_t len)
{
	static const char *const words[] = {"null", "true", "false", "yes", "no", "on", "off", "y",
		"n", ".inf", "-.inf", "+.inf", ".nan", "~", "=", "<<"};

	for (size_t i = 0; i < array_len(words); i++) {
		if (strlen(words[i]) == len && strncasecmp(words[i], text, len) == 0)
			return true;
	}
	return false;
}

/* Letters, digits and a few signs, with no sign in a place where YAML gives it a meaning. What
 * begins like a number (a date, a time, an address) is quoted: that costs nothing. */
static bool is_plain(const char *text, size_t len)
{
	if (len == 0 || is_special_word(text, len))
		return false;
	if (!strchr("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_/", text[0]))
		return false;
	for (size_t i = 0; i < len; i++) {
		char c = text[i];

		if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
			continue;
		if (c == '\0' || !strchr("_-/.+@%=(),; ", c))
			return false;
	}
	return text[len - 1] != ' ';
}

/* Characters of several bytes that a reader would take for a line end, a control or nothing at all.
 * The bytes it used, 0 if the one at `text` is none of them. */
static size_t put_invisible(const char *text, size_t len, FILE *out)
{
	if (len >= 2 && text[0] == '\xc2' && (unsigned char)text[1] < 0xa0) {
		fprintf(out, "\\x%02x", (unsigned char)text[1]);
		return 2;
	}
	if (len >= 3 &&
		(memcmp(text, "\xe2\x80\xa8", 3) == 0 || memcmp(text, "\xe2\x80\xa9", 3) == 0)) {
		fputs(text[2] == '\xa8' ? "\\u2028" : "\\u2029", out);
		return 3;
	}
	if (len >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) {
		fputs("\\ufeff", out);
		return 3;
	}
	return 0;
}

static void put_quoted(const char *text, size_t len, FILE *out)
{
	putc('"', out);
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];
		size_t invisible = put_invisible(text + i, len - i, out);

		if (invisible > 0) {
			i += invisible - 1;
			continue;
		}
		if (c == '"' || c == '\\')
			fprintf(out, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", out);
		else if (c == '\t')
			fputs("\\t", out);
		else if (c < 0x20 || c == 0x7f)
			fprintf(out, "\\x%02x", c);
		else
			putc(c, out);
	}
	putc('"', out);
}

/* Several lines of printable text, the first of which does not begin with a space (a literal
 * block takes its depth from it), without spaces at a line's end that nobody would see. */
static bool is_block(const char *text, size_t len)
{
	if (!memchr(text, '\n', len) || text[0] == ' ' || text[0] == '\n')
		return false;
	for (size_t i = 0; i < len; i++) {
		unsigned char c = (unsigned char)text[i];

		if ((c < 0x20 && c != '\n') || c == 0x7f || c == 0xc2 || c == 0xe2 || c == 0xef)
			return false; /* also what may be C1 controls, line separators, a BOM */
		if (c == ' ' && (i + 1 == len || text[i + 1] == '\n'))
			return false;
	}
	return true;
}

/* The indicator behind '|' says what becomes of the line ends after the text. */
static void put_block(const char *text, size_t len, int indent, FILE *out)
{
	const char *keep = text[len - 1] != '\n'              ? "-"
			   : len > 1 && text[len - 2] == '\n' ? "+"
							      : "";

	fprintf(out, "|%s\n", keep);
	for (size_t i = 0; i < len;) {
		const char *end = memchr(text + i, '\n', len - i);
		size_t line = end ? (size_t)(end - (text + i)) : len - i;

		if (line > 0)
			fprintf(out, "%*s", indent, "");
		fwrite(text + i, 1, line, out);
		putc('\n', out);
		i += line + 1;
	}
}

/* YAML 1.1 wants a point and a sign in numbers with an exponent: 1.0e+300. */
static void put_number(const char *json, FILE *out)
{
	const char *exponent = strpbrk(json, "eE");

	if (!exponent) {
		fputs(json, out);
		return;
	}
	fwrite(json, 1, (size_t)(exponent - json), out);
	if (!memchr(json, '.', (size_t)(exponent - json)))
		fputs(".0", out);
	fprintf(out, "e%s%s", exponent[1] == '-' || exponent[1] == '+' ? "" : "+", exponent + 1);
}

/* A scalar and its line end. */
static void put_scalar(yyjson_val *value, int indent, FILE *out)
{
	const char *text = yyjson_get_str(value);
	size_t len = yyjson_get_len(value);
	char *json;

	if (text && is_block(text, len)) {
		put_block(text, len, indent, out);
		return;
	}
	if (!text) {
		json = yyjson_val_write(value, 0, NULL); /* numbers, booleans, null, {} and [] */
		if (yyjson_is_num(value) && json)
			put_number(json, out);
		else
			fputs(json ? json : "null", out);
		free(json);
	} else if (is_plain(text, len)) {
		fwrite(text, 1, len, out);
	} else {
		put_quoted(text, len, out);
	}
	putc('\n', out);
}

static void put_key(yyjson_val *key, FILE *out)
{
	const char *text = yyjson_get_str(key);
	size_t len = yyjson_get_len(key);

	if (is_plain(text, len))
		fwrite(text, 1, len, out);
	else
		put_quoted(text, len, out);
	putc(':', out);
}

static bool holds_something(yyjson_val *value)
{
	return yyjson_is_ctn(value) && yyjson_get_len(value) > 0;
}

static void put_object(yyjson_val *object, int indent, FILE *out)
{
	yyjson_val *key, *value;
	size_t i, n;

	yyjson_obj_foreach(object, i, n, key, value)
	{
		if (i > 0)
			fprintf(out, "%*s", indent, "");
		put_key(key, out);
		if (holds_something(value)) {
			fprintf(out, "\n%*s", indent + INDENT, "");
			put_value(value, indent + INDENT, out);
		} else {
			putc(' ', out);
			put_scalar(value, indent + INDENT, out);
		}
	}
}

static void put_list(yyjson_val *list, int indent, FILE *out)
{
	yyjson_val *value;
	size_t i, n;

	yyjson_arr_foreach(list, i, n, value)
	{
		if (i > 0)
			fprintf(out, "%*s", indent, "");
		fputs("- ", out);
		put_value(value, indent + INDENT, out);
	}
}

/* The cursor stands at column `indent`; ends at the start of a line. */
static void put_value(yyjson_val *value, int indent, FILE *out)
{
	if (!holds_something(value))
		put_scalar(value, indent, out);
	else if (yyjson_is_obj(value))
		put_object(value, indent, out);
	else
		put_list(value, indent, out);
}

void render_yaml(yyjson_val *value, FILE *out)
{
	if (holds_something(value))
		put_value(value, 0, out);
	else
		put_scalar(value, INDENT, out);
}
