/*
 * Request heads of HTTP/1 that were refused, but that HTTP says how to read all the same (RFC 9112
 * sections 5.2 and 6.3, RFC 9110 sections 5.5 and 8.6): they are rewritten, in place, so that
 * whoever reads them next can read them in one way only. The codec stays strict: it has to read
 * what came of it like any other head. Pure.
 */
#ifndef SLUICE_HTTP_H1_REPAIR_H
#define SLUICE_HTTP_H1_REPAIR_H

#include "http/desync.h"
#include "http/h1_head.h"

/*
 * `head` and `bytes` are as h1_head_request() had them when it said -EBADMSG and `error`. 0: the
 * head now begins *ret_skip bytes further on, and is to be read anew, with a new h1_head; what was
 * wrong with it is in *ret_found, bits of enum desync. -EBADMSG: there is no one way to read it;
 * the bytes may have been changed.
 */
int h1_repair(const struct h1_head *head, enum h1_error error, char *bytes, size_t *ret_skip,
	uint64_t *ret_found) must_check;

#endif
