/* Messages as one line of text, so that a test row is bytes in, text out. For tests only. */
#ifndef SLUICE_TESTS_HTTP_DESCRIBE_H
#define SLUICE_TESTS_HTTP_DESCRIBE_H

#include "http/h1_head.h"
#include <stdarg.h>
#include <stdio.h>

enum { DESCRIBE_BYTES = 16384 };

struct description {
	char text[DESCRIBE_BYTES];
	size_t len;
};

__attribute__((format(printf, 2, 3))) static inline void describe_add(
	struct description *to, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	int n = vsnprintf(to->text + to->len, sizeof(to->text) - to->len, format, args);
	va_end(args);
	if (n > 0)
		to->len += (size_t)n;
	if (to->len >= sizeof(to->text))
		to->len = sizeof(to->text) - 1;
}

static inline void describe_slice(struct description *to, const char *label, struct slice text)
{
	if (text.len > 0)
		describe_add(to, " %s[%.*s]", label, (int)text.len, text.ptr);
}

static inline void describe_headers(struct description *to, const struct http_headers *headers)
{
	for (uint32_t i = 0; i < headers->len; i++) {
		const struct http_header *header = &headers->items[i];

		if (!(header->flags & HTTP_HEADER_DROPPED))
			describe_add(to, " {%.*s=%.*s}", (int)header->name.len, header->name.ptr,
				(int)header->value.len, header->value.ptr);
	}
}

static inline void describe_body(
	struct description *to, enum http_body body, uint64_t length, bool keep_alive)
{
	static const char *const names[] = {"none", "length", "chunked", "until-close"};

	describe_add(to, " %s", names[body]);
	if (body == HTTP_BODY_LENGTH)
		describe_add(to, ":%llu", (unsigned long long)length);
	describe_add(to, keep_alive ? " keep" : " close");
}

static inline void describe_request(struct description *to, const struct http_request *request)
{
	static const char *const methods[] = {
		"OTHER", "GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"};

	describe_add(to, "%s %.*s %.*s %d", methods[request->method], (int)request->method_text.len,
		request->method_text.ptr, (int)request->target.len, request->target.ptr,
		request->version);
	describe_slice(to, "scheme", request->scheme);
	describe_slice(to, "authority", request->authority);
	describe_slice(to, "host", request->host);
	if (request->port)
		describe_add(to, " port[%u]", request->port);
	describe_slice(to, "path", request->path);
	if (request->query.ptr)
		describe_add(to, " query[%.*s]", (int)request->query.len, request->query.ptr);
	describe_body(to, request->body, request->content_length, request->keep_alive);
	if (request->expect_continue)
		describe_add(to, " expect");
	if (request->te_trailers)
		describe_add(to, " trailers");
	describe_slice(to, "upgrade", request->upgrade);
	describe_headers(to, &request->headers);
}

static inline void describe_response(struct description *to, const struct http_response *response)
{
	describe_add(to, "%u %d", response->status, response->version);
	describe_slice(to, "reason", response->reason);
	describe_body(to, response->body, response->content_length, response->keep_alive);
	describe_slice(to, "upgrade", response->upgrade);
	describe_headers(to, &response->headers);
}

/* How a head is judged when it arrives cut into pieces, each in memory of its own size, so that a
 * read behind the end is seen. */
struct judgement {
	int result; /* as h1_head_request */
	enum h1_error error;
	struct description description;
};

struct judge {
	struct h1_limits limits;
	struct h1_expected expected;
	bool is_response;
	struct http_header items[H1_HEADERS_DEFAULT];
};

static inline void judge_once(struct judge *judge, struct h1_head *head, const char *bytes,
	size_t len, struct judgement *ret)
{
	struct http_request request;
	struct http_response response;

	ret->error = H1_ERROR_NONE;
	ret->description.len = 0;
	ret->description.text[0] = 0;
	if (judge->is_response) {
		http_headers_lend(&response.headers, judge->items, H1_HEADERS_DEFAULT);
		ret->result = h1_head_response(
			head, &judge->limits, &judge->expected, bytes, len, &response, &ret->error);
		if (ret->result > 0)
			describe_response(&ret->description, &response);
		return;
	}
	http_headers_lend(&request.headers, judge->items, H1_HEADERS_DEFAULT);
	ret->result = h1_head_request(head, &judge->limits, bytes, len, &request, &ret->error);
	if (ret->result > 0)
		describe_request(&ret->description, &request);
}

#endif
