/* What targets are told about a request's way to them: see origin.h. Pure. */
#include "http/origin.h"
#include "http/headers.h"
#include "http/syntax.h"
#include <errno.h>

enum { REQUEST_ID_BYTES_MAX = 128, UUID_BYTES = 16, TRACE_BYTES = 12 };

/* Text under construction; `is_full`: something was left out. */
struct text {
	char *start, *at, *end;
	bool is_full;
};

static void put(struct text *text, struct slice more)
{
	if ((size_t)(text->end - text->at) < more.len) {
		text->is_full = true;
		return;
	}
	if (more.len)
		memcpy(text->at, more.ptr, more.len);
	text->at += more.len;
}

static void put_hex(struct text *text, const uint8_t *bytes, size_t n)
{
	static const char digits[] = "0123456789abcdef";
	char pair[2];
	size_t i;

	for (i = 0; i < n; i++) {
		pair[0] = digits[bytes[i] >> 4];
		pair[1] = digits[bytes[i] & 15];
		put(text, (struct slice){pair, 2});
	}
}

/* Ends a value; the next one begins behind it. */
static int finish(struct text *text, enum http_header_id id, struct slice name,
	struct http_header *ret_header)
{
	if (text->is_full)
		return -ENOBUFS;
	*ret_header = (struct http_header){
		.name = name,
		.value = {text->start, (size_t)(text->at - text->start)},
		.id = (uint8_t)id,
	};
	text->start = text->at;
	return 1;
}

/* --- Forwarded */

/* A value as token or quoted string. There is nothing in addresses and hosts to escape. */
static void put_value(struct text *text, struct slice value)
{
	bool is_plain = syntax_is_token(value);

	if (!is_plain)
		put(text, SLICE("\""));
	put(text, value);
	if (!is_plain)
		put(text, SLICE("\""));
}

static void put_client(struct text *text, struct slice client)
{
	bool is_bare_v6 = client.ptr[0] != '[' && memchr(client.ptr, ':', client.len) !=
							  memrchr(client.ptr, ':', client.len);

	if (!is_bare_v6) {
		put_value(text, client);
		return;
	}
	put(text, SLICE("\"["));
	put(text, client);
	put(text, SLICE("]\""));
}

/* Whether nothing behind it would be taken for a part of it. */
static bool are_quotes_closed(struct slice value)
{
	bool is_quoted = false;
	size_t i;

	for (i = 0; i < value.len; i++)
		if (value.ptr[i] == '"')
			is_quoted = !is_quoted;
		else if (value.ptr[i] == '\\' && is_quoted)
			i++;
	return !is_quoted;
}

static bool can_be_appended_to(const struct http_headers *headers)
{
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_FORWARDED);

	for (; header; header = http_headers_next(headers, header))
		if (!are_quotes_closed(header->value))
			return false;
	return true;
}

static int forwarded(struct http_headers *headers, const struct http_origin *origin,
	struct text *text, struct http_header *ret_header)
{
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_FORWARDED);
	bool is_fit = can_be_appended_to(headers);

	for (; header && is_fit; header = http_headers_next(headers, header)) {
		put(text, header->value);
		if (header->value.len)
			put(text, SLICE(", "));
	}
	put(text, SLICE("for="));
	put_client(text, origin->client);
	put(text, SLICE(";proto="));
	put(text, origin->scheme);
	if (origin->host.len) {
		put(text, SLICE(";host="));
		put_value(text, origin->host);
	}
	http_headers_drop(headers, HTTP_HEADER_FORWARDED);
	return finish(text, HTTP_HEADER_FORWARDED, SLICE("Forwarded"), ret_header);
}

/* --- ids */

static bool is_id(const struct http_header *header)
{
	return header && header->value.len && header->value.len <= REQUEST_ID_BYTES_MAX;
}

/* A UUID of version 4 (RFC 9562 section 5.4). */
static int request_id(struct http_headers *headers, const uint8_t *random, struct text *text,
	struct http_header *ret_header)
{
	static const uint8_t groups[] = {4, 2, 2, 2, 6};
	uint8_t uuid[UUID_BYTES];
	size_t at = 0, i;

	memcpy(uuid, random, sizeof(uuid));
	uuid[6] = (uuid[6] & 0x0f) | 0x40;
	uuid[8] = (uuid[8] & 0x3f) | 0x80;
	for (i = 0; i < array_len(groups); i++) {
		if (i)
			put(text, SLICE("-"));
		put_hex(text, uuid + at, groups[i]);
		at += groups[i];
	}
	http_headers_drop(headers, HTTP_HEADER_X_REQUEST_ID);
	return finish(text, HTTP_HEADER_X_REQUEST_ID, SLICE("X-Request-Id"), ret_header);
}

/* "1-<seconds>-<96 bits>". */
static void put_trace(struct text *text, const struct http_origin *origin)
{
	uint32_t s = origin->unix_s;
	uint8_t seconds[] = {(uint8_t)(s >> 24), (uint8_t)(s >> 16), (uint8_t)(s >> 8), (uint8_t)s};

	put(text, SLICE("1-"));
	put_hex(text, seconds, sizeof(seconds));
	put(text, SLICE("-"));
	put_hex(text, origin->random + UUID_BYTES, TRACE_BYTES);
}

/* The fields "name=value" of another load balancer or the client, without a Self: that is ours. */
static bool put_trace_fields(struct text *text, struct slice value)
{
	bool has_root = false;

	while (value.len) {
		const char *mark = memchr(value.ptr, ';', value.len);
		size_t len = mark ? (size_t)(mark - value.ptr) : value.len;
		struct slice field = syntax_trim((struct slice){value.ptr, len});
		struct slice name = {field.ptr, field.len < 5 ? field.len : 5};

		value = (struct slice){value.ptr + len + !!mark, value.len - len - !!mark};
		if (!field.len || slice_eq_nocase(name, SLICE("Self=")))
			continue;
		has_root |= slice_eq_nocase(name, SLICE("Root="));
		put(text, SLICE(";"));
		put(text, field);
	}
	return has_root;
}

static int trace_id(struct http_headers *headers, const struct http_origin *origin,
	struct text *text, struct http_header *ret_header)
{
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_X_AMZN_TRACE_ID);
	bool has_root = false;

	put(text, SLICE("Self="));
	put_trace(text, origin);
	if (header && header->value.len <= REQUEST_ID_BYTES_MAX * 4)
		has_root = put_trace_fields(text, header->value);
	if (!has_root) {
		text->at = text->start;
		put(text, SLICE("Root="));
		put_trace(text, origin);
	}
	http_headers_drop(headers, HTTP_HEADER_X_AMZN_TRACE_ID);
	return finish(text, HTTP_HEADER_X_AMZN_TRACE_ID, SLICE("X-Amzn-Trace-Id"), ret_header);
}

int http_origin_apply(struct http_headers *headers, const struct http_origin_terms *terms,
	const struct http_origin *origin, char *scratch, size_t size,
	struct http_header ret_extra[HTTP_ORIGIN_EXTRA])
{
	struct text text = {scratch, scratch, scratch + size, false};
	bool has_id = is_id(http_headers_find(headers, HTTP_HEADER_X_REQUEST_ID));
	int n = 0, r = 0;

	if (terms->forwarded == HTTP_RFC7239_REMOVE)
		http_headers_drop(headers, HTTP_HEADER_FORWARDED);
	else if (terms->forwarded == HTTP_RFC7239_APPEND)
		r = forwarded(headers, origin, &text, &ret_extra[n]);
	if (r < 0)
		return r;
	n += r;
	if (terms->request_id)
		http_headers_drop_alike(headers, SLICE("x-request-id"));
	if (terms->trace_id)
		http_headers_drop_alike(headers, SLICE("x-amzn-trace-id"));
	if (terms->request_id == HTTP_REQUEST_ID_SET ||
		(terms->request_id == HTTP_REQUEST_ID_KEEP && !has_id)) {
		r = request_id(headers, origin->random, &text, &ret_extra[n]);
		if (r < 0)
			return r;
		n += r;
	}
	if (terms->trace_id) {
		r = trace_id(headers, origin, &text, &ret_extra[n]);
		if (r < 0)
			return r;
		n += r;
	}
	return n;
}
