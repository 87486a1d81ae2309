/*
 * HTTP/1.1 heads from messages; see h1_write.h. The size is bounded first, so that the copying
 * that follows checks nothing. Pure.
 */
#include "http/h1_write.h"
#include <assert.h>
#include <errno.h>
#include <stdio.h>

#define BIT(id) (1ull << HTTP_HEADER_##id)

/* Fields of this codec's own making. */
static const uint64_t own_fields =
	BIT(CONNECTION) | BIT(UPGRADE) | BIT(TE) | BIT(TRANSFER_ENCODING);

/* Everything that is not of the message: start line's fixed parts, own fields, line ends. */
enum { OVERHEAD_BYTES = 256 };

static char *put(char *at, struct slice text)
{
	if (text.len > 0)
		memcpy(at, text.ptr, text.len);
	return at + text.len;
}

static char *put_header(char *at, struct slice name, struct slice value)
{
	at = put(at, name);
	at = put(at, SLICE(": "));
	at = put(at, value);
	return put(at, SLICE("\r\n"));
}

static char *put_number(char *at, uint64_t number)
{
	char digits[20];
	size_t n = sizeof(digits);

	do {
		digits[--n] = (char)('0' + number % 10);
		number /= 10;
	} while (number > 0);
	return put(at, (struct slice){digits + n, sizeof(digits) - n});
}

static size_t list_bytes(const struct http_header *items, uint32_t n)
{
	size_t bytes = 0;

	for (uint32_t i = 0; i < n; i++)
		if (!(items[i].flags & HTTP_HEADER_DROPPED))
			bytes += items[i].name.len + items[i].value.len + 4;
	return bytes;
}

/* Not dropped, and not among the ids of `left_out`. */
static char *put_list(char *at, const struct http_header *items, uint32_t n, uint64_t left_out)
{
	for (uint32_t i = 0; i < n; i++) {
		const struct http_header *header = &items[i];

		if (!(header->flags & HTTP_HEADER_DROPPED) && !(left_out >> header->id & 1))
			at = put_header(at, header->name, header->value);
	}
	return at;
}

/* "Connection: a, TE", or nothing. */
static char *put_connection(char *at, const struct h1_write *how, struct slice upgrade, bool te)
{
	static const struct slice words[] = {
		[H1_CONNECTION_NONE] = {"", 0},
		[H1_CONNECTION_KEEP_ALIVE] = {"keep-alive", 10},
		[H1_CONNECTION_CLOSE] = {"close", 5},
		[H1_CONNECTION_UPGRADE] = {"upgrade", 7},
	};
	struct slice word = words[how->connection];

	if (how->connection == H1_CONNECTION_UPGRADE)
		at = put_header(at, SLICE("Upgrade"), upgrade);
	if (te)
		at = put(at, SLICE("TE: trailers\r\n"));
	if (word.len == 0 && !te)
		return at;
	at = put(at, SLICE("Connection: "));
	at = put(at, word);
	if (te)
		at = put(at, word.len > 0 ? SLICE(", TE") : SLICE("TE"));
	return put(at, SLICE("\r\n"));
}

/* Transfer-Encoding, or Content-Length if nobody else has written one. */
static char *put_framing(
	char *at, const struct http_headers *headers, enum http_body body, uint64_t length)
{
	if (body == HTTP_BODY_CHUNKED)
		return put(at, SLICE("Transfer-Encoding: chunked\r\n"));
	if (body != HTTP_BODY_LENGTH || headers->present & BIT(CONTENT_LENGTH))
		return at;
	at = put(at, SLICE("Content-Length: "));
	at = put_number(at, length);
	return put(at, SLICE("\r\n"));
}

static uint64_t left_out(enum http_body body)
{
	return own_fields | (body == HTTP_BODY_CHUNKED ? BIT(CONTENT_LENGTH) : 0);
}

size_t h1_write_request_bytes(const struct http_request *request, const struct h1_write *how)
{
	return OVERHEAD_BYTES + request->method_text.len + request->target.len +
	       request->authority.len + request->upgrade.len +
	       list_bytes(request->headers.items, request->headers.len) +
	       list_bytes(how->extra, how->n_extra);
}

int h1_write_request(
	const struct http_request *request, const struct h1_write *how, char *out, size_t size)
{
	const struct http_headers *headers = &request->headers;
	char *at = out;

	if (h1_write_request_bytes(request, how) > size)
		return -ENOBUFS;
	at = put(at, request->method_text);
	at = put(at, SLICE(" "));
	at = put(at, request->target);
	at = put(at, SLICE(" HTTP/1.1\r\n"));
	at = put_header(at, SLICE("Host"), request->authority);
	at = put_list(at, headers->items, headers->len, left_out(request->body) | BIT(HOST));
	at = put_list(at, how->extra, how->n_extra, 0);
	at = put_framing(at, headers, request->body, request->content_length);
	at = put_connection(at, how, request->upgrade, request->te_trailers);
	at = put(at, SLICE("\r\n"));
	return (int)(at - out);
}

size_t h1_write_response_bytes(const struct http_response *response, const struct h1_write *how)
{
	return OVERHEAD_BYTES + response->reason.len + response->upgrade.len +
	       list_bytes(response->headers.items, response->headers.len) +
	       list_bytes(how->extra, how->n_extra);
}

int h1_write_response(
	const struct http_response *response, const struct h1_write *how, char *out, size_t size)
{
	const struct http_headers *headers = &response->headers;
	struct slice reason = response->reason;
	char *at = out;

	if (h1_write_response_bytes(response, how) > size)
		return -ENOBUFS;
	if (reason.len == 0)
		reason = http_status_reason(response->status);
	at = put(at, SLICE("HTTP/1.1 "));
	at = put_number(at, response->status);
	at = put(at, SLICE(" "));
	at = put(at, reason);
	at = put(at, SLICE("\r\n"));
	at = put_list(at, headers->items, headers->len, left_out(response->body));
	at = put_list(at, how->extra, how->n_extra, 0);
	at = put_framing(at, headers, response->body, response->content_length);
	at = put_connection(at, how, response->upgrade, false);
	at = put(at, SLICE("\r\n"));
	return (int)(at - out);
}

const char *http_date(time_t unix_s, char text[static HTTP_DATE_BYTES])
{
	struct tm utc;

	/* Never localised: the program stays in the C locale. */
	gmtime_r(&unix_s, &utc);
	strftime(text, HTTP_DATE_BYTES, "%a, %d %b %Y %H:%M:%S GMT", &utc);
	return text;
}

size_t http_canned_text(unsigned int status, char text[static HTTP_CANNED_TEXT_BYTES])
{
	struct slice reason = http_status_reason(status);
	int len = snprintf(
		text, HTTP_CANNED_TEXT_BYTES, "%u %.*s\n", status, (int)reason.len, reason.ptr);

	assert(len > 0 && len < HTTP_CANNED_TEXT_BYTES);
	return (size_t)len;
}

int h1_write_canned(const struct h1_canned *how, char *out, size_t size)
{
	static const char *const connection_lines[] = {
		[H1_CONNECTION_NONE] = "",
		[H1_CONNECTION_CLOSE] = "Connection: close\r\n",
		[H1_CONNECTION_KEEP_ALIVE] = "Connection: keep-alive\r\n",
		[H1_CONNECTION_UPGRADE] = "",
	};
	struct slice reason = http_status_reason(how->status);
	const char *allow = how->status == 405 ? "Allow: " HTTP_CANNED_ALLOW "\r\n" : "";
	char body[HTTP_CANNED_TEXT_BYTES], date[HTTP_DATE_BYTES], *at;
	size_t body_len = http_canned_text(how->status, body);
	int len = snprintf(out, size,
		"HTTP/1.1 %u %.*s\r\nDate: %s\r\nContent-Type: text/plain; charset=utf-8\r\n"
		"Content-Length: %zu\r\nCache-Control: no-store\r\n%s%s",
		how->status, (int)reason.len, reason.ptr, http_date(how->now, date), body_len,
		allow, connection_lines[how->connection]);

	if (len < 0 || (size_t)len + list_bytes(how->extra, how->n_extra) + 2 + body_len >= size)
		return -ENOBUFS;
	at = put_list(out + len, how->extra, how->n_extra, 0);
	at = put(at, SLICE("\r\n"));
	if (!how->head)
		at = put(at, (struct slice){body, body_len});
	return (int)(at - out);
}

struct slice h1_continue(void)
{
	return SLICE("HTTP/1.1 100 Continue\r\n\r\n");
}
