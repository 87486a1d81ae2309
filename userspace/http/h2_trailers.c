/* Trailers that wait: see h2_trailers.h. Each is two lengths of 16 bits and the text. */
#include "http/h2_trailers.h"

#include <errno.h>

enum { LENGTHS_BYTES = 2 * sizeof(uint16_t) };

int h2_trailers_put(
	struct buf *trailers, struct bufpool *bufs, struct slice name, struct slice value)
{
	uint16_t lengths[2] = {(uint16_t)name.len, (uint16_t)value.len};
	int r;

	if (name.len > UINT16_MAX || value.len > UINT16_MAX)
		return -ENOBUFS;
	r = buf_hold(trailers, bufs, BUF_SMALL);
	if (r < 0)
		return r;
	if (buf_space(trailers) < LENGTHS_BYTES + name.len + value.len)
		return -ENOBUFS;
	buf_append(trailers, lengths, LENGTHS_BYTES);
	buf_append(trailers, name.ptr, name.len);
	buf_append(trailers, value.ptr, value.len);
	return 0;
}

bool h2_trailers_take(struct buf *trailers, struct http_header *ret_trailer)
{
	uint16_t lengths[2];
	const char *text;

	if (!buf_len(trailers))
		return false;
	memcpy(lengths, buf_head(trailers), LENGTHS_BYTES);
	text = (const char *)buf_head(trailers) + LENGTHS_BYTES;
	*ret_trailer = (struct http_header){
		.name = {text, lengths[0]},
		.value = {text + lengths[0], lengths[1]},
	};
	ret_trailer->id = (uint8_t)http_header_id(ret_trailer->name);
	buf_consume(trailers, LENGTHS_BYTES + lengths[0] + lengths[1]);
	return true;
}
