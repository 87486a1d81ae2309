/* What the library sends for an HTTP/2 session, and what it takes of bodies: see h2.h. */
#include "http/h2_parts.h"
#include "http/h2_trailers.h"

enum { TINY_BYTES = 64 };

/* --- sending */

static void sent_end(struct h2 *h2, struct h2_stream *stream)
{
	stream->end_sent = true;
	if (h2->is_client)
		return;
	h2_budget_earn(&h2->budget, H2_BUDGET_PER_ANSWER);
	/* The rest of the request is not wanted (RFC 9113 section 8.1). */
	if (stream->in_ended || (stream->is_tunnel && !stream->is_released))
		return;
	stream->is_reset = true;
	if (nghttp2_submit_rst_stream(
		    h2->session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR) < 0)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
}

static void sent_head(struct h2_stream *stream)
{
	stream->is_asked = true;
	if (stream->interims)
		stream->interims--;
	if (!stream->interims)
		stream->interim_bytes = 0;
}

/* Not meant so, but for what came on it; some resets the library makes by itself and says so nowhere
 * else. One without a stream was charged when it was asked for. */
static void sent_reset(struct h2 *h2, struct h2_stream *stream)
{
	if (!stream || stream->is_reset)
		return;
	stream->is_faulty = true;
	if (!h2->is_client) /* which has asked for it */
		h2_spend(h2, H2_COST_reset_by_us);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		if (stream)
			sent_head(stream);
		/* fall through */
	case NGHTTP2_DATA:
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && stream)
			sent_end(h2, stream);
		break;
	case NGHTTP2_RST_STREAM:
		sent_reset(h2, stream);
		break;
	case NGHTTP2_GOAWAY:
		/* The library's own judgement. */
		if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !h2->is_ending) {
			h2->is_ending = true;
			h2->fault = H2_FAULT_PROTOCOL;
		}
		break;
	default:
		break;
	}
	return 0;
}

/* A head that is too large for the library: nothing of the answer can be sent. (It closes the stream of
 * a request by itself.) */
static int on_frame_not_send(
	nghttp2_session *session, const nghttp2_frame *frame, int error, void *arg)
{
	struct h2_stream *stream = h2_stream_by_id(arg, frame->hd.stream_id);

	if (frame->hd.type != NGHTTP2_HEADERS || !stream ||
		frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		return 0;
	stream->is_reset = true;
	if (nghttp2_submit_rst_stream(
		    session, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_INTERNAL_ERROR) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	return 0;
}

static nghttp2_ssize on_send(
	nghttp2_session *session, const uint8_t *bytes, size_t len, int flags, void *arg)
{
	struct h2 *h2 = arg;

	if (!h2_make_room(h2, 1))
		return NGHTTP2_ERR_WOULDBLOCK;
	if (len > buf_space(&h2->out))
		len = buf_space(&h2->out);
	buf_append(&h2->out, bytes, len);
	return (nghttp2_ssize)len;
}

static int submit_trailers(struct h2 *h2, struct h2_stream *stream)
{
	nghttp2_nv fields[H2_TRAILERS_MAX];
	struct http_header trailer;
	size_t n = 0;

	while (n < H2_TRAILERS_MAX && h2_trailers_take(&stream->out_trailers, &trailer))
		fields[n++] = (nghttp2_nv){(uint8_t *)trailer.name.ptr,
			(uint8_t *)trailer.value.ptr, trailer.name.len, trailer.value.len, 0};
	return nghttp2_submit_trailer(h2->session, stream->id, fields, n);
}

/* Behind the last byte. */
static nghttp2_ssize give_end(struct h2 *h2, struct h2_stream *stream, uint32_t *flags)
{
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	if (!buf_len(&stream->out_trailers))
		return 0;
	*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
	return submit_trailers(h2, stream) < 0 ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* How much of what writev() offers goes into the next frame. It is copied by on_send_data(). */
static nghttp2_ssize on_data_wanted(nghttp2_session *session, int32_t id, uint8_t *bytes,
	size_t len, uint32_t *flags, nghttp2_data_source *source, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = source->ptr;
	size_t n = stream->offered ? stream->n_bytes - stream->n_taken : 0;

	if (!n)
		return stream->out_ended ? give_end(h2, stream, flags) : NGHTTP2_ERR_DEFERRED;
	if (!h2_make_room(h2, H2_ROOM_MIN))
		return NGHTTP2_ERR_DEFERRED;
	if (n <= len)
		h2_budget_data_sent(&h2->budget);
	else if (len < TINY_BYTES)
		h2_spend(h2, H2_COST_tiny_window);
	if (len > buf_space(&h2->out) - H2_FRAME_HEAD_BYTES)
		len = buf_space(&h2->out) - H2_FRAME_HEAD_BYTES;
	if (n > len)
		n = len;
	*flags |= NGHTTP2_DATA_FLAG_NO_COPY;
	if (stream->has_left) {
		stream->left -= n < stream->left ? n : stream->left;
		if (!stream->left) {
			*flags |= NGHTTP2_DATA_FLAG_EOF;
			stream->out_ended = true;
		}
	}
	return (nghttp2_ssize)n;
}

static void copy_offered(struct h2_stream *stream, struct buf *out, size_t len)
{
	while (len) {
		const struct iovec *iov = stream->offered;
		size_t n = iov->iov_len - stream->offset;

		if (n > len)
			n = len;
		buf_append(out, (const uint8_t *)iov->iov_base + stream->offset, n);
		stream->offset += n;
		stream->n_taken += n;
		len -= n;
		if (stream->offset == iov->iov_len) {
			stream->offered++;
			stream->offset = 0;
		}
	}
}

/* There is room: on_data_wanted() has seen to it. Frames have no padding from here. */
static int on_send_data(nghttp2_session *session, nghttp2_frame *frame, const uint8_t *frame_head,
	size_t len, nghttp2_data_source *source, void *arg)
{
	struct h2 *h2 = arg;

	if (!h2_make_room(h2, (uint32_t)len + H2_FRAME_HEAD_BYTES))
		return NGHTTP2_ERR_WOULDBLOCK;
	buf_append(&h2->out, frame_head, H2_FRAME_HEAD_BYTES);
	copy_offered(source->ptr, &h2->out, len);
	h2->data_bytes += len;
	h2_budget_moved(&h2->budget, len);
	return 0;
}

nghttp2_data_provider2 h2_data_provider(struct h2_stream *stream)
{
	return (nghttp2_data_provider2){.source.ptr = stream, .read_callback = on_data_wanted};
}

void h2_send_callbacks_set(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_frame_not_send);
	nghttp2_session_callbacks_set_send_callback2(callbacks, on_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}
