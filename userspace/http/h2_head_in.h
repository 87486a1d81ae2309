/* Lists of headers that an HTTP/2 session gets. Part of h2_parts.h. */
#ifndef SLUICE_HTTP_H2_HEAD_IN_H
#define SLUICE_HTTP_H2_HEAD_IN_H

#include "http/h2_parts.h"

/* The list is whole. */
int h2_got_headers(struct h2 *h2, const nghttp2_frame *frame);
/* The other side has sent all of it. */
void h2_got_end(struct h2_stream *stream);
void h2_head_callbacks_set(nghttp2_session_callbacks *callbacks);

#endif
