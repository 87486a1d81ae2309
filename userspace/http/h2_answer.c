/* Heads of answers in HTTP/2: see h2.h. */
#include "http/h2_parts.h"
#include "http/h1_head.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

/* --- the answer's head and end */

/* Of an answer, with what is put in. */
enum { FIELDS_MAX = H1_HEADERS_DEFAULT + 64 };
/* The library's memory for each, but for texts. */
enum { FRAME_BYTES = 256, FIELD_BYTES = 64 };

struct fields {
	nghttp2_nv items[FIELDS_MAX];
	size_t n;
	char status[4], length[24];
};

static int add_field(struct fields *fields, struct slice name, struct slice value)
{
	if (fields->n == FIELDS_MAX)
		return -ENOBUFS;
	fields->items[fields->n++] = (nghttp2_nv){
		.name = (uint8_t *)name.ptr,
		.namelen = name.len,
		.value = (uint8_t *)value.ptr,
		.valuelen = value.len,
	};
	return 0;
}

static int add_list(struct fields *fields, const struct http_header *items, uint32_t n)
{
	uint32_t i;
	int r = 0;

	for (i = 0; i < n && r == 0; i++)
		if (!(items[i].flags & HTTP_HEADER_DROPPED))
			r = add_field(fields, items[i].name, items[i].value);
	return r;
}

/* The library copies them, with the names in lower case. */
static int fill(struct fields *fields, const struct http_response *response)
{
	const struct http_headers *headers = &response->headers;
	int len, r;

	fields->n = 0;
	len = snprintf(fields->status, sizeof(fields->status), "%03u", response->status % 1000u);
	r = add_field(fields, SLICE(":status"), (struct slice){fields->status, (size_t)len});
	r = r ?: add_list(fields, headers->items, headers->len);
	if (r < 0 || response->body != HTTP_BODY_LENGTH ||
		http_headers_find(headers, HTTP_HEADER_CONTENT_LENGTH))
		return r;
	len = snprintf(
		fields->length, sizeof(fields->length), "%" PRIu64, response->content_length);
	return add_field(
		fields, SLICE("content-length"), (struct slice){fields->length, (size_t)len});
}

static int check(struct h2_stream *stream, int r)
{
	if (r == NGHTTP2_ERR_NOMEM)
		return -ENOMEM;
	if (r < 0)
		return -EPIPE; /* the stream, or the connection, is about to end */
	h2_settle_soon(stream->h2);
	return 0;
}

/* What a head that waits takes here, about. */
static uint32_t held_bytes(const struct fields *fields)
{
	uint32_t bytes = FRAME_BYTES;
	size_t i;

	for (i = 0; i < fields->n; i++)
		bytes += FIELD_BYTES +
			 (uint32_t)(fields->items[i].namelen + fields->items[i].valuelen);
	return bytes;
}

static bool has_interim_room(const struct h2_stream *stream, uint32_t bytes)
{
	return !stream->interims || stream->interim_bytes + bytes <= H2_INTERIM_BYTES_MAX;
}

int h2_stream_interim(struct h2_stream *stream, const struct http_response *response)
{
	struct fields fields;
	int r = fill(&fields, response);
	uint32_t bytes;

	if (r < 0)
		return r;
	bytes = held_bytes(&fields);
	if (!has_interim_room(stream, bytes) && !stream->h2->is_reading)
		h2_pull(stream->h2); /* they may wait for nothing but the end of the turn */
	if (!stream->is_open)
		return -EPIPE;
	if (!has_interim_room(stream, bytes))
		return -ENOBUFS;
	stream->interims++;
	stream->interim_bytes += bytes;
	return check(stream, nghttp2_submit_headers(stream->h2->session, NGHTTP2_FLAG_NONE,
				     stream->id, NULL, fields.items, fields.n, NULL));
}

int h2_stream_respond(struct h2_stream *stream, const struct http_response *response,
	const struct http_header *extra, uint32_t n_extra, bool ends)
{
	nghttp2_data_provider2 provider = h2_data_provider(stream);
	struct fields fields;
	int r = fill(&fields, response);

	r = r ?: add_list(&fields, extra, n_extra);
	if (r < 0)
		return r;
	if (!stream->is_open)
		return -EPIPE;
	stream->has_left = response->body == HTTP_BODY_LENGTH;
	stream->left = response->content_length;
	stream->out_ended = ends;
	return check(stream, nghttp2_submit_response2(stream->h2->session, stream->id, fields.items,
				     fields.n, ends ? NULL : &provider));
}
