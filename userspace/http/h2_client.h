/*
 * HTTP/2 sessions that ask: the client's side of h2.h, towards targets. Answers come by ops->response,
 * their bodies by the stream of the request.
 */
#ifndef SLUICE_HTTP_H2_CLIENT_H
#define SLUICE_HTTP_H2_CLIENT_H

#include "http/h2.h"

/* At once on a session, if the target allows as many. */
enum { H2_ASKS_MAX = 100 };

/* Another request may be sent: the session has not ended, and neither side has said that it will. */
bool h2_may_ask(const struct h2 *h2);
/* How many may be under way at once, H2_ASKS_MAX at most; more wait here. Before ops->settings it is a guess. */
uint32_t h2_asks_max(const struct h2 *h2);
/* Something may come still, and not only be left to be read from streams. */
bool h2_is_heard(const struct h2 *h2);

struct h2_ask {
	const struct http_header *fields; /* pseudo-headers first; copied */
	uint32_t n_fields;
	enum http_body body; /* NONE: nothing is written to the body */
	uint64_t content_length; /* LENGTH */
	bool is_head; /* the method is HEAD */
	bool is_connect; /* no body, and no end behind the head */
};

/* Does the target take CONNECT for WebSockets (RFC 8441)? -EAGAIN: it has not said; -EOPNOTSUPP: no. */
int h2_takes_connect(const struct h2 *h2) must_check;
/* Sends a request; its body is what is written to the stream, up to its length or
 * h2_stream_close_writing(). 0 or -errno: nothing was sent. */
int h2_ask(struct h2 *h2, const struct h2_ask *ask, void *owner,
	struct h2_stream **ret_stream) must_check;
/* The target has not looked at the request, and said so or not even got it: it may be sent again, to anybody (RFC 9113
 * sections 6.8 and 8.7). */
bool h2_stream_is_unprocessed(const struct h2_stream *stream);
/* The answer is here whole, and the request was sent whole or is not wanted any more. */
bool h2_stream_is_complete(const struct h2_stream *stream);

/* Asks for a sign of life. 0 or -errno. */
int h2_ping(struct h2 *h2) must_check;
/* Frames of answers so far; a PING is none. */
uint64_t h2_news(const struct h2 *h2);

#endif
