/*
 * Lists of headers as HTTP/2 brings them, one field at a time: gathered here, checked by rules of our
 * own (what follows is written to targets as HTTP/1.1, where a byte in the wrong place is another
 * request), and made into a message. Held by a session while a list is under way. Pure.
 */
#ifndef SLUICE_HTTP_H2_HEAD_H
#define SLUICE_HTTP_H2_HEAD_H

#include "http/message.h"

/* The largest limits.header_bytes. Cookies, each of which may come by itself, count as one field. */
enum { H2_HEAD_TEXT_BYTES = 64 * 1024, H2_HEAD_FIELDS_MAX = 128 };
/* A line of HTTP/1.1 would be as long. */
enum { H2_HEAD_FIELD_BYTES_MAX = 16 * 1024 };

struct h2_head {
	struct slice method, scheme, authority, path, protocol, status; /* ptr NULL: did not come */
	struct http_headers headers;
	uint64_t list_bytes; /* as RFC 9113 section 6.5.2 counts them, also of what is not kept */
	uint32_t max_bytes; /* of list_bytes */
	uint32_t used; /* of text */
	uint32_t cookie_bytes;
	bool has_cookies;
	uint16_t refusal; /* the status that says what is wrong; 0: nothing so far */
	struct http_header items[H2_HEAD_FIELDS_MAX];
	char text[H2_HEAD_TEXT_BYTES];
	/* All Cookie fields as the one line of HTTP/1.1 (RFC 9113 section 8.2.3). */
	char cookies[H2_HEAD_FIELD_BYTES_MAX];
};

void h2_head_init(struct h2_head *head, uint32_t max_bytes);
/* Copies the field. */
void h2_head_add(struct h2_head *head, struct slice name, struct slice value);
/* The list is whole; `ended`: there is no body. 0 and the request, or the status to refuse it with:
 * then *ret_request has no more than its method. The slices are the head's. */
unsigned int h2_head_request(struct h2_head *head, bool ended, struct http_request *ret_request);
/* The same for an answer; `is_head`: the request asked for no more. False: it is malformed. */
bool h2_head_response(struct h2_head *head, bool ended, bool is_head,
	struct http_response *ret_response) must_check;
/* Which trailers have none of. */
bool h2_head_has_pseudo(const struct h2_head *head);

#endif
