/* Lists of headers that an HTTP/2 session gets: requests, answers, trailers. See h2.h. */
#include "http/h2_head_in.h"
#include "http/h2_trailers.h"

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

/* Of an answer that is given up, nothing is of interest. */
static bool is_wanted(const struct h2 *h2, int32_t id)
{
	const struct h2_stream *stream = h2_stream_by_id(h2, id);

	return stream && !stream->is_released;
}

static int on_begin_headers(nghttp2_session *session, const nghttp2_frame *frame, void *arg)
{
	struct h2 *h2 = arg;
	struct h2_stream *stream;

	if (h2->is_ending || (h2->is_client && !is_wanted(h2, frame->hd.stream_id)))
		return 0;
	h2->heads++;
	h2->news++;
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
	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
		h2->ops->malformed(h2, true);
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

/* Interim ones are free for the target, and each is passed on. */
static int got_response(struct h2 *h2, struct h2_stream *stream, bool ended)
{
	struct http_response response;

	if (!h2_head_response(h2->head, ended, stream->is_head, &response))
		return refuse_stream(h2, stream);
	if (http_response_is_interim(&response)) {
		h2_spend(h2, H2_COST_interim);
	} else {
		stream->has_response = true;
		stream->in_ended = stream->body.can_read = ended;
	}
	h2->ops->response(stream, &response);
	return 0;
}

static int got_trailers(struct h2 *h2, struct h2_stream *stream)
{
	const struct http_headers *headers = &h2->head->headers;
	uint32_t i;

	if (h2->head->refusal || h2_head_has_pseudo(h2->head) || headers->len > H2_TRAILERS_MAX)
		return refuse_stream(h2, stream);
	for (i = 0; i < headers->len && !stream->is_released; i++)
		if (h2_trailers_put(&stream->in_trailers, &h2->thread->io->bufs,
			    headers->items[i].name, headers->items[i].value) < 0)
			return refuse_stream(h2, stream);
	return 0;
}

void h2_got_end(struct h2_stream *stream)
{
	stream->in_ended = true;
	if (stream->is_released)
		return;
	stream->body.can_read = true;
	h2_touch(stream->h2, stream);
}

static int got_list(struct h2 *h2, struct h2_stream *stream, const nghttp2_frame *frame)
{
	bool ended = frame->hd.flags & NGHTTP2_FLAG_END_STREAM;
	int r;

	if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
		stream->in_ended = ended;
		stream->body.can_read = ended;
		got_request(h2, stream, ended);
		return 0;
	}
	if (h2->is_client && !stream->has_response)
		return stream->is_released ? 0 : got_response(h2, stream, ended);
	r = got_trailers(h2, stream);
	if (r == 0 && ended && !stream->is_faulty)
		h2_got_end(stream);
	return r;
}

int h2_got_headers(struct h2 *h2, const nghttp2_frame *frame)
{
	struct h2_stream *stream = h2_stream_by_id(h2, frame->hd.stream_id);
	int r = stream && h2->head ? got_list(h2, stream, frame) : 0;

	if (h2->head)
		h2_drop_head(h2);
	return r;
}

void h2_head_callbacks_set(nghttp2_session_callbacks *callbacks)
{
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_invalid_header_callback(callbacks, on_invalid_header);
}
