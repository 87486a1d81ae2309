/* Refused heads that can be put in order: see h1_repair.h. */
#include "http/h1_repair.h"
#include "http/syntax.h"
#include <errno.h>

/* A line of the head, with its CR LF. */
struct line {
	uint32_t start, len;
	bool is_dropped;
};

/* As many as the codec lets through: the request line, headers, the empty line. */
enum { LINES_MAX = H1_HEADERS_DEFAULT + 2 };

struct repair {
	char *bytes;
	uint64_t found;
	struct line lines[LINES_MAX];
	uint32_t n;
	struct line *last; /* the header line that one with white space in front continues */
	enum http_header_id last_id;
	struct line *length; /* the first Content-Length */
	uint64_t length_value;
	bool has_coding;
};

/* Fields on which it depends where the request ends or goes: nothing is guessed about them. */
static bool is_vital(enum http_header_id id)
{
	return id == HTTP_HEADER_HOST || id == HTTP_HEADER_CONTENT_LENGTH ||
	       id == HTTP_HEADER_TRANSFER_ENCODING || id == HTTP_HEADER_CONNECTION;
}

static bool is_white(char byte)
{
	return byte == ' ' || byte == '\t';
}

/* The codec has seen to it that the lines end in CR LF and are not too many. */
static bool split(struct repair *repair, uint32_t at, uint32_t end)
{
	while (at < end) {
		const char *lf = memchr(repair->bytes + at, '\n', end - at);
		uint32_t len = lf ? (uint32_t)(lf - (repair->bytes + at)) + 1 : 0;

		if (len < 2 || repair->n == LINES_MAX)
			return false;
		repair->lines[repair->n++] = (struct line){at, len, false};
		at += len;
	}
	return repair->n >= 2 && repair->lines[repair->n - 1].len == 2;
}

/* A space for each control byte (RFC 9110 section 5.5). */
static bool clear_controls(struct repair *repair, char *at, size_t len, enum http_header_id id)
{
	size_t i;

	for (i = 0; i < len; i++) {
		if (syntax_byte_is(at[i], SYNTAX_VALUE))
			continue;
		if (is_vital(id))
			return false;
		at[i] = ' ';
		repair->found |= DESYNC_BIT(control_in_header);
	}
	return true;
}

/* One value, or the same one several times, in one field or in several (RFC 9110 section 8.6). */
static bool take_length(struct repair *repair, struct line *line, char *at, size_t len)
{
	struct slice list = {at, len}, element, first = {0};
	uint64_t value;

	while (syntax_list_next(&list, &element)) {
		if (syntax_number(element, &value) < 0)
			return false;
		if ((repair->length || first.len) && value != repair->length_value)
			return false;
		if (first.len)
			repair->found |= DESYNC_BIT(length_repeated);
		else
			first = element;
		repair->length_value = value;
	}
	if (!first.len || (first.len != syntax_trim((struct slice){at, len}).len &&
				  !(repair->found & DESYNC_BIT(length_repeated))))
		return false;
	memmove(at, first.ptr, first.len);
	memset(at + first.len, ' ', len - first.len);
	if (repair->length) {
		line->is_dropped = true;
		repair->found |= DESYNC_BIT(length_repeated);
	} else {
		repair->length = line;
	}
	return true;
}

/* The space of the line end in front takes the place of it (RFC 9112 section 5.2). */
static bool join(struct repair *repair, struct line *line)
{
	char *at = repair->bytes + line->start;

	if (!repair->last || is_vital(repair->last_id))
		return false;
	repair->found |= DESYNC_BIT(folded_header);
	line->is_dropped = repair->last->is_dropped;
	memset(at - 2, ' ', 2);
	return clear_controls(repair, at, line->len - 2, repair->last_id);
}

static bool take_header(struct repair *repair, struct line *line)
{
	char *at = repair->bytes + line->start;
	size_t len = line->len - 2;
	char *colon = memchr(at, ':', len);
	struct slice name = {at, colon ? (size_t)(colon - at) : 0};
	struct slice value;

	if (is_white(*at))
		return join(repair, line);
	if (!colon || (name.len && !syntax_is_token(name)))
		return false;
	repair->last = line;
	repair->last_id = name.len ? http_header_id(name) : HTTP_HEADER_UNKNOWN;
	if (!name.len) {
		line->is_dropped = true;
		repair->found |= DESYNC_BIT(empty_header);
	}
	value = (struct slice){colon + 1, len - name.len - 1};
	if (!clear_controls(repair, colon + 1, value.len, repair->last_id))
		return false;
	if (repair->last_id == HTTP_HEADER_TRANSFER_ENCODING)
		repair->has_coding = true;
	if (repair->last_id != HTTP_HEADER_CONTENT_LENGTH)
		return true;
	return take_length(repair, line, colon + 1, value.len);
}

/* What is kept moves to the end. Returns by how much the head has become shorter. */
static uint32_t close_gaps(struct repair *repair, uint32_t start, uint32_t end)
{
	uint32_t to = end, i;

	for (i = repair->n; i-- > 0;) {
		const struct line *line = &repair->lines[i];

		if (line->is_dropped)
			continue;
		to -= line->len;
		if (to != line->start)
			memmove(repair->bytes + to, repair->bytes + line->start, line->len);
	}
	return to - start;
}

static bool is_reparable(enum h1_error error)
{
	switch (error) {
	case H1_ERROR_HEADER_NAME:
	case H1_ERROR_HEADER_VALUE:
	case H1_ERROR_FOLDED:
	case H1_ERROR_LENGTH:
	case H1_ERROR_LENGTH_REPEATED:
	case H1_ERROR_LENGTH_AND_CODING:
		return true;
	default:
		return false;
	}
}

int h1_repair(const struct h1_head *head, enum h1_error error, char *bytes, size_t *ret_skip,
	uint64_t *ret_found)
{
	struct repair repair = {.bytes = bytes};
	uint32_t i;

	if (!is_reparable(error) || !split(&repair, head->start, head->scanned))
		return -EBADMSG;
	for (i = 1; i + 1 < repair.n; i++)
		if (!take_header(&repair, &repair.lines[i]))
			return -EBADMSG;
	if (repair.has_coding && repair.length) {
		repair.length->is_dropped = true;
		repair.found |= DESYNC_BIT(length_and_coding);
	}
	if (!repair.found)
		return -EBADMSG;
	*ret_skip = head->start + close_gaps(&repair, head->start, head->scanned);
	*ret_found = repair.found;
	return 0;
}
