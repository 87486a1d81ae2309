/*
 * Finds the end of an HTTP/1 head line by line, keeping the limits, before anything is parsed.
 * Each byte is looked at once however they arrive. Part of h1_head. Pure.
 */
#ifndef SLUICE_HTTP_H1_LINES_H
#define SLUICE_HTTP_H1_LINES_H

#include "http/h1_head.h"

/* Empty lines in front of a request that are ignored (RFC 9112 section 2.2). */
enum { H1_EMPTY_LINES_MAX = 4 };

/* Skips empty lines in front of a request and judges the first byte of the start line, so that
 * TLS or noise is refused without waiting for a line end. 0, -EAGAIN or -EBADMSG. */
int h1_lines_begin(struct h1_head *head, bool is_request, const char *bytes, size_t len,
	enum h1_error *ret_error) must_check;

/* Offset behind the empty line that ends the head; -EAGAIN or -EBADMSG. The start line is whole
 * once head->lines > 0, whatever is returned. */
int h1_lines_end(struct h1_head *head, const struct h1_limits *limits, bool is_request,
	const char *bytes, size_t len, enum h1_error *ret_error) must_check;

#endif
