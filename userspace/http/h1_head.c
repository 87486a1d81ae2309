/*
 * Heads of HTTP/1 messages; see h1_head.h. The order in which faults are found is fixed: first
 * byte, start line, limits and line ends, headers as llhttp reads them, what they say. A head that
 * comes in pieces has its start line checked as soon as that is whole, which finds nothing that
 * the later parse of the whole head would not have found first.
 */
#include "http/h1_head.h"
#include "http/h1_fields.h"
#include "http/h1_lines.h"
#include "http/h1_start.h"
#include <assert.h>
#include <errno.h>
#include <llhttp.h>

/* One run of llhttp over a whole head. `headers` is NULL when only the start line is checked. */
struct reader {
	llhttp_t parser;
	struct http_headers *headers;
	bool is_full;
};

static int on_name(llhttp_t *parser, const char *at, size_t len)
{
	struct reader *reader = container_of(parser, struct reader, parser);

	reader->is_full =
		http_headers_add(reader->headers, (struct slice){at, len}, (struct slice){0}) < 0;
	return reader->is_full ? HPE_USER : 0;
}

static int on_value(llhttp_t *parser, const char *at, size_t len)
{
	struct reader *reader = container_of(parser, struct reader, parser);
	struct http_header *header = &reader->headers->items[reader->headers->len - 1];

	while (len > 0 && (at[len - 1] == ' ' || at[len - 1] == '\t'))
		len--;
	header->value = (struct slice){at, len};
	return 0;
}

static int on_head_end(llhttp_t *parser)
{
	return HPE_PAUSED;
}

static const llhttp_settings_t whole_head = {
	.on_header_field = on_name,
	.on_header_value = on_value,
	.on_headers_complete = on_head_end,
};
static const llhttp_settings_t start_line_only;

static int refuse(enum h1_error error, enum h1_error *ret_error)
{
	*ret_error = error;
	return -EBADMSG;
}

/* Which rule a header line broke, by the place where llhttp stopped. */
static enum h1_error header_error(const struct reader *reader, const char *line, const char *stop)
{
	bool has_length = reader->headers->present & 1ull << HTTP_HEADER_CONTENT_LENGTH;
	bool has_coding = reader->headers->present & 1ull << HTTP_HEADER_TRANSFER_ENCODING;

	switch (llhttp_get_errno(&reader->parser)) {
	case HPE_UNEXPECTED_CONTENT_LENGTH:
	case HPE_INVALID_CONTENT_LENGTH:
	case HPE_INVALID_TRANSFER_ENCODING:
		if (has_length && has_coding)
			return H1_ERROR_LENGTH_AND_CODING;
		if (has_coding)
			return H1_ERROR_CODING;
		return llhttp_get_errno(&reader->parser) == HPE_UNEXPECTED_CONTENT_LENGTH
			       ? H1_ERROR_LENGTH_REPEATED
			       : H1_ERROR_LENGTH;
	default:
		break;
	}
	const char *lf = memrchr(line, '\n', (size_t)(stop - line));
	const char *first = lf ? lf + 1 : line;

	if (*first == ' ' || *first == '\t')
		return H1_ERROR_FOLDED;
	return memchr(first, ':', (size_t)(stop - first)) ? H1_ERROR_HEADER_VALUE
							  : H1_ERROR_HEADER_NAME;
}

/* Which rule the start line broke that the checks here let through: never a syntax of this file. */
static enum h1_error start_error(const struct reader *reader)
{
	switch (llhttp_get_errno(&reader->parser)) {
	case HPE_INVALID_METHOD:
		return H1_ERROR_METHOD_UNKNOWN;
	case HPE_INVALID_CONSTANT: /* a method of another protocol, or the HTTP/2 preface */
		return reader->parser.type == HTTP_REQUEST ? H1_ERROR_METHOD_UNKNOWN
							   : H1_ERROR_START_LINE;
	case HPE_INVALID_URL:
		return H1_ERROR_TARGET;
	case HPE_INVALID_STATUS:
		return H1_ERROR_STATUS;
	default:
		return H1_ERROR_START_LINE;
	}
}

/* Runs llhttp over bytes[0..len): start line and, with a header list, headers to the empty line.
 * `line_len` is the length of the start line with its end. */
static int reader_run(struct reader *reader, llhttp_type_t type, struct http_headers *headers,
	const char *bytes, size_t line_len, size_t len, enum h1_error *ret_error)
{
	reader->headers = headers;
	reader->is_full = false;
	llhttp_init(&reader->parser, type, headers ? &whole_head : &start_line_only);
	llhttp_errno_t error = llhttp_execute(&reader->parser, bytes, len);
	const char *stop = llhttp_get_error_pos(&reader->parser);

	if (error == HPE_OK && !headers)
		return 0;
	if (error == HPE_PAUSED && stop == bytes + len)
		return 0;
	if (reader->is_full)
		return refuse(H1_ERROR_TOO_MANY_HEADERS, ret_error);
	if (!stop || stop < bytes || stop > bytes + len || error == HPE_OK || error == HPE_PAUSED)
		return refuse(H1_ERROR_SYNTAX, ret_error);
	if (!headers || stop < bytes + line_len)
		return refuse(start_error(reader), ret_error);
	return refuse(header_error(reader, bytes + line_len, stop), ret_error);
}

static enum http_method method_of(uint8_t llhttp_method)
{
	switch (llhttp_method) {
	case HTTP_GET:
		return HTTP_METHOD_GET;
	case HTTP_HEAD:
		return HTTP_METHOD_HEAD;
	case HTTP_POST:
		return HTTP_METHOD_POST;
	case HTTP_PUT:
		return HTTP_METHOD_PUT;
	case HTTP_DELETE:
		return HTTP_METHOD_DELETE;
	case HTTP_OPTIONS:
		return HTTP_METHOD_OPTIONS;
	case HTTP_PATCH:
		return HTTP_METHOD_PATCH;
	case HTTP_TRACE:
		return HTTP_METHOD_TRACE;
	default:
		return HTTP_METHOD_OTHER;
	}
}

bool h1_method_find(struct slice text, enum http_method *ret_method)
{
	/* The methods of HTTP; behind SOURCE are those of RTSP, and PRI, which is none. */
	static const llhttp_method_t last = HTTP_SOURCE;
	int method;

	for (method = 0; method <= (int)HTTP_QUERY; method++) {
		if (method > (int)last && method != HTTP_QUERY)
			continue;
		if (slice_eq(text, slice_of(llhttp_method_name((llhttp_method_t)method)))) {
			*ret_method = method_of((uint8_t)method);
			return true;
		}
	}
	return false;
}

/* A message of either kind while its head is read. */
struct target {
	llhttp_type_t type;
	union {
		struct http_request request;
		struct http_response response;
	};
};

/* The start line that begins at `bytes`, without its end; it is known to be whole. */
static struct slice start_line(const char *bytes, size_t len)
{
	const char *lf = memchr(bytes, '\n', len);

	assert(lf && lf > bytes);
	return (struct slice){bytes, (size_t)(lf - bytes) - 1};
}

static int start_parse(struct target *into, struct slice line, enum h1_error *ret_error)
{
	enum h1_error error = into->type == HTTP_REQUEST ? h1_start_request(&into->request, line)
							 : h1_start_response(&into->response, line);

	return error ? refuse(error, ret_error) : 0;
}

/* Once, when the start line is whole and the head is not, or has a fault further on. */
static int start_check(struct h1_head *head, struct target *into, const char *bytes, size_t len,
	enum h1_error *ret_error)
{
	struct reader reader;

	if (head->lines == 0 || head->start_checked)
		return 0;
	head->start_checked = true;
	struct slice line = start_line(bytes + head->start, len - head->start);
	int r = start_parse(into, line, ret_error);

	if (r < 0)
		return r;
	return reader_run(
		&reader, into->type, NULL, line.ptr, line.len + 2, line.len + 2, ret_error);
}

/* Offset of the end of the head, -EAGAIN or -EBADMSG; the start line has been checked unless the
 * head is whole. */
static int head_end(struct h1_head *head, const struct h1_limits *limits, struct target *into,
	const char *bytes, size_t len, enum h1_error *ret_error)
{
	bool is_request = into->type == HTTP_REQUEST;
	enum h1_error error;
	int r = h1_lines_begin(head, is_request, bytes, len, ret_error);

	if (r < 0)
		return r;
	int end = h1_lines_end(head, limits, is_request, bytes, len, &error);

	if (end > 0)
		return end;
	r = start_check(head, into, bytes, len, ret_error);
	if (r < 0)
		return r;
	if (end == -EBADMSG)
		*ret_error = error;
	return end;
}

/* Start line and header list of the whole head bytes[0..len), as they stand. */
static int head_parse(struct target *into, struct http_headers *headers, const char *bytes,
	size_t len, uint8_t *ret_method, enum h1_error *ret_error)
{
	struct reader reader;
	struct slice line = start_line(bytes, len);
	int r = start_parse(into, line, ret_error);

	if (r < 0)
		return r;
	r = reader_run(&reader, into->type, headers, bytes, line.len + 2, len, ret_error);
	if (r == 0)
		*ret_method = reader.parser.method;
	return r;
}

int h1_head_request(struct h1_head *head, const struct h1_limits *limits, const char *bytes,
	size_t len, struct http_request *ret_request, enum h1_error *ret_error)
{
	struct target into = {.type = HTTP_REQUEST};
	struct http_request *request = &into.request;
	struct http_headers *lent = &ret_request->headers;
	uint8_t method;
	int end = head_end(head, limits, &into, bytes, len, ret_error);

	if (end < 0)
		return end;
	*request = (struct http_request){0};
	http_headers_lend(&request->headers, lent->items, lent->max);
	int r = head_parse(&into, &request->headers, bytes + head->start, (size_t)end - head->start,
		&method, ret_error);

	if (r < 0)
		return r;
	request->method = method_of(method);
	r = h1_fields_request(request, ret_error);
	if (r < 0)
		return r;
	*ret_request = *request;
	h1_head_init(head);
	return end;
}

int h1_head_response(struct h1_head *head, const struct h1_limits *limits,
	const struct h1_expected *expected, const char *bytes, size_t len,
	struct http_response *ret_response, enum h1_error *ret_error)
{
	struct target into = {.type = HTTP_RESPONSE};
	struct http_response *response = &into.response;
	struct http_headers *lent = &ret_response->headers;
	uint8_t method;
	int end = head_end(head, limits, &into, bytes, len, ret_error);

	if (end < 0)
		return end;
	*response = (struct http_response){0};
	http_headers_lend(&response->headers, lent->items, lent->max);
	int r = head_parse(&into, &response->headers, bytes + head->start,
		(size_t)end - head->start, &method, ret_error);

	if (r < 0)
		return r;
	r = h1_fields_response(response, expected, ret_error);
	if (r < 0)
		return r;
	*ret_response = *response;
	h1_head_init(head);
	return end;
}
