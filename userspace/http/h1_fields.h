/*
 * What the headers of an HTTP/1 message say about it: framing, connection, host, upgrade; and the
 * rules that keep two parsers from reading two different messages (RFC 9112 sections 3.2, 6, 9).
 * Used by h1_head.c on messages whose start line and header list are filled in. Pure.
 */
#ifndef SLUICE_HTTP_H1_FIELDS_H
#define SLUICE_HTTP_H1_FIELDS_H

#include "http/h1_head.h"

/* 0, or -EBADMSG with *ret_error. request->authority is set already if the target has a host. */
int h1_fields_request(struct http_request *request, enum h1_error *ret_error) must_check;
int h1_fields_response(struct http_response *response, const struct h1_expected *expected,
	enum h1_error *ret_error) must_check;

#endif
