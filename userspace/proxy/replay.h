/*
 * What was sent of a message, byte for byte, as long as it is little: so that it can be sent again, to
 * another. Part of an exchange; its worker's thread.
 */
#ifndef SLUICE_PROXY_REPLAY_H
#define SLUICE_PROXY_REPLAY_H

#include "core/buf.h"
#include "http/message.h"

enum { REPLAY_BYTES_MAX = BUF_MEDIUM };

struct replay {
	struct buf sent; /* [start, end) is to be sent once more */
	bool is_whole; /* everything that was sent is here */
};

/* To be done twice does no harm (RFC 9110 section 9.2.2). */
static inline bool replay_is_harmless(enum http_method method)
{
	return method == HTTP_METHOD_GET || method == HTTP_METHOD_HEAD ||
	       method == HTTP_METHOD_PUT || method == HTTP_METHOD_DELETE ||
	       method == HTTP_METHOD_OPTIONS || method == HTTP_METHOD_TRACE;
}

/* Notes what is sent from now on: no more than `bytes`, if that is known (else REPLAY_BYTES_MAX). Without
 * memory nothing is noted. */
static inline void replay_begin(struct replay *replay, struct bufpool *bufs, uint64_t bytes)
{
	replay->is_whole =
		bytes <= REPLAY_BYTES_MAX &&
		buf_hold(&replay->sent, bufs, bytes <= BUF_SMALL ? BUF_SMALL : BUF_MEDIUM) == 0;
}

static inline void replay_end(struct replay *replay, struct bufpool *bufs)
{
	replay->is_whole = false;
	buf_drop(&replay->sent, bufs);
}

/* All of it is to be sent once more. */
static inline void replay_again(struct replay *replay)
{
	replay->sent.start = 0;
}

/* How much of that is left. */
static inline uint32_t replay_left(const struct replay *replay)
{
	return replay ? buf_len(&replay->sent) : 0;
}

/* `len` bytes of that were sent. */
static inline void replay_take(struct replay *replay, uint32_t len)
{
	replay->sent.start += len;
}

/* Bytes were sent for the first time, with nothing left of the others. */
static inline void replay_note(struct replay *replay, const void *bytes, uint32_t len)
{
	if (!replay || !replay->is_whole || !len)
		return;
	replay->is_whole = buf_append(&replay->sent, bytes, len);
	replay->sent.start = replay->sent.end;
}

#endif
