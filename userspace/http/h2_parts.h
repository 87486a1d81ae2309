/* What the files of an HTTP/2 session share; nobody else includes it. See h2.h. */
#ifndef SLUICE_HTTP_H2_PARTS_H
#define SLUICE_HTTP_H2_PARTS_H

#include "http/h2.h"
#include "http/h2_client.h"
#include "http/h2_head.h"
#include "http/h2_scan.h"

#include <nghttp2/nghttp2.h>

enum {
	H2_OUT_BYTES = BUF_MEDIUM,
	/* Of `out`: less would make frames that are mostly heads. */
	H2_ROOM_MIN = 2048,
	/* Frames that wait to be sent; with more, and a client that takes nothing, nothing is read. */
	H2_QUEUE_MAX = 2 * H2_STREAMS_MAX,
	/* Interim answers of one request that wait to be sent. */
	H2_INTERIM_BYTES_MAX = 64 * 1024,
	/* Of an answer, before the others that wait have their turn; of the only one. */
	H2_SHARE_BYTES = 16 * 1024,
	H2_SHARE_ALONE_BYTES = 64 * 1024,
	H2_READ_BYTES = BUF_MEDIUM,
	/* What a client may send before it was read: one stream, all together. */
	H2_WINDOW = 65535,
	H2_CONNECTION_WINDOW = 1024 * 1024,
	/* Of a client, whose answers go to many: one that is not taken must not hold up the others. */
	H2_CLIENT_WINDOW = H2_ASKS_MAX * H2_WINDOW,
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
	int32_t head_id; /* of its stream */
	struct list streams, touched, blocked; /* struct h2_stream */
	uint32_t n_streams, n_owned; /* open ones; that are not released */
	uint32_t heads, told_heads; /* that have begun, ever; of which the owner knows */
	enum h2_wait told_wait;
	uint32_t round; /* of waking those that wait for room */
	uint64_t data_bytes; /* of answers, sent */
	int32_t last_id; /* H2_DRAIN_LAST: later requests are refused */
	struct h2_budget budget;
	struct h2_scan scan;
	struct task settle_task, read_task;
	struct timer drain_timer;
	enum h2_drain drain;
	enum h2_fault fault;
	enum h2_cost flood;
	uint64_t news; /* frames of answers that came */
	uint32_t pings; /* of ours, not answered yet */
	bool is_client, takes_connect;
	bool has_settings, told_settings; /* of the other side; and the owner knows the last ones */
	bool is_reading; /* within the library's reading: nothing may be sent */
	bool is_held; /* nothing is read until the client has taken something */
	bool read_ended; /* the client has ended its side, and waits for answers */
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
static inline struct h2_stream *h2_stream_by_id(const struct h2 *h2, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(h2->session, id) : NULL;
}

static inline void h2_drop_head(struct h2 *h2)
{
	pool_put(&h2->thread->heads, h2->head);
	h2->head = NULL;
}

/* Frames that wait to be sent, but for DATA. */
static inline size_t h2_frames_waiting(const struct h2 *h2)
{
	return nghttp2_session_get_outbound_queue_size(h2->session);
}

/* The connection is broken. */
void h2_gone(struct h2 *h2);
/* Tells the owners of streams what is new. False: there was nothing. */
bool h2_dispatch(struct h2 *h2);

/* h2_io.c. Has the library write what it has into `out`. */
void h2_pull(struct h2 *h2);
void h2_flush(struct h2 *h2); /* gives the connection what is in `out` */
/* Makes room in `out`, by sending if need be. */
bool h2_make_room(struct h2 *h2, uint32_t bytes);
/* More than enough waits for a client that does not read: it is not listened to. */
bool h2_is_held_up(struct h2 *h2);
/* Nothing more will come: what is not whole will not be. */
void h2_cut(struct h2 *h2);
/* Reads on what the kernel says nothing new about. */
void h2_read_on(struct task *task);

/* h2_stream.c. NULL: no memory. */
struct h2_stream *h2_stream_new(struct h2 *h2, int32_t id);
/* Nobody has it any more. */
void h2_stream_free(struct h2_stream *stream);
/* The library's hold on it ends. */
void h2_stream_closed(struct h2_stream *stream, uint32_t code);
/* DATA of the client. */
int h2_stream_put(struct h2_stream *stream, const uint8_t *bytes, size_t len);
/* Room in the connection, a window of the stream; none, and the client has ended its side. */
bool h2_has_room(struct h2 *h2);
bool h2_stream_has_window(const struct h2_stream *stream);
bool h2_stream_is_stuck(const struct h2_stream *stream);

/* h2_callbacks.c */
void h2_callbacks_set(nghttp2_session_callbacks *callbacks);

/* h2_send.c */
void h2_send_callbacks_set(nghttp2_session_callbacks *callbacks);
/* DATA behind the head of an answer. */
nghttp2_data_provider2 h2_data_provider(struct h2_stream *stream);

#endif
