/* Lists of headers of HTTP/2: see h2_head.h. */
#include "http/h2_head.h"
#include "http/h1_head.h"
#include "http/syntax.h"

enum { FIELD_OVERHEAD = 32 };

void h2_head_init(struct h2_head *head, uint32_t max_bytes)
{
	memset(head, 0, offsetof(struct h2_head, items));
	head->max_bytes = max_bytes;
	http_headers_lend(&head->headers, head->items, H2_HEAD_FIELDS_MAX);
}

static void refuse(struct h2_head *head, unsigned int status)
{
	if (!head->refusal)
		head->refusal = (uint16_t)status;
}

static struct slice copy(struct h2_head *head, struct slice text)
{
	char *at = head->text + head->used;

	memcpy(at, text.ptr, text.len);
	head->used += (uint32_t)text.len;
	return (struct slice){at, text.len};
}

static void add_pseudo(struct h2_head *head, struct slice name, struct slice value)
{
	struct slice *field = NULL;

	if (slice_eq(name, SLICE(":method")))
		field = &head->method;
	else if (slice_eq(name, SLICE(":scheme")))
		field = &head->scheme;
	else if (slice_eq(name, SLICE(":authority")))
		field = &head->authority;
	else if (slice_eq(name, SLICE(":path")))
		field = &head->path;
	else if (slice_eq(name, SLICE(":protocol")))
		field = &head->protocol;
	else if (slice_eq(name, SLICE(":status")))
		field = &head->status;
	if (!field || field->ptr)
		refuse(head, 400);
	else
		*field = copy(head, value);
}

/* Names are in lower case (RFC 9113 section 8.2.1). */
static bool is_name(struct slice name)
{
	size_t i;

	for (i = 0; i < name.len; i++)
		if (syntax_byte_is(name.ptr[i], SYNTAX_UPPER))
			return false;
	return syntax_is_token(name);
}

static bool is_value(struct slice value)
{
	return syntax_all(value, SYNTAX_VALUE) && syntax_trim(value).len == value.len;
}

static void add_cookie(struct h2_head *head, struct slice value)
{
	struct slice between = head->has_cookies ? SLICE("; ") : SLICE("");
	char *at = head->cookies + head->cookie_bytes;

	if (between.len + value.len + strlen("cookie") >
		sizeof(head->cookies) - head->cookie_bytes) {
		refuse(head, 431);
		return;
	}
	memcpy(at, between.ptr, between.len);
	memcpy(at + between.len, value.ptr, value.len);
	head->cookie_bytes += (uint32_t)(between.len + value.len);
	head->has_cookies = true;
}

void h2_head_add(struct h2_head *head, struct slice name, struct slice value)
{
	head->list_bytes += name.len + value.len + FIELD_OVERHEAD;
	if (head->list_bytes > head->max_bytes || name.len + value.len > H2_HEAD_FIELD_BYTES_MAX)
		refuse(head, name.len == 5 && slice_eq(name, SLICE(":path")) ? 414 : 431);
	if (head->refusal)
		return;
	if (name.len && name.ptr[0] == ':') {
		add_pseudo(head, name, value);
		return;
	}
	if (!is_name(name) || !is_value(value)) {
		refuse(head, 400);
		return;
	}
	if (slice_eq(name, SLICE("cookie"))) {
		add_cookie(head, value);
		return;
	}
	name = copy(head, name);
	value = copy(head, value);
	if (http_headers_add(&head->headers, name, value) < 0)
		refuse(head, 431);
}

/* The last one may have been empty. */
static int add_cookies(struct h2_head *head)
{
	struct slice line = {head->cookies, head->cookie_bytes};

	return http_headers_add(&head->headers, SLICE("cookie"), syntax_trim(line));
}

bool h2_head_has_pseudo(const struct h2_head *head)
{
	return head->method.ptr || head->scheme.ptr || head->authority.ptr || head->path.ptr ||
	       head->protocol.ptr || head->status.ptr;
}

/* WebSocket alone (RFC 8441 section 5): what others need, targets have not. */
static unsigned int set_protocol(const struct h2_head *head, struct http_request *request)
{
	if (!head->protocol.ptr)
		return 405;
	if (!syntax_is_token(head->protocol))
		return 400;
	if (!slice_eq_nocase(head->protocol, SLICE("websocket")))
		return 501;
	request->is_connect = true;
	request->upgrade = SLICE("websocket");
	request->method = HTTP_METHOD_GET;
	request->method_text = SLICE("GET");
	return 0;
}

static unsigned int set_method(const struct h2_head *head, struct http_request *request)
{
	if (slice_eq(head->method, SLICE("CONNECT")))
		return set_protocol(head, request);
	if (head->protocol.ptr)
		return 400;
	request->method_text = head->method;
	if (!syntax_is_token(head->method))
		return 400;
	return h1_method_find(head->method, &request->method) ? 0 : 501;
}

static unsigned int set_target(const struct h2_head *head, struct http_request *request)
{
	struct slice path = head->path;
	const char *mark;

	if (!slice_eq_nocase(head->scheme, SLICE("https")) &&
		!slice_eq_nocase(head->scheme, SLICE("http")))
		return 400;
	request->scheme = head->scheme;
	if (!path.len || !syntax_all(path, SYNTAX_TARGET))
		return 400;
	if (path.ptr[0] != '/' &&
		(request->method != HTTP_METHOD_OPTIONS || !slice_eq(path, SLICE("*"))))
		return 400;
	request->target = request->path = path;
	mark = memchr(path.ptr, '?', path.len);
	if (mark) {
		request->path.len = (size_t)(mark - path.ptr);
		request->query = (struct slice){mark + 1, path.len - request->path.len - 1};
	}
	return 0;
}

/* One of :authority and Host, or both and the same (RFC 9113 section 8.3.1). */
static unsigned int set_authority(const struct h2_head *head, struct http_request *request)
{
	const struct http_header *host = http_headers_find(&head->headers, HTTP_HEADER_HOST);
	struct slice authority = head->authority;

	if (host && http_headers_next(&head->headers, host))
		return 400;
	if (!authority.len && host)
		authority = host->value;
	else if (host && !slice_eq_nocase(authority, host->value))
		return 400;
	request->authority = authority;
	return syntax_authority(authority, &request->host, &request->port) < 0 ? 400 : 0;
}

/* Fields that say something about the connection have no place here (section 8.2.2). */
static bool has_connection_fields(const struct h2_head *head)
{
	static const uint8_t wrong[] = {HTTP_HEADER_CONNECTION, HTTP_HEADER_TRANSFER_ENCODING,
		HTTP_HEADER_UPGRADE, HTTP_HEADER_KEEP_ALIVE, HTTP_HEADER_PROXY_CONNECTION};
	size_t i;

	for (i = 0; i < sizeof(wrong); i++)
		if (http_headers_find(&head->headers, wrong[i]))
			return true;
	return false;
}

static unsigned int check_connection_fields(struct h2_head *head, struct http_request *request)
{
	const struct http_header *te;

	if (has_connection_fields(head))
		return 400;
	te = http_headers_find(&head->headers, HTTP_HEADER_TE);
	for (; te; te = http_headers_next(&head->headers, te)) {
		if (!slice_eq_nocase(te->value, SLICE("trailers")))
			return 400;
		request->te_trailers = true;
	}
	return 0;
}

static unsigned int set_body(struct h2_head *head, bool ended, struct http_request *request)
{
	const struct http_header *length =
		http_headers_find(&head->headers, HTTP_HEADER_CONTENT_LENGTH);

	if (length && (http_headers_next(&head->headers, length) ||
			      syntax_number(length->value, &request->content_length) < 0))
		return 400;
	if (ended && request->content_length)
		return 400;
	if (request->is_connect) /* what follows is no body, and no end either */
		return ended || length ? 400 : 0;
	if (ended || (length && !request->content_length))
		request->body = HTTP_BODY_NONE;
	else
		request->body = length ? HTTP_BODY_LENGTH : HTTP_BODY_CHUNKED;
	return 0;
}

static unsigned int set_expect(struct h2_head *head, struct http_request *request)
{
	const struct http_header *expect = http_headers_find(&head->headers, HTTP_HEADER_EXPECT);

	if (!expect)
		return 0;
	if (http_headers_next(&head->headers, expect))
		return 400;
	if (!slice_eq_nocase(expect->value, SLICE("100-continue")))
		return 417;
	request->expect_continue = request->body != HTTP_BODY_NONE;
	if (!request->expect_continue)
		http_headers_drop(&head->headers, HTTP_HEADER_EXPECT);
	return 0;
}

/* With the fields that rules may ask for; the key is HTTP/1's. */
static int tell_as_upgrade(struct http_headers *headers)
{
	int r = http_headers_add(headers, SLICE("connection"), SLICE("Upgrade"));

	http_headers_drop(headers, HTTP_HEADER_SEC_WEBSOCKET_KEY);
	return r ?: http_headers_add(headers, SLICE("upgrade"), SLICE("websocket"));
}

unsigned int h2_head_request(struct h2_head *head, bool ended, struct http_request *ret_request)
{
	struct http_request request = {.version = HTTP_VERSION_2, .keep_alive = true};
	unsigned int status = head->refusal;

	*ret_request = request;
	if (!status)
		status = set_method(head, &request);
	ret_request->method = request.method;
	if (!status && head->status.ptr)
		status = 400;
	if (!status)
		status = set_target(head, &request);
	if (!status)
		status = set_authority(head, &request);
	if (!status)
		status = check_connection_fields(head, &request);
	if (!status)
		status = set_body(head, ended, &request);
	if (!status)
		status = set_expect(head, &request);
	if (status)
		return status;
	if (head->has_cookies && add_cookies(head) < 0)
		return 431;
	if (request.is_connect && tell_as_upgrade(&head->headers) < 0)
		return 431;
	request.headers = head->headers;
	*ret_request = request;
	return 0;
}

static bool set_status(const struct h2_head *head, struct http_response *response)
{
	uint64_t number;

	if (head->status.len != 3 || syntax_number(head->status, &number) < 0 || number < 100 ||
		number > 599 || number == 101)
		return false;
	response->status = (uint16_t)number;
	return true;
}

static bool set_answer_body(
	const struct h2_head *head, bool ended, bool is_head, struct http_response *response)
{
	const struct http_header *length =
		http_headers_find(&head->headers, HTTP_HEADER_CONTENT_LENGTH);

	if (length && (http_headers_next(&head->headers, length) ||
			      syntax_number(length->value, &response->content_length) < 0))
		return false;
	if (ended || is_head || response->status < 200 || response->status == 204 ||
		response->status == 304)
		response->body = HTTP_BODY_NONE;
	else
		response->body = length ? HTTP_BODY_LENGTH : HTTP_BODY_UNTIL_CLOSE;
	return true;
}

bool h2_head_response(
	struct h2_head *head, bool ended, bool is_head, struct http_response *ret_response)
{
	struct http_response response = {.version = HTTP_VERSION_2, .keep_alive = true};

	if (head->refusal || head->method.ptr || head->scheme.ptr || head->authority.ptr ||
		head->path.ptr || head->protocol.ptr || !set_status(head, &response) ||
		has_connection_fields(head) || !set_answer_body(head, ended, is_head, &response))
		return false;
	response.headers = head->headers;
	*ret_response = response;
	return true;
}
