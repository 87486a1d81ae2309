/*
 * The message of a ClientHello behind its header, from left to right. Between clienthello.c, which
 * knows records, and clienthello_body.c. Pure; any thread.
 */
#ifndef SLUICE_TLS_CLIENTHELLO_BODY_H
#define SLUICE_TLS_CLIENTHELLO_BODY_H

#include "tls/clienthello.h"

enum { CLIENTHELLO_BODY_BYTES_MIN = 41 }; /* one cipher suite, one compression method */

/*
 * `have`: how many of the `len` bytes are here; `len` is at least CLIENTHELLO_BODY_BYTES_MIN.
 * 0: whole and sound; -EAGAIN and -EPROTO as clienthello_parse(). Fills in all but `records` and
 * `message_len`; `ret_hello` is undefined unless 0 is returned.
 */
int clienthello_body_parse(const uint8_t *body, size_t have, size_t len,
	struct clienthello *ret_hello, enum clienthello_fault *ret_fault) must_check;

#endif
