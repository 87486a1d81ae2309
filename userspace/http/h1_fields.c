/* What the headers of an HTTP/1 message say about it; see h1_fields.h. Pure. */
#include "http/h1_fields.h"
#include "http/syntax.h"
#include <errno.h>

/* The fields of the head that decide something, gathered in one pass. */
struct fields {
	const struct http_header *host, *length, *coding, *upgrade, *expect;
	bool upgrade_repeated;
	bool close, keep_alive, upgrade_listed; /* words in Connection */
	bool te_trailers;
	uint32_t connection_words;
};

/* Words in Connection; each is looked for among all headers when they are forwarded. */
enum { CONNECTION_WORDS_MAX = 32 };

static enum h1_error gather_connection(struct fields *fields, struct slice list)
{
	struct slice word;

	while (syntax_list_next(&list, &word)) {
		if (!syntax_is_token(word) || ++fields->connection_words > CONNECTION_WORDS_MAX)
			return H1_ERROR_CONNECTION;
		if (slice_eq_nocase(word, SLICE("close")))
			fields->close = true;
		else if (slice_eq_nocase(word, SLICE("keep-alive")))
			fields->keep_alive = true;
		else if (slice_eq_nocase(word, SLICE("upgrade")))
			fields->upgrade_listed = true;
	}
	return H1_ERROR_NONE;
}

static enum h1_error gather_once(
	const struct http_header **field, const struct http_header *header, enum h1_error repeated)
{
	if (*field)
		return repeated;
	*field = header;
	return H1_ERROR_NONE;
}

static enum h1_error gather_one(struct fields *fields, const struct http_header *header)
{
	switch (header->id) {
	case HTTP_HEADER_HOST:
		return gather_once(&fields->host, header, H1_ERROR_HOST_REPEATED);
	case HTTP_HEADER_CONTENT_LENGTH:
		return gather_once(&fields->length, header, H1_ERROR_LENGTH_REPEATED);
	case HTTP_HEADER_TRANSFER_ENCODING:
		return gather_once(&fields->coding, header, H1_ERROR_CODING);
	case HTTP_HEADER_EXPECT:
		return gather_once(&fields->expect, header, H1_ERROR_REPEATED);
	case HTTP_HEADER_CONNECTION:
		return gather_connection(fields, header->value);
	case HTTP_HEADER_UPGRADE:
		fields->upgrade_repeated = fields->upgrade;
		fields->upgrade = header;
		return H1_ERROR_NONE;
	case HTTP_HEADER_TE:
		fields->te_trailers |= syntax_list_has(header->value, SLICE("trailers"));
		return H1_ERROR_NONE;
	default:
		return H1_ERROR_NONE;
	}
}

static enum h1_error gather(struct fields *fields, const struct http_headers *headers)
{
	for (uint32_t i = 0; i < headers->len; i++) {
		enum h1_error error = gather_one(fields, &headers->items[i]);

		if (error)
			return error;
	}
	return H1_ERROR_NONE;
}

/* A list of token["/" token]. */
static bool is_protocol_list(struct slice value)
{
	for (size_t i = 0; i < value.len; i++) {
		char byte = value.ptr[i];
		bool is_mark = byte == '/' || byte == ',' || byte == ' ' || byte == '\t';

		if (!is_mark && !syntax_byte_is(byte, SYNTAX_TOKEN))
			return false;
	}
	return value.len > 0;
}

/* Another version of HTTP, or TLS: what would pass through that tunnel is not ours to let by, and the
 * rules about headers would not hold in it. */
static bool has_own_protocol(struct slice list)
{
	static const char *const names[] = {"h2", "h2c", "h3", "http", "tls"};
	struct slice word;
	const char *slash;
	size_t i;

	while (syntax_list_next(&list, &word)) {
		slash = memchr(word.ptr, '/', word.len);
		if (slash)
			word.len = (size_t)(slash - word.ptr);
		for (i = 0; i < array_len(names); i++)
			if (slice_eq_nocase(word, slice_of(names[i])))
				return true;
	}
	return false;
}

/* The protocols of Upgrade if it is in order and listed in Connection, else empty. */
static struct slice upgrade_of(const struct fields *fields, enum http_version version)
{
	if (!fields->upgrade || fields->upgrade_repeated || !fields->upgrade_listed ||
		version != HTTP_VERSION_1_1 || !is_protocol_list(fields->upgrade->value) ||
		has_own_protocol(fields->upgrade->value))
		return (struct slice){0};
	return fields->upgrade->value;
}

/* Only "chunked" and nothing else is understood; what other lists of codings mean differs between
 * implementations, which is what request smuggling lives on. */
static enum h1_error coding_check(const struct fields *fields, enum http_version version)
{
	struct slice list = fields->coding->value, word;

	if (fields->length)
		return H1_ERROR_LENGTH_AND_CODING;
	if (version == HTTP_VERSION_1_0)
		return H1_ERROR_CODING_IN_1_0;
	if (slice_eq_nocase(list, SLICE("chunked")))
		return H1_ERROR_NONE;
	if (list.len == 0)
		return H1_ERROR_CODING;
	while (syntax_list_next(&list, &word))
		if (!syntax_is_token(word))
			return H1_ERROR_CODING;
	return H1_ERROR_CODING_UNKNOWN;
}

/* Body kind by Transfer-Encoding and Content-Length; `otherwise` if there is neither. */
static enum h1_error framing(const struct fields *fields, enum http_version version,
	enum http_body otherwise, enum http_body *ret_body, uint64_t *ret_length)
{
	enum h1_error error;

	*ret_body = otherwise;
	*ret_length = 0;
	if (fields->coding) {
		error = coding_check(fields, version);
		if (!error)
			*ret_body = HTTP_BODY_CHUNKED;
		return error;
	}
	if (!fields->length)
		return H1_ERROR_NONE;
	if (syntax_number(fields->length->value, ret_length) < 0)
		return H1_ERROR_LENGTH;
	*ret_body = *ret_length > 0 ? HTTP_BODY_LENGTH : HTTP_BODY_NONE;
	return H1_ERROR_NONE;
}

static bool persists(const struct fields *fields, enum http_version version)
{
	return !fields->close && (version == HTTP_VERSION_1_1 || fields->keep_alive);
}

/* RFC 9112 section 3.2: exactly one valid Host, and the same as in an absolute target. */
static enum h1_error host_check(struct http_request *request, const struct http_header *header)
{
	struct slice host;
	uint16_t port;

	if (!header)
		return request->version == HTTP_VERSION_1_1 ? H1_ERROR_HOST_MISSING : H1_ERROR_NONE;
	if (syntax_authority(header->value, &host, &port) < 0)
		return H1_ERROR_HOST;
	if (request->authority.len > 0)
		return slice_eq_nocase(request->authority, header->value) ? H1_ERROR_NONE
									  : H1_ERROR_HOST_DIFFERS;
	request->authority = header->value;
	request->host = host;
	request->port = port;
	return H1_ERROR_NONE;
}

/* RFC 9110 section 10.1.1: means nothing in HTTP/1.0 and nothing without a body; there it is not
 * passed on, or a target that is spoken to in HTTP/1.1 would see an expectation nobody has. */
static enum h1_error expect_check(struct http_request *request, const struct http_header *header)
{
	if (!header)
		return H1_ERROR_NONE;
	if (request->version != HTTP_VERSION_1_0 &&
		!slice_eq_nocase(header->value, SLICE("100-continue")))
		return H1_ERROR_EXPECT;
	request->expect_continue =
		request->version != HTTP_VERSION_1_0 && request->body != HTTP_BODY_NONE;
	if (!request->expect_continue)
		http_headers_drop(&request->headers, HTTP_HEADER_EXPECT);
	return H1_ERROR_NONE;
}

static enum h1_error request_check(struct http_request *request)
{
	struct fields fields = {0};
	enum h1_error error = gather(&fields, &request->headers);

	if (!error)
		error = host_check(request, fields.host);
	if (!error)
		error = framing(&fields, request->version, HTTP_BODY_NONE, &request->body,
			&request->content_length);
	if (!error)
		error = expect_check(request, fields.expect);
	request->keep_alive = persists(&fields, request->version);
	request->te_trailers = fields.te_trailers;
	/* A body in front of the new protocol would have to be buffered whole: not offered. */
	if (request->body == HTTP_BODY_NONE)
		request->upgrade = upgrade_of(&fields, request->version);
	return error;
}

int h1_fields_request(struct http_request *request, enum h1_error *ret_error)
{
	enum h1_error error = request_check(request);

	if (!error)
		return 0;
	*ret_error = error;
	return -EBADMSG;
}

/* 1xx and 204 (RFC 9112 section 6.3): no body, and no framing but a needless length of 0, which
 * is not passed on. */
static enum h1_error bodiless_check(struct http_response *response)
{
	if (response->body == HTTP_BODY_CHUNKED || response->body == HTTP_BODY_LENGTH)
		return H1_ERROR_FRAMING_FORBIDDEN;
	http_headers_drop(&response->headers, HTTP_HEADER_CONTENT_LENGTH);
	response->body = HTTP_BODY_NONE;
	return H1_ERROR_NONE;
}

static enum h1_error switching_check(struct http_response *response, const struct fields *fields,
	const struct h1_expected *expected)
{
	response->upgrade = upgrade_of(fields, response->version);
	if (!expected->upgrade_asked || response->upgrade.len == 0)
		return H1_ERROR_UPGRADE_UNASKED;
	return H1_ERROR_NONE;
}

static enum h1_error response_check(
	struct http_response *response, const struct h1_expected *expected)
{
	struct fields fields = {0};
	enum h1_error error = gather(&fields, &response->headers);

	if (!error)
		error = framing(&fields, response->version, HTTP_BODY_UNTIL_CLOSE, &response->body,
			&response->content_length);
	if (!error && (response->status < 200 || response->status == 204))
		error = bodiless_check(response);
	if (!error && response->status == 101)
		error = switching_check(response, &fields, expected);
	if (response->status == 304 || expected->head_request)
		response->body = HTTP_BODY_NONE;
	response->keep_alive =
		persists(&fields, response->version) && response->body != HTTP_BODY_UNTIL_CLOSE;
	return error;
}

int h1_fields_response(struct http_response *response, const struct h1_expected *expected,
	enum h1_error *ret_error)
{
	enum h1_error error = response_check(response, expected);

	if (!error)
		return 0;
	*ret_error = error;
	return -EBADMSG;
}
