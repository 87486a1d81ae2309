/* What the files of an HTTP/2 session share; nobody else includes it. See h2.h. */
#ifndef SLUICE_HTTP_H2_PARTS_H
#define SLUICE_HTTP_H2_PARTS_H

#include "http/h2.h"
#include "http/h2_head.h"
#include "http/h2_scan.h"

#include <nghttp2/nghttp2.h>

enum {
	H2_OUT_BYTES = BUF_MEDIUM,
	/* Of `out`: less would make frames that are mostly heads. */
	H2_ROOM_MIN = 2048,
	/* What a client may send before it was read: one stream, all together. */
	H2_WINDOW = 65535,
	H2_CONNECTION_WINDOW = 1024 * 1024,
};

struct h2_vendor {
	nghttp2_session_callbacks *callbacks;
	nghttp2_option *options;
};

enum h2_drain {
	H2_DRAIN_NONE,
	H2_DRAIN_NOTICE, /* a GOAWAY that refuses nothing yet, and a PING behind it, are on their way */
	H2_DRAIN_LAST, /* the GOAWAY that says which request was the last */
};

struct h2 {
	struct h2_thread *thread;
	nghttp2_session *session;
	struct stream *io;
	const struct h2_ops *ops;
	void *owner;
	struct buf out;
	struct h2_head *head; /* of the list of headers under way; NULL: none is */
	uint32_t max_header_bytes;
	struct list streams, touched, blocked; /* struct h2_stream */
	uint32_t n_streams; /* open ones */
	uint32_t told_open; /* of which the owner knows */
	bool told_in_head;
	struct h2_budget budget;
	struct h2_scan scan;
	struct task settle_task, read_task;
	struct timer drain_timer;
	enum h2_drain drain;
	enum h2_fault fault;
	enum h2_cost flood;
	bool is_reading; /* within the library's reading: nothing may be sent */
	bool is_ending; /* nothing is read any more; over when `out` is gone */
	bool is_broken; /* `io` is: there is nobody to send to */
};

/* At the end of this turn: sends, wakes who waited for room, sees whether it is over. */
static inline void h2_settle_soon(struct h2 *h2)
{
	loop_defer(h2->thread->io->loop, &h2->settle_task);
}

static inline void h2_touch(struct h2 *h2, struct h2_stream *stream)
{
	if (!list_is_linked(&stream->touched))
		list_add_tail(&h2->touched, &stream->touched);
}

/* Spends points; ends the session when there are none left. */
void h2_spend(struct h2 *h2, enum h2_cost cost);
/* The client has seen the notice of h2_drain(). */
void h2_drained(struct h2 *h2);
/* Ends it, telling the client by GOAWAY. */
void h2_end(struct h2 *h2, enum h2_fault fault, uint32_t code);
/* Has the library write what it has into `out`. */
void h2_pull(struct h2 *h2);
/* Makes room in `out`, by sending if need be. */
bool h2_make_room(struct h2 *h2, uint32_t bytes);

/* h2_stream.c. NULL: no memory. */
struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* Nobody has it any more. */
void h2_stream_free(struct h2_stream *stream);
/* The library's hold on it ends. */
void h2_stream_closed(struct h2_stream *stream, uint32_t code);
/* DATA of the client. */
int h2_stream_put(struct h2_stream *stream, const uint8_t *bytes, size_t len);
/* Could it write now? */
bool h2_stream_may_write(struct h2_stream *stream);

/* h2_callbacks.c */
void h2_callbacks_set(nghttp2_session_callbacks *callbacks);
/* DATA behind the head of an answer. */
nghttp2_data_provider2 h2_data_provider(struct h2_stream *stream);

#endif
