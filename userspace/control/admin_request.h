/*
 * One request to the admin API: the head as http/ parsed it, reduced to what the API needs. The
 * slices point into the bytes given. The parser is owned by the connection; one thread at a time.
 */
#ifndef SLUICE_CONTROL_ADMIN_REQUEST_H
#define SLUICE_CONTROL_ADMIN_REQUEST_H

#include "core/attr.h"
#include "core/slice.h"
#include "http/h1_head.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum admin_method {
	ADMIN_GET,
	ADMIN_HEAD,
	ADMIN_POST,
	ADMIN_PUT,
	ADMIN_PATCH,
	ADMIN_DELETE,
	ADMIN_OTHER_METHOD,
};

struct admin_request {
	enum admin_method method;
	struct slice path;
	struct slice query; /* without '?'; empty if there is none */
	struct slice body;
	struct slice if_match, if_none_match; /* empty: not sent */
	bool keep_alive;
	bool http_1_0; /* knows no chunks */
	size_t bytes; /* head and body */
};

/* What is kept between calls while a request is not whole. Zero-initialised: before it. */
struct admin_parser {
	struct h1_head head;
	size_t whole_bytes; /* head and body, once the head is known; else 0 */
};

/* What is wrong with a request that cannot be taken. */
struct admin_refusal {
	unsigned int http_status;
	const char *code, *message; /* static */
	bool asks_for_token; /* 401 */
};

/* What is thought of a request by its head, before its body is waited for: false, and why it is not let
 * in; else the longest body that the command takes (0: as much as fits with the head). May be asked
 * again for the same request. */
typedef bool admin_head_judge(void *arg, const struct http_request *http, size_t *ret_body_limit,
	struct admin_refusal *ret_refusal);

enum admin_method admin_method_of(enum http_method method);

/* `bytes` is all there is of the request so far. 1: whole (the parser starts anew), 0: more bytes
 * are needed, -EPROTO: `ret_refusal` says why it cannot be taken. */
int admin_request_parse(struct admin_parser *parser, admin_head_judge *judge, void *arg,
	const char *bytes, size_t len, struct admin_request *ret_request,
	struct admin_refusal *ret_refusal) must_check;

/* A part of a path or a value of a query, %XX decoded and ended by a NUL. False: it is longer than
 * `size`, holds a NUL, or a % is not followed by two digits. */
bool admin_decode(struct slice text, char *ret_text, size_t size);
/* `names` are separated by spaces. */
bool admin_word_is_listed(struct slice name, const char *names);
/* The first parameter of a query that `names` does not list; empty: none. */
struct slice admin_query_stranger(struct slice query, const char *names);
/* The value of a parameter, %XX decoded, ended by a NUL. 1, 0: absent ("" then), -EINVAL: it is
 * longer than `size`, holds a NUL, or a % is not followed by two digits. "name" alone: "". */
int admin_query_text(struct slice query, const char *name, char *ret_text, size_t size) must_check;
/* A yes/no parameter: "name", "name=1", "name=true". 1, 0: absent, -EINVAL for another value.
 * `ret_value` is only set when it is there. */
int admin_query_flag(struct slice query, const char *name, bool *ret_value) must_check;
/* A number from 1 to `max`. As above. */
int admin_query_number(
	struct slice query, const char *name, uint32_t max, uint32_t *ret_value) must_check;

#endif
