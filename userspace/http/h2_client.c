/* The client's side of HTTP/2 sessions: see h2_client.h. */
#include "http/h2_parts.h"

#include <errno.h>

/* What a request of ours has, with what is put in. */
enum { FIELDS_MAX = H2_HEAD_FIELDS_MAX + 128 };

bool h2_may_ask(const struct h2 *h2)
{
	return h2_is_heard(h2) && nghttp2_session_check_request_allowed(h2->session);
}

uint32_t h2_asks_max(const struct h2 *h2)
{
	uint32_t max = nghttp2_session_get_remote_settings(
		h2->session, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);

	return max < H2_ASKS_MAX ? max : H2_ASKS_MAX;
}

int h2_takes_connect(const struct h2 *h2)
{
	if (!h2->has_settings)
		return -EAGAIN;
	return nghttp2_session_get_remote_settings(
		       h2->session, NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 1
		       ? 0
		       : -EOPNOTSUPP;
}

bool h2_is_heard(const struct h2 *h2)
{
	return !h2->is_ending && !h2->is_broken && !h2->read_ended;
}

/* The library copies them, with the names in lower case. -ENOBUFS: too many. */
static int fill(const struct h2_ask *ask, nghttp2_nv fields[static FIELDS_MAX])
{
	uint32_t i;

	if (ask->n_fields > FIELDS_MAX)
		return -ENOBUFS;
	for (i = 0; i < ask->n_fields; i++)
		fields[i] = (nghttp2_nv){
			.name = (uint8_t *)ask->fields[i].name.ptr,
			.namelen = ask->fields[i].name.len,
			.value = (uint8_t *)ask->fields[i].value.ptr,
			.valuelen = ask->fields[i].value.len,
		};
	return 0;
}

/* It has no number before the library gives it one. */
static struct h2_stream *new_stream(struct h2 *h2, const struct h2_ask *ask, void *owner)
{
	struct h2_stream *stream = h2_stream_new(h2, 0);

	if (!stream)
		return NULL;
	stream->body.owner = owner;
	stream->is_head = ask->is_head;
	stream->has_left = ask->body == HTTP_BODY_LENGTH;
	stream->left = ask->content_length;
	stream->out_ended = ask->body == HTTP_BODY_NONE && !ask->is_connect;
	return stream;
}

int h2_ask(struct h2 *h2, const struct h2_ask *ask, void *owner, struct h2_stream **ret_stream)
{
	nghttp2_nv fields[FIELDS_MAX];
	nghttp2_data_provider2 provider;
	struct h2_stream *stream;
	int r = fill(ask, fields);

	if (r < 0)
		return r;
	if (!h2_may_ask(h2))
		return -EPIPE;
	stream = new_stream(h2, ask, owner);
	if (!stream)
		return -ENOMEM;
	provider = h2_data_provider(stream);
	r = nghttp2_submit_request2(h2->session, NULL, fields, ask->n_fields,
		stream->out_ended ? NULL : &provider, stream);
	if (r < 0) {
		h2->n_streams--;
		h2_stream_free(stream);
		return r == NGHTTP2_ERR_NOMEM ? -ENOMEM : -EPIPE;
	}
	stream->id = r;
	h2->n_owned++;
	/* A body has a window only behind its head. */
	if (!stream->out_ended && !h2->is_reading)
		h2_pull(h2);
	h2_settle_soon(h2);
	*ret_stream = stream;
	return 0;
}

bool h2_stream_is_unprocessed(const struct h2_stream *stream)
{
	if (!stream->is_asked)
		return true;
	return !stream->is_open && stream->error == NGHTTP2_REFUSED_STREAM && !stream->has_response;
}

bool h2_stream_is_complete(const struct h2_stream *stream)
{
	return stream->in_ended && (stream->out_ended || !stream->is_open);
}

int h2_ping(struct h2 *h2)
{
	int r = nghttp2_submit_ping(h2->session, NGHTTP2_FLAG_NONE, NULL);

	h2->pings += r == 0;
	h2_settle_soon(h2);
	return r < 0 ? -ENOMEM : 0;
}

uint64_t h2_news(const struct h2 *h2)
{
	return h2->news;
}
