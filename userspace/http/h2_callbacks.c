/* What the library tells an HTTP/2 session, frame by frame, and what it takes from it: see h2.h. */
#include "http/h2_parts.h"
#include "http/h2_trailers.h"

#include <errno.h>

enum { TINY_UPDATE_BYTES = 64 };

/* Lists that are this much over their limit are not even looked at to their end. */
enum { LISTS_OVER_MAX = 4 };

/* What came on a stream is wrong: the library is told to reset it. */
static int refuse_stream(struct h2 *h2, struct h2_stream *stream)
{
	stream->is_faulty = true;
	if (nghttp2_submit_rst_stream(
		    h2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_PROTOCOL_ERROR) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

/* --- lists of headers */

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream;

	if (h2->is_ending)
		return 0;
	h2->heads++;
	if (!h2->head)
		h2->head = pool_get(&h2->thread->heads);
	if (!h2->head)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h2->head_id = frame->hd.stream_id;
	h2_head_init(h2->head, h2->max_header_bytes);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = h2_stream_new(h2, frame->hd.stream_id);
	if (!stream) {
		h2_drop_head(h2);
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	}
	stream->is_released = true; /* nobody's yet */
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_head *head = h2->head;
	bool was_over;

	if (!head || h2->is_ending)
		return 0;
	was_over = head->list_bytes > head->max_bytes;
	h2_head_add(head, (struct slice){(const char *)name, name_len},
		(struct slice){(const char *)value, value_len});
	if (!was_over && head->list_bytes > head->max_bytes)
		h2_spend(h2, H2_COST_header_list);
	if (head->list_bytes <= (uint64_t)LISTS_OVER_MAX * head->max_bytes)
		return 0;
	h2_drop_head(h2);
	return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

/* The library would leave such a field out: then others would see another message than was sent. */
static int on_invalid_header(nghttp2_session *session, const nghttp2_frame *frame,
	const uint8_t *name, size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
	void *arg)
{
	struct h2 *h2 = arg;

	if (h2->head && !h2->head->refusal)
		h2->head->refusal = 400;
	return 0;
}

static void got_request(struct h2 *h2, struct h2_stream *stream, bool ended)
{
	struct http_request request;
	unsigned int refusal = h2_head_request(h2->head, ended, &request);

	stream->is_released = false;
	h2->n_owned++;
	/* The client was told, or is about to be, that it has not been looked at. */
	if (h2->drain == H2_DRAIN_LAST && stream->id > h2->last_id) {
		h2_stream_reset(stream, H2_RESET_REFUSED);
		return;
	}
	h2->ops->request(stream, &request, refusal);
	if (!stream->is_released && !stream->body.owner)
		h2_stream_reset(stream, H2_RESET_REFUSED);
}

static int got_trailers(struct h2 *h2, struct h2_stream *stream)
{
	const struct http_headers *headers = &h2->head->headers;
	uint32_t i;

	if (h2->head->refusal || h2->head->method.ptr || h2->head->path.ptr ||
		h2->head->scheme.ptr || h2->head->authority.ptr || headers->len > H2_TRAILERS_MAX)
		return refuse_stream(h2, stream);
	for (i = 0; i < headers->len && !stream->is_released; i++)
		if (h2_trailers_put(&stream->in_trailers, &h2->thread->io->bufs,
			    headers->items[i].name, headers->items[i].value) < 0)
			return refuse_stream(h2, stream);
	return 0;
}

/* --- frames */

static void got_end(struct h2 *h2, struct h2_stream *stream)
{
	stream->in_ended = true;
	if (stream->is_released)
		return;
	stream->body.can_read = true;
	h2_touch(h2, stream);
}

static int got_headers(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);
	bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	int r = 0;

	if (stream && h2->head && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		stream->in_ended = ended;
		stream->body.can_read = ended;
		got_request(h2, stream, ended);
	} else if (stream && h2->head) {
		r = got_trailers(h2, stream);
		if (r == 0 && ended)
			got_end(h2, stream);
	}
	if (h2->head)
		h2_drop_head(h2);
	return r;
}

static void got_data(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);

	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && stream)
		got_end(h2, stream);
}

static void got_window_update(struct h2 *h2, const nghttp2_frame *frame)
{
	if (!h2_budget_is_reply(&h2->budget))
		h2_spend(h2, frame->window_update.window_size_increment < TINY_UPDATE_BYTES
				     ? H2_COST_tiny_window_update
				     : H2_COST_window_update);
}

static void got_ping(struct h2 *h2, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_ACK)
		h2_drained(h2);
	else if (!h2_budget_is_reply(&h2->budget))
		h2_spend(h2, H2_COST_ping);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;

	if (h2->is_ending)
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		return got_headers(h2, frame);
	case NGHTTP2_DATA:
		got_data(h2, frame);
		break;
	case NGHTTP2_RST_STREAM:
		/* Of what is open: also when only a part of the answer is left to be sent. */
		if (h2_stream_by_id(h2, frame->hd.stream_id))
			h2_spend(h2, H2_COST_reset_by_client);
		break;
	case NGHTTP2_PING:
		got_ping(h2, frame);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			h2_spend(h2, H2_COST_settings);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		got_window_update(h2, frame);
		break;
	default: /* h2_scan.h */
		break;
	}
	return 0;
}

static int on_invalid_frame(
	nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);

	if (h2->head)
		h2_drop_head(h2);
	if (stream)
		stream->is_faulty = true; /* its reset is what is charged */
	else
		h2_spend(h2, error == NGHTTP2_ERR_REFUSED_STREAM ? H2_COST_refused_stream
								 : H2_COST_invalid_frame);
	if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST &&
		(error == NGHTTP2_ERR_HTTP_HEADER || error == NGHTTP2_ERR_HTTP_MESSAGING))
		h2->ops->malformed(h2);
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
	size_t len, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = h2_stream_by_id(h2, id);

	if (!stream || stream->is_released || h2->is_ending) {
		if (nghttp2_session_consume_connection(session, len) < 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		return 0;
	}
	if (h2_stream_put(stream, bytes, len) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_budget_moved(&h2->budget, len);
	h2_touch(h2, stream);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = h2_stream_by_id(h2, id);

	if (h2->head && h2->head_id == id) /* the library says nothing more of it */
		h2_drop_head(h2);
	if (stream)
		h2_stream_closed(stream, code);
	return 0;
}

void h2_callbacks_set(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	h2_send_callbacks_set(callbacks);
}
