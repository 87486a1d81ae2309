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

enum admin_method { ADMIN_GET, ADMIN_HEAD, ADMIN_POST, ADMIN_OTHER_METHOD };

struct admin_request {
	enum admin_method method;
	struct slice path;
	struct slice query; /* without '?'; empty if there is none */
	bool keep_alive;
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
};

/* `bytes` is all there is of the request so far. 1: whole (the parser starts anew), 0: more bytes
 * are needed, -EPROTO: `ret_refusal` says why it cannot be taken. */
int admin_request_parse(struct admin_parser *parser, const char *bytes, size_t len,
	struct admin_request *ret_request, struct admin_refusal *ret_refusal) must_check;

/* A yes/no parameter of the query: "name", "name=1", "name=true". -EINVAL for another value or
 * another parameter. Absent: false. */
int admin_request_flag(struct slice query, const char *name, bool *ret_value) must_check;

#endif
