/* What the library tells an HTTP/2 session, frame by frame, and what it takes from it: see h2.h. */
#include "http/h2_head_in.h"

#include <errno.h>

/* --- frames */

/* Padding is no news. */
static void got_data(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);

	if (!(frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
		if (frame->hd.length == frame->data.padlen)
			h2_spend(h2, H2_COST_empty_data);
	} else if (stream) {
		h2_got_end(stream);
	}
}

static void got_window_update(struct h2 *h2)
{
	if (!h2_budget_is_reply(&h2->budget))
		h2_spend(h2, H2_COST_window_update);
}

static void got_ping(struct h2 *h2, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_ACK && h2->pings) {
		h2->pings--;
		h2_drained(h2);
	} else if (!h2_budget_is_reply(&h2->budget))
		h2_spend(h2, H2_COST_ping);
}

static void got_settings(struct h2 *h2, const nghttp2_frame *frame)
{
	if (frame->hd.flags & NGHTTP2_FLAG_ACK)
		return;
	h2_spend(h2, H2_COST_settings);
	h2->has_settings = true;
	h2->told_settings = false;
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;

	if (h2->is_ending)
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		return h2_got_headers(h2, frame);
	case NGHTTP2_DATA:
		got_data(h2, frame);
		break;
	case NGHTTP2_RST_STREAM:
		/* Of what is open: also when only a part of the answer is left to be sent. A client
		 * has asked for each itself. */
		if (!h2->is_client && h2_stream_by_id(h2, frame->hd.stream_id))
			h2_spend(h2, H2_COST_reset_by_client);
		break;
	case NGHTTP2_PING:
		got_ping(h2, frame);
		break;
	case NGHTTP2_SETTINGS:
		got_settings(h2, frame);
		break;
	case NGHTTP2_GOAWAY:
		h2_spend(h2, H2_COST_goaway);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		got_window_update(h2);
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
		h2->ops->malformed(h2, false);
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
	size_t len, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = h2_stream_by_id(h2, id);
	int r = -ENOBUFS;

	if (stream && !stream->is_released && !h2->is_ending)
		r = h2_stream_put(stream, bytes, len);
	if (r == -ENOBUFS) /* nobody's, or more than its window: the library resets it for that */
		return nghttp2_session_consume_connection(session, len) < 0
			       ? NGHTTP2_ERR_CALLBACK_FAILURE
			       : 0;
	if (r < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_budget_moved(&h2->budget, len);
	h2->news++;
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
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
	nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(callbacks, on_invalid_frame);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
	h2_head_callbacks_set(callbacks);
	h2_send_callbacks_set(callbacks);
}
