/* Finds the end of an HTTP/1 head; see h1_lines.h. Pure. */
#include "http/h1_lines.h"
#include "http/syntax.h"
#include <errno.h>

static int refuse(enum h1_error error, enum h1_error *ret_error)
{
	*ret_error = error;
	return -EBADMSG;
}

int h1_lines_begin(struct h1_head *head, bool is_request, const char *bytes, size_t len,
	enum h1_error *ret_error)
{
	if (head->scanned > head->start)
		return 0; /* the start line has begun */
	while (is_request && head->start < len && bytes[head->start] == '\r') {
		if (head->start >= 2 * H1_EMPTY_LINES_MAX)
			return refuse(H1_ERROR_EMPTY_LINES, ret_error);
		if (head->start + 1 == len)
			return -EAGAIN;
		if (bytes[head->start + 1] != '\n')
			return refuse(H1_ERROR_START_LINE, ret_error);
		head->start += 2;
	}
	head->line_start = head->scanned = head->start;
	if (head->start == len)
		return -EAGAIN;
	char first = bytes[head->start];

	if (first == '\n')
		return refuse(H1_ERROR_BARE_LF, ret_error);
	if (is_request && !syntax_byte_is(first, SYNTAX_TOKEN))
		return refuse(H1_ERROR_METHOD, ret_error);
	if (!is_request && first != 'H')
		return refuse(H1_ERROR_START_LINE, ret_error);
	return 0;
}

/* The most bytes the current line may have, and what it is if it has more. Both follow from where
 * the line starts alone, so they are the same however the bytes arrive. */
static uint32_t line_max(const struct h1_head *head, const struct h1_limits *limits,
	bool is_request, enum h1_error *ret_over)
{
	uint32_t line = head->lines > 0 ? limits->line_bytes : limits->target_bytes;
	uint32_t used = head->line_start - head->start;
	uint32_t left = limits->head_bytes > used ? limits->head_bytes - used : 0;

	if (head->lines == 0 && is_request)
		*ret_over = H1_ERROR_TARGET_TOO_LONG;
	else
		*ret_over = left < line ? H1_ERROR_HEAD_TOO_LARGE : H1_ERROR_LINE_TOO_LONG;
	return left < line ? left : line;
}

int h1_lines_end(struct h1_head *head, const struct h1_limits *limits, bool is_request,
	const char *bytes, size_t len, enum h1_error *ret_error)
{
	for (;;) {
		const char *lf = memchr(bytes + head->scanned, '\n', len - head->scanned);
		size_t end = lf ? (size_t)(lf - bytes) + 1 : len;
		size_t line_len = end - head->line_start;
		enum h1_error over;
		uint32_t max = line_max(head, limits, is_request, &over);

		if (line_len > max || (!lf && line_len == max))
			return refuse(over, ret_error);
		head->scanned = (uint32_t)end;
		if (!lf)
			return -EAGAIN;
		if (line_len < 2 || lf[-1] != '\r')
			return refuse(H1_ERROR_BARE_LF, ret_error);
		if (line_len == 2)
			return (int)end;
		if (head->lines > limits->headers)
			return refuse(H1_ERROR_TOO_MANY_HEADERS, ret_error);
		head->lines++;
		head->line_start = (uint32_t)end;
	}
}
