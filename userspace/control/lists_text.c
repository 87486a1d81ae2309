/* Lines of prefixes: see lists_text.h. */
#include "control/lists_text.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum {
	TEXT_LINE_BYTES = DP_PREFIX_TEXT_BYTES + sizeof(" until ") + LISTS_TIME_TEXT_BYTES,
	TEXT_MAX_BYTES = 256 << 20,
};

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The next word of the line, "" at its end; a word may be a comment's first. */
static struct slice next_word(struct slice *line)
{
	struct slice word;

	while (line->len && is_space(*line->ptr))
		*line = (struct slice){line->ptr + 1, line->len - 1};
	word = (struct slice){line->ptr, 0};
	while (word.len < line->len && !is_space(word.ptr[word.len]))
		word.len++;
	*line = (struct slice){line->ptr + word.len, line->len - word.len};
	return word;
}

static struct slice next_line(struct slice *text)
{
	const char *end = memchr(text->ptr, '\n', text->len);
	struct slice line = {text->ptr, end ? (size_t)(end - text->ptr) : text->len};
	size_t step = line.len + (end != NULL);

	*text = (struct slice){text->ptr + step, text->len - step};
	return line;
}

static void cut_comment(struct slice *line)
{
	const char *comment = memchr(line->ptr, '#', line->len);

	if (comment)
		line->len = (size_t)(comment - line->ptr);
}

int lists_time_parse(struct slice text, int64_t *ret_unix_s)
{
	char copy[LISTS_TIME_TEXT_BYTES], again[LISTS_TIME_TEXT_BYTES];
	struct tm tm = {};
	int64_t unix_s;

	if (text.len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	if (!strptime(copy, "%Y-%m-%dT%H:%M:%SZ", &tm))
		return -EINVAL;
	unix_s = timegm(&tm);
	lists_time_print(unix_s, again);
	if (strcmp(copy, again) !=
		0) /* 31 February, and whatever else strptime() is lenient about */
		return -EINVAL;
	*ret_unix_s = unix_s;
	return 0;
}

void lists_time_print(int64_t unix_s, char ret_text[LISTS_TIME_TEXT_BYTES])
{
	time_t at = (time_t)unix_s;
	struct tm tm;

	if (!gmtime_r(&at, &tm) ||
		!strftime(ret_text, LISTS_TIME_TEXT_BYTES, "%Y-%m-%dT%H:%M:%SZ", &tm))
		snprintf(ret_text, LISTS_TIME_TEXT_BYTES, "?");
}

/* What follows the prefix. */
static int parse_rest(struct slice line, const struct lists_text_spec *spec,
	struct lists_entry *entry, struct err *err)
{
	struct slice word = next_word(&line);

	if (!word.len)
		return 0;
	if (!spec->expires || !slice_eq(word, SLICE("until")))
		return err_set(err, -EINVAL, "'%.*s' behind the prefix: one prefix per line%s",
			(int)(word.len < 60 ? word.len : 60), word.ptr,
			spec->expires ? ", then 'until' and a time, or nothing" : "");
	word = next_word(&line);
	if (lists_time_parse(word, &entry->expires_unix_s) < 0 || next_word(&line).len)
		return err_set(err, -EINVAL, "'until' takes a time like 2030-01-31T12:00:00Z");
	return 0;
}

/* 1: an entry, 0: an empty line. */
static int parse_line(struct slice line, const struct lists_text_spec *spec,
	struct lists_entry *entry, struct err *err)
{
	struct slice word;
	int code;

	cut_comment(&line);
	word = next_word(&line);
	if (!word.len)
		return 0;
	*entry = (struct lists_entry){.kind = (uint8_t)spec->kind, .source = (uint8_t)spec->source};
	code = dp_prefix_parse(word, &entry->prefix, err);
	if (code == 0)
		code = parse_rest(line, spec, entry, err);
	return code < 0 ? code : 1;
}

static void append(struct lists_entries *entries, size_t *room, const struct lists_entry *entry)
{
	if (entries->count == *room) {
		*room = *room ? *room * 2 : 256;
		entries->rows = mem_realloc(entries->rows, *room * sizeof(*entries->rows));
	}
	entries->rows[entries->count++] = *entry;
}

int lists_text_parse(struct slice text, const struct lists_text_spec *spec,
	struct lists_entries *ret_entries, struct err *err)
{
	struct lists_entries entries = {};
	size_t room = 0, line = 0;
	struct lists_entry entry = {};
	int code = 0;

	while (text.len && code >= 0) {
		line++;
		code = parse_line(next_line(&text), spec, &entry, err);
		if (code > 0 && entries.count == spec->max)
			code = err_set(err, -E2BIG, "more than %zu prefixes", spec->max);
		if (code > 0)
			append(&entries, &room, &entry);
	}
	if (code < 0) {
		lists_entries_free(&entries);
		return err_context(err, code, "%s:%zu", spec->name, line);
	}
	lists_entries_sort(&entries);
	*ret_entries = entries;
	return 0;
}

static int read_all(int fd, const char *name, struct slice *ret_text, struct err *err)
{
	char *bytes = NULL;
	size_t room = 0, len = 0;
	ssize_t got;

	do {
		if (len == room) {
			room = room ? room * 2 : 64 * 1024;
			bytes = mem_realloc(bytes, room);
		}
		got = read(fd, bytes + len, room - len);
		if (got > 0)
			len += (size_t)got;
	} while ((got > 0 || (got < 0 && errno == EINTR)) && len <= TEXT_MAX_BYTES);
	if (got < 0 || len > TEXT_MAX_BYTES) {
		int code = got < 0 ? -errno : -EFBIG;

		free(bytes);
		return err_set(err, code, "%s: %s", name, strerror(-code));
	}
	*ret_text = (struct slice){bytes, len};
	return 0;
}

int lists_text_read(
	const struct lists_text_spec *spec, struct lists_entries *ret_entries, struct err *err)
{
	int fd = open(spec->name, O_RDONLY | O_CLOEXEC), code;
	struct slice text = {};

	if (fd < 0)
		return err_set(err, -errno, "%s: %s", spec->name, strerror(errno));
	code = read_all(fd, spec->name, &text, err);
	close(fd);
	if (code < 0)
		return code;
	code = lists_text_parse(text, spec, ret_entries, err);
	free((char *)text.ptr);
	return code;
}

char *lists_text_print(const struct lists_entries *entries, size_t *ret_len)
{
	char *text = mem_alloc(entries->count * TEXT_LINE_BYTES + 1), *pos = text;

	for (size_t i = 0; i < entries->count; i++) {
		char prefix[DP_PREFIX_TEXT_BYTES], until[LISTS_TIME_TEXT_BYTES];

		dp_prefix_print(&entries->rows[i].prefix, prefix);
		pos += sprintf(pos, "%s", prefix);
		if (entries->rows[i].expires_unix_s) {
			lists_time_print(entries->rows[i].expires_unix_s, until);
			pos += sprintf(pos, " until %s", until);
		}
		*pos++ = '\n';
	}
	*pos = '\0';
	*ret_len = (size_t)(pos - text);
	return text;
}
