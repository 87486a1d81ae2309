/*
 * One request and its answer in an HTTP/2 session (h2.h). A request's head comes up as a http_request;
 * its body, and that of the answer, is a `struct stream` like any other: read() takes what the other
 * side sent, and only that opens its window again; writev() takes what the windows of the other side
 * and the connection have room for. Owned by whoever got it, until h2_stream_end() or
 * h2_stream_reset(); its session's thread.
 */
#ifndef SLUICE_HTTP_H2_STREAM_H
#define SLUICE_HTTP_H2_STREAM_H

#include "http/message.h"
#include "net/stream.h"

struct h2;
struct h2_thread;

struct h2_stream {
	struct stream body; /* read() and writev() are the bodies; body.broken: it was reset */
	struct h2 *h2;
	struct h2_thread *thread;
	struct list link;    /* h2->streams */
	struct list touched; /* h2->touched: there is news for the owner */
	struct list blocked; /* h2->blocked: it has more to write than there was room for */
	struct task free_task;
	int32_t id;
	bool is_open; /* the library knows it */
	bool is_released; /* its owner has let go of it */
	bool in_ended; /* the request is here whole; of a client: the answer */
	bool is_head; /* of a client: it has asked for a head only, */
	bool has_response; /* and has got the one that is not interim */
	bool is_asked; /* the head of its request is on its way */
	bool has_left; /* the answer's length is known: */
	bool out_ended; /* no more will be written */
	bool end_sent;
	bool is_reset;  /* from here, on purpose */
	bool is_tunnel; /* a WebSocket: each direction ends by itself */
	bool is_faulty; /* it was reset from here, as what the client sent was wrong */
	uint32_t error; /* the code it was closed with */
	uint32_t interims, interim_bytes; /* interim answers that wait to be sent */
	uint32_t share; /* bytes it may still write before others have their turn */
	uint32_t round; /* h2->round in which it was woken last */
	uint64_t
		seen_data_bytes; /* of the session, when h2_stream_waits_its_turn() was asked last */
	uint64_t left; /* bytes of the answer to come */
	struct buf in; /* body bytes not read yet */
	struct buf in_trailers, out_trailers; /* h2_trailers.h */
	const struct iovec *offered; /* while writev() lasts: */
	size_t offset, n_bytes, n_taken; /* offset: into offered[0] */
};

static inline struct h2_stream *h2_stream_of(struct stream *body)
{
	return container_of(body, struct h2_stream, body);
}

/* 100..199. 0 or -errno; -ENOBUFS: too much of that waits to be sent. */
int h2_stream_interim(struct h2_stream *stream, const struct http_response *response) must_check;
/* The head of the answer; `extra` are headers more. Behind it goes what is written to the body; `ends`:
 * nothing. 0 or -errno. */
int h2_stream_respond(struct h2_stream *stream, const struct http_response *response,
	const struct http_header *extra, uint32_t n_extra, bool ends) must_check;
/* One of the trailers behind the answer, copied. False: they are too many. */
bool h2_stream_put_trailer(struct stream *body, const struct http_header *trailer);
/* What is written to it was written whole; the other direction may go on. */
void h2_stream_close_writing(struct h2_stream *stream);
/* It has more to write, and its client takes what others write meanwhile: not true twice without that. */
bool h2_stream_waits_its_turn(struct h2_stream *stream);
/* After the end of the request: the next of its trailers. The slices hold until the next call. */
bool h2_stream_next_trailer(struct stream *body, struct http_header *ret_trailer);
/* The answer was written whole. The stream is not the owner's any more. */
void h2_stream_end(struct h2_stream *stream);
/* The answer will not be whole, or the request is not wanted: RST_STREAM. Not the owner's any more. */
enum h2_reset { H2_RESET_INTERNAL, H2_RESET_CANCEL, H2_RESET_REFUSED };
void h2_stream_reset(struct h2_stream *stream, enum h2_reset reason);

#endif
