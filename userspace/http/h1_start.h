/*
 * Request lines and status lines of HTTP/1, strictly: one space where the grammar has one, nothing
 * in the target that recipients read differently (RFC 9112 sections 3 and 4). Part of h1_head:
 * llhttp reads the same line and must accept it too. Pure.
 */
#ifndef SLUICE_HTTP_H1_START_H
#define SLUICE_HTTP_H1_START_H

#include "http/h1_error.h"
#include "http/message.h"

/* `line` is without CR LF. Fills method_text, version, scheme, authority, host, port, target, path
 * and query; authority and host only if the target is in absolute form. */
enum h1_error h1_start_request(struct http_request *request, struct slice line) must_check;
/* Fills version, status, reason. */
enum h1_error h1_start_response(struct http_response *response, struct slice line) must_check;

#endif
