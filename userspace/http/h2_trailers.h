/* A few headers kept in a buffer until they can go on: trailers wait for the body. Pure. */
#ifndef SLUICE_HTTP_H2_TRAILERS_H
#define SLUICE_HTTP_H2_TRAILERS_H

#include "core/buf.h"
#include "http/message.h"

enum { H2_TRAILERS_MAX = 64 };

/* Copies it behind the others. 0, -ENOBUFS, -ENOMEM. */
int h2_trailers_put(struct buf *trailers, struct bufpool *bufs, struct slice name,
	struct slice value) must_check;
/* Takes the first; the slices hold until the buffer is written to. False: there is none. */
bool h2_trailers_take(struct buf *trailers, struct http_header *ret_trailer);

#endif
