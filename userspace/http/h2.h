/*
 * HTTP/2 (RFC 9113) on one connection, server's side: a session over a stream of bytes, in which
 * each request is a stream of its own. A request's head comes up as a http_request; its body, and
 * that of the answer, is a `struct stream` like any other: read() takes what the client sent, and
 * only that opens its window again; writev() takes what the client's windows and the connection
 * have room for. So a slow side holds the other one up, per request, and nothing piles up here but
 * a window of received bytes.
 *
 * A session has a budget for what costs more here than at the sender (h2_budget.h); one that
 * overdraws it is ended. Owned by one connection on one thread. Nothing here calls up from within a
 * call from above, but for ops->request, which comes while bytes are read.
 */
#ifndef SLUICE_HTTP_H2_H
#define SLUICE_HTTP_H2_H

#include "http/h2_budget.h"
#include "http/message.h"
#include "net/stream.h"

struct h2;
struct h2_head;

/* What the sessions of a thread share. */
struct h2_thread {
	struct iothread *io;
	struct pool sessions, streams, heads;
	struct h2_vendor *vendor;
	uint8_t *bytes; /* just read, of whichever session reads */
};

/* One request and its answer. */
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
	bool in_ended; /* the request is here whole */
	bool has_left; /* the answer's length is known: */
	bool out_ended; /* no more will be written */
	bool end_sent;
	bool is_reset;  /* from here, on purpose */
	bool is_faulty; /* it was reset from here, as what the client sent was wrong */
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

struct h2_ops {
	/* A request. Its slices hold until this returns; stream->body.owner may be set. `refusal`: the
	 * status it is to be refused with, or 0. What is written now is sent later. */
	void (*request)(
		struct h2_stream *stream, const struct http_request *request, unsigned int refusal);
	void (*malformed)(struct h2 *h2); /* a request that never came up: it was reset */
	/* Something to read, room to write, the end, a reset: stream->body says. */
	void (*event)(struct h2_stream *stream);
	/* It waits for something else than before (h2_waits()), or for the next of its kind. */
	void (*changed)(struct h2 *h2);
	/* It is over: h2_fault() says why. Frees it. */
	void (*over)(struct h2 *h2);
};

struct h2_spec {
	uint32_t max_header_bytes; /* a list of headers, counted as in RFC 9113 section 6.5.2 */
};

enum { H2_STREAMS_MAX = 128, H2_PREFACE_BYTES = 24 };

/* What a client sends first, in every connection. */
extern const char h2_preface[H2_PREFACE_BYTES + 1];

int h2_thread_init(struct h2_thread *thread, struct iothread *io) must_check;
void h2_thread_fini(struct h2_thread *thread);

/* `io` stays the caller's. NULL: no memory. */
struct h2 *h2_new(struct h2_thread *thread, struct stream *io, const struct h2_spec *spec,
	const struct h2_ops *ops, void *owner) must_check;
/* The owners of its streams have let go of them, or will not touch them any more. */
void h2_free(struct h2 *h2);
void *h2_owner(const struct h2 *h2);

/* Bytes that were read from `io` already. */
void h2_take(struct h2 *h2, const void *bytes, size_t len);
/* An event on `io`. */
void h2_run(struct h2 *h2);
/* No more requests, by GOAWAY as RFC 9113 section 6.8 has it: those on their way are answered. Over
 * when the last one is. */
void h2_drain(struct h2 *h2);
/* Over as soon as a GOAWAY is sent. */
void h2_terminate(struct h2 *h2);

/* Nothing is read or answered any more; over when the client was told. */
bool h2_is_ending(const struct h2 *h2);
/* What has to come next, and from whom. */
enum h2_wait {
	H2_WAITS_REQUEST, /* the next one */
	H2_WAITS_HEAD, /* headers that have begun: nothing can come before they are whole */
	H2_WAITS_OWNERS, /* those of its streams have something to do */
	H2_WAITS_TAKER, /* the client takes nothing of what is on its way to it */
};
enum h2_wait h2_waits(const struct h2 *h2);
/* The next of its streams that has an owner; NULL: the first, none. */
struct h2_stream *h2_next_owned(const struct h2 *h2, struct h2_stream *after);

enum h2_fault {
	H2_FAULT_NONE, /* ended in order, by either side */
	H2_FAULT_GONE, /* the connection is broken, or ended with requests under way */
	H2_FAULT_PROTOCOL, /* the client broke the protocol, and was told so by GOAWAY */
	H2_FAULT_FLOOD, /* it overdrew its budget: h2_flood() */
	H2_FAULT_MEMORY,
};
enum h2_fault h2_fault(const struct h2 *h2);
enum h2_cost h2_flood(const struct h2 *h2); /* what it had too much of */

/* 100..199. 0 or -errno; -ENOBUFS: too much of that waits to be sent. */
int h2_stream_interim(struct h2_stream *stream, const struct http_response *response) must_check;
/* The head of the answer; `extra` are headers more. Behind it goes what is written to the body; `ends`:
 * nothing. 0 or -errno. */
int h2_stream_respond(struct h2_stream *stream, const struct http_response *response,
	const struct http_header *extra, uint32_t n_extra, bool ends) must_check;
/* One of the trailers behind the answer, copied. False: they are too many. */
bool h2_stream_put_trailer(struct stream *body, const struct http_header *trailer);
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
