/* One request to the admin API: see admin_request.h. */
#include "control/admin_request.h"
#include "control/admin.h"

#include <errno.h>
#include <string.h>

enum { HEADERS_MAX = 64, LINE_BYTES = 16 * 1024 };

static const struct h1_limits limits = {
	.head_bytes = ADMIN_REQUEST_BYTES_MAX - 1, /* so that a full buffer decides */
	.target_bytes = LINE_BYTES,
	.line_bytes = LINE_BYTES,
	.headers = HEADERS_MAX,
};

static enum admin_method method_of(enum http_method method)
{
	switch (method) {
	case HTTP_METHOD_GET:
		return ADMIN_GET;
	case HTTP_METHOD_HEAD:
		return ADMIN_HEAD;
	case HTTP_METHOD_POST:
		return ADMIN_POST;
	default:
		return ADMIN_OTHER_METHOD;
	}
}

/* The bytes of the body, or -EPROTO. No command has a use for one, but it has to be skipped. */
static int body_bytes(
	const struct http_request *http, size_t head_bytes, struct admin_refusal *ret_refusal)
{
	if (http->body == HTTP_BODY_NONE)
		return 0;
	if (http->body != HTTP_BODY_LENGTH) {
		*ret_refusal = (struct admin_refusal){
			411, "length_required", "a body needs a Content-Length here"};
		return -EPROTO;
	}
	if (http->content_length > ADMIN_REQUEST_BYTES_MAX - head_bytes) {
		*ret_refusal = (struct admin_refusal){
			413, "too_large", "a request may have 64 KiB, head and body together"};
		return -EPROTO;
	}
	return (int)http->content_length;
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

int admin_request_parse(struct admin_parser *parser, const char *bytes, size_t len,
	struct admin_request *ret_request, struct admin_refusal *ret_refusal)
{
	struct http_header items[HEADERS_MAX];
	struct http_request http = {0};
	int head, body;

	if (len < parser->whole_bytes)
		return 0;
	http_headers_lend(&http.headers, items, HEADERS_MAX);
	head = parse_head(parser, bytes, len, &http, ret_refusal);
	if (head <= 0)
		return head;
	body = body_bytes(&http, (size_t)head, ret_refusal);
	if (body < 0)
		return body;
	parser->whole_bytes = (size_t)head + (size_t)body;
	if (len < parser->whole_bytes)
		return 0;
	*ret_request = (struct admin_request){
		.method = method_of(http.method),
		.path = http.path,
		.query = http.query,
		/* A client of HTTP/1.0 would have to be told that the connection stays. */
		.keep_alive = http.keep_alive && http.version != HTTP_VERSION_1_0,
		.bytes = parser->whole_bytes,
	};
	*parser = (struct admin_parser){0};
	return 1;
}

int admin_request_flag(struct slice query, const char *name, bool *ret_value)
{
	size_t name_len = strlen(name);
	struct slice value;

	if (query.len == 0)
		return 0;
	if (query.len < name_len || memcmp(query.ptr, name, name_len) != 0)
		return -EINVAL;
	value = (struct slice){query.ptr + name_len, query.len - name_len};
	if (value.len == 0 || slice_eq(value, SLICE("=1")) || slice_eq(value, SLICE("=true")))
		*ret_value = true;
	else if (slice_eq(value, SLICE("=0")) || slice_eq(value, SLICE("=false")))
		*ret_value = false;
	else
		return -EINVAL;
	return 0;
}
