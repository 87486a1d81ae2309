/* One request to the admin API: see admin_request.h. */
#include "control/admin_request.h"
#include "control/admin.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { HEADERS_MAX = 64, LINE_BYTES = 16 * 1024 };

static const struct h1_limits limits = {
	.head_bytes = ADMIN_REQUEST_BYTES_MAX - 1, /* so that a full buffer decides */
	.target_bytes = LINE_BYTES,
	.line_bytes = LINE_BYTES,
	.headers = HEADERS_MAX,
};

enum admin_method admin_method_of(enum http_method method)
{
	switch (method) {
	case HTTP_METHOD_GET:
		return ADMIN_GET;
	case HTTP_METHOD_HEAD:
		return ADMIN_HEAD;
	case HTTP_METHOD_POST:
		return ADMIN_POST;
	case HTTP_METHOD_PUT:
		return ADMIN_PUT;
	case HTTP_METHOD_PATCH:
		return ADMIN_PATCH;
	case HTTP_METHOD_DELETE:
		return ADMIN_DELETE;
	default:
		return ADMIN_OTHER_METHOD;
	}
}

/* 0 or -EPROTO. What a command has no use for is skipped. */
static int body_bytes(const struct http_request *http, size_t head_bytes, size_t limit,
	size_t *ret_bytes, struct admin_refusal *ret_refusal)
{
	*ret_bytes = 0;
	if (http->body == HTTP_BODY_NONE)
		return 0;
	if (http->body != HTTP_BODY_LENGTH) {
		*ret_refusal = (struct admin_refusal){
			411, "length_required", "a body needs a Content-Length here"};
		return -EPROTO;
	}
	if (http->content_length > (limit ? limit : ADMIN_REQUEST_BYTES_MAX - head_bytes)) {
		*ret_refusal = limit ? (struct admin_refusal){413, "too_large",
					       "the body may have 128 MiB"}
				     : (struct admin_refusal){413, "too_large",
					       "a request may have 64 KiB, head and body together"};
		return -EPROTO;
	}
	*ret_bytes = (size_t)http->content_length;
	return 0;
}

/* Length of the head, 0 if it is not whole, or -EPROTO. */
static int parse_head(struct admin_parser *parser, const char *bytes, size_t len,
	struct http_request *ret_http, struct admin_refusal *ret_refusal)
{
	enum h1_error fault = H1_ERROR_NONE;
	int rc = h1_head_request(&parser->head, &limits, bytes, len, ret_http, &fault);

	if (rc >= 0)
		return rc;
	if (rc == -EAGAIN)
		return 0;
	*ret_refusal = (struct admin_refusal){
		h1_error_row(fault)->status, h1_error_row(fault)->name, h1_error_row(fault)->help};
	return -EPROTO;
}

static struct slice header(const struct http_request *http, struct slice name)
{
	const struct http_header *found = http_headers_find_name(&http->headers, name);

	return found ? found->value : SLICE("");
}

int admin_request_parse(struct admin_parser *parser, admin_head_judge *judge, void *arg,
	const char *bytes, size_t len, struct admin_request *ret_request,
	struct admin_refusal *ret_refusal)
{
	struct http_header items[HEADERS_MAX];
	struct http_request http = {0};
	size_t body, limit = 0;
	int head, rc;

	if (len < parser->whole_bytes)
		return 0;
	http_headers_lend(&http.headers, items, HEADERS_MAX);
	head = parse_head(parser, bytes, len, &http, ret_refusal);
	if (head <= 0)
		return head;
	if (!judge(arg, &http, &limit, ret_refusal))
		return -EPROTO;
	rc = body_bytes(&http, (size_t)head, limit, &body, ret_refusal);
	if (rc)
		return rc;
	parser->whole_bytes = (size_t)head + body;
	if (len < parser->whole_bytes)
		return 0;
	*ret_request = (struct admin_request){
		.method = admin_method_of(http.method),
		.path = http.path,
		.query = http.query,
		.body = {bytes + head, body},
		.if_match = header(&http, SLICE("if-match")),
		.if_none_match = header(&http, SLICE("if-none-match")),
		/* A client of HTTP/1.0 would have to be told that the connection stays. */
		.keep_alive = http.keep_alive && http.version != HTTP_VERSION_1_0,
		.http_1_0 = http.version == HTTP_VERSION_1_0,
		.bytes = parser->whole_bytes,
	};
	*parser = (struct admin_parser){0};
	return 1;
}

/* --- parameters */

/* The next "name=value" of a query; false at its end. */
static bool next_pair(struct slice *rest, struct slice *ret_name, struct slice *ret_value)
{
	const char *end, *equals;
	size_t len;

	if (rest->len == 0)
		return false;
	end = memchr(rest->ptr, '&', rest->len);
	len = end ? (size_t)(end - rest->ptr) : rest->len;
	equals = memchr(rest->ptr, '=', len);
	*ret_name = (struct slice){rest->ptr, equals ? (size_t)(equals - rest->ptr) : len};
	*ret_value = (struct slice){ret_name->ptr + ret_name->len, len - ret_name->len};
	if (equals)
		*ret_value = (struct slice){equals + 1, ret_value->len - 1};
	*rest = (struct slice){rest->ptr + len + !!end, rest->len - len - !!end};
	return true;
}

bool admin_word_is_listed(struct slice name, const char *names)
{
	while (*names) {
		size_t len = strcspn(names, " ");

		if (slice_eq(name, (struct slice){names, len}))
			return true;
		names += len + (names[len] == ' ');
	}
	return false;
}

struct slice admin_query_stranger(struct slice query, const char *names)
{
	struct slice name, value;

	while (next_pair(&query, &name, &value))
		if (name.len > 0 && !admin_word_is_listed(name, names))
			return name;
	return SLICE("");
}

static int hex_value(char digit)
{
	if (digit >= '0' && digit <= '9')
		return digit - '0';
	digit |= 0x20;
	return digit >= 'a' && digit <= 'f' ? digit - 'a' + 10 : -1;
}

static int decode(struct slice value, char *ret_text, size_t size)
{
	size_t used = 0, i;

	for (i = 0; i < value.len; i++) {
		int byte = (unsigned char)value.ptr[i];

		if (byte == '%') {
			int high = i + 2 < value.len ? hex_value(value.ptr[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_value(value.ptr[i + 2]);

			if (low < 0)
				return -EINVAL;
			byte = high << 4 | low;
			i += 2;
		}
		if (byte == 0 || used + 1 >= size)
			return -EINVAL;
		ret_text[used++] = (char)byte;
	}
	ret_text[used] = '\0';
	return 1;
}

bool admin_decode(struct slice text, char *ret_text, size_t size)
{
	return decode(text, ret_text, size) > 0;
}

int admin_query_text(struct slice query, const char *name, char *ret_text, size_t size)
{
	struct slice found, value;

	*ret_text = '\0';
	while (next_pair(&query, &found, &value))
		if (slice_eq(found, slice_of(name)))
			return decode(value, ret_text, size);
	return 0;
}

int admin_query_flag(struct slice query, const char *name, bool *ret_value)
{
	char text[8];
	int rc = admin_query_text(query, name, text, sizeof(text));

	if (rc <= 0)
		return rc;
	if (!*text || strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
		*ret_value = true;
	else if (strcmp(text, "0") == 0 || strcmp(text, "false") == 0)
		*ret_value = false;
	else
		return -EINVAL;
	return 1;
}

int admin_query_number(struct slice query, const char *name, uint32_t max, uint32_t *ret_value)
{
	char text[12], *end;
	int rc = admin_query_text(query, name, text, sizeof(text));
	unsigned long number;

	if (rc <= 0)
		return rc;
	number = strtoul(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || number < 1 || number > max)
		return -EINVAL;
	*ret_value = (uint32_t)number;
	return 1;
}
