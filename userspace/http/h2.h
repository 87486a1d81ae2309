/*
 * HTTP/2 (RFC 9113) on one connection: a session over a stream of bytes, in which each request is a
 * stream of its own (h2_stream.h). What is said here of clients and requests holds for the server's
 * side; as a client (h2_client.h) it is the target whose answers come up. A slow side holds the other
 * one up, per request, and nothing piles up here but a window of received bytes.
 *
 * A session has a budget for what costs more here than at the sender (h2_budget.h); one that
 * overdraws it is ended. Owned by one connection on one thread. Nothing here calls up from within a
 * call from above, but for ops->request and ops->response, which come while bytes are read.
 */
#ifndef SLUICE_HTTP_H2_H
#define SLUICE_HTTP_H2_H

#include "http/h2_budget.h"
#include "http/h2_stream.h"
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

struct h2_ops {
	/* A request. Its slices hold until this returns; stream->body.owner may be set. `refusal`: the
	 * status it is to be refused with, or 0. What is written now is sent later. */
	void (*request)(
		struct h2_stream *stream, const struct http_request *request, unsigned int refusal);
	/* A request that never came up: it was reset, for its form or for its size. */
	void (*malformed)(struct h2 *h2, bool is_too_large);
	/* Of a client: the head of an answer, or an interim one before it. The slices hold until this
	 * returns. */
	void (*response)(struct h2_stream *stream, const struct http_response *response);
	/* Of a client: the target has said what it wants, and maybe for the first time. NULL: never. */
	void (*settings)(struct h2 *h2);
	/* Something to read, room to write, the end, a reset: stream->body says. */
	void (*event)(struct h2_stream *stream);
	/* It waits for something else than before (h2_waits()), or for the next of its kind. */
	void (*changed)(struct h2 *h2);
	/* It is over: h2_fault() says why. Frees it. */
	void (*over)(struct h2 *h2);
};

struct h2_spec {
	uint32_t max_header_bytes; /* a list of headers, counted as in RFC 9113 section 6.5.2 */
	bool is_client;
	bool takes_connect; /* of a server: WebSockets may be opened (RFC 8441) */
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

#endif
