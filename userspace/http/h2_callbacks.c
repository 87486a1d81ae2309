/* What the library tells an HTTP/2 session, frame by frame, and what it takes from it: see h2.h. */
#include "http/h2_parts.h"
#include "http/h2_trailers.h"

#include <errno.h>

enum { TINY_UPDATE_BYTES = 64 };

/* Lists that are this much over their limit are not even looked at to their end. */
enum { LISTS_OVER_MAX = 4 };

static struct h2_stream *stream_of(const struct h2 *h2, int32_t id)
{
	return id ? nghttp2_session_get_stream_user_data(h2->session, id) : NULL;
}

static void drop_head(struct h2 *h2)
{
	pool_put(&h2->thread->heads, h2->head);
	h2->head = NULL;
}

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
	if (!h2->head)
		h2->head = pool_get(&h2->thread->heads);
	if (!h2->head)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	h2_head_init(h2->head, h2->max_header_bytes);
	if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = h2_stream_new(h2, frame->hd.stream_id);
	if (!stream)
		return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
	stream->is_released = true; /* nobody's yet */
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
	size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_head *head = h2->head;
	bool was_refused;

	if (!head || h2->is_ending)
		return 0;
	was_refused = head->refusal != 0;
	h2_head_add(head, (struct slice){(const char *)name, name_len},
		(struct slice){(const char *)value, value_len});
	if (!was_refused && head->list_bytes > head->max_bytes)
		h2_spend(h2, H2_COST_header_list);
	if (head->list_bytes <= (uint64_t)LISTS_OVER_MAX * head->max_bytes)
		return 0;
	drop_head(h2);
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
	struct h2_stream *stream = stream_of(h2, frame->hd.stream_id);
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
		drop_head(h2);
	return r;
}

static void got_data(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *stream = stream_of(h2, frame->hd.stream_id);

	if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && stream)
		got_end(h2, stream);
	if (frame->hd.length == frame->data.padlen)
		return;
	h2_budget_earn(&h2->budget, H2_BUDGET_PER_DATA);
}

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	const struct h2_stream *stream;

	if (h2->is_ending)
		return 0;
	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
		return got_headers(h2, frame);
	case NGHTTP2_DATA:
		got_data(h2, frame);
		break;
	case NGHTTP2_RST_STREAM:
		stream = stream_of(h2, frame->hd.stream_id);
		if (stream && !stream->is_released)
			h2_spend(h2, H2_COST_reset_by_client);
		break;
	case NGHTTP2_PING:
		if (frame->hd.flags & NGHTTP2_FLAG_ACK)
			h2_drained(h2);
		else
			h2_spend(h2, H2_COST_ping);
		break;
	case NGHTTP2_SETTINGS:
		if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
			h2_spend(h2, H2_COST_settings);
		break;
	case NGHTTP2_WINDOW_UPDATE:
		h2_spend(h2, frame->window_update.window_size_increment < TINY_UPDATE_BYTES
				     ? H2_COST_tiny_window_update
				     : H2_COST_window_update);
		break;
	case NGHTTP2_GOAWAY:
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
	struct h2_stream *stream = stream_of(h2, frame->hd.stream_id);

	if (h2->head)
		drop_head(h2);
	if (stream)
		stream->is_faulty = true;
	h2_spend(h2, H2_COST_invalid_frame);
	return 0;
}

static int on_data_chunk(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *bytes,
	size_t len, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream = stream_of(h2, id);

	if (!stream || stream->is_released || h2->is_ending) {
		if (nghttp2_session_consume_connection(session, len) < 0)
			return NGHTTP2_ERR_CALLBACK_FAILURE;
		return 0;
	}
	if (h2_stream_put(stream, bytes, len) < 0)
		return NGHTTP2_ERR_CALLBACK_FAILURE;
	h2_touch(h2, stream);
	return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t id, uint32_t code, void *arg)
{
	struct h2_stream *stream = nghttp2_session_get_stream_user_data(session, id);

	if (stream)
		h2_stream_closed(stream, code);
	return 0;
}

/* --- sending */

static void sent_end(struct h2 *h2, struct h2_stream *stream)
{
	stream->end_sent = true;
	/* The rest of the request is not wanted (RFC 9113 section 8.1). */
	if (!stream->in_ended && nghttp2_submit_rst_stream(h2->session, NGHTTP2_FLAG_NONE,
					 stream->id, NGHTTP2_NO_ERROR) < 0)
		h2_end(h2, H2_FAULT_MEMORY, NGHTTP2_INTERNAL_ERROR);
}

static int on_frame_send(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream;

	switch (frame->hd.type) {
	case NGHTTP2_HEADERS:
	case NGHTTP2_DATA:
		stream = stream_of(h2, frame->hd.stream_id);
		if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM && stream)
			sent_end(h2, stream);
		break;
	case NGHTTP2_RST_STREAM:
		stream = stream_of(h2, frame->hd.stream_id);
		/* Refused by the library, or by what it found wrong. */
		if (!stream || stream->is_faulty)
			h2_spend(h2, H2_COST_reset_by_us);
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
	h2_budget_earn(&h2->budget, H2_BUDGET_PER_DATA);
	return 0;
}

nghttp2_data_provider2 h2_data_provider(struct h2_stream *stream)
{
	return (nghttp2_data_provider2){.source.ptr = stream, .read_callback = on_data_wanted};
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
	nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_send);
	nghttp2_session_callbacks_set_send_callback2(callbacks, on_send);
	nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
}
