/*
 * Chunked bodies: data, trailers, end and error must not depend on how the bytes are cut, and data
 * that is encoded again must decode to itself.
 */
#include "http/h1_body.h"
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct seen {
	char out[8192]; /* data and trailers, cut off */
	size_t out_len, data_len, used;
	enum h1_body_step last;
	enum h1_error error;
};

static void check(bool good)
{
	if (!good)
		abort();
}

static void collect(struct seen *seen, struct slice text)
{
	size_t space = sizeof(seen->out) - seen->out_len;
	size_t len = text.len < space ? text.len : space;

	memcpy(seen->out + seen->out_len, text.ptr, len);
	seen->out_len += len;
}

static void drain(struct h1_body *body, const char *bytes, size_t n, struct seen *seen)
{
	do {
		size_t len = n - seen->used, skip;
		char *copy = malloc(len ? len : 1);
		union h1_body_out out;

		memcpy(copy, bytes + seen->used, len);
		seen->last = h1_body_next(body, copy, len, &skip, &out, &seen->error);
		check(skip <= len);
		seen->used += skip;
		if (seen->last == H1_BODY_DATA) {
			check(out.data.ptr == copy + skip && out.data.len <= len - skip);
			collect(seen, out.data);
			h1_body_take(body, out.data.len);
			seen->used += out.data.len;
			seen->data_len += out.data.len;
		} else if (seen->last == H1_BODY_TRAILER) {
			collect(seen, out.trailer.name);
			collect(seen, SLICE("="));
			collect(seen, out.trailer.value);
		}
		free(copy);
	} while (seen->last == H1_BODY_DATA || seen->last == H1_BODY_TRAILER);
}

static void feed(const char *bytes, size_t len, size_t step, struct seen *seen)
{
	struct h1_body body;
	size_t n = step < len ? step : len;

	h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
	body.want_trailers = true;
	seen->out_len = seen->data_len = seen->used = 0;
	seen->error = H1_ERROR_NONE;
	for (;;) {
		drain(&body, bytes, n, seen);
		if (seen->last != H1_BODY_MORE || n == len)
			return;
		n = step > len - n ? len : n + step;
	}
}

static void same_check(const struct seen *a, const struct seen *b)
{
	check(a->last == b->last && a->error == b->error);
	check(a->last == H1_BODY_ERROR || a->used == b->used);
	check(a->data_len == b->data_len && a->out_len == b->out_len);
	check(memcmp(a->out, b->out, a->out_len) == 0);
}

static void round_trip(const char *bytes, size_t len)
{
	static struct seen seen;
	char line[H1_CHUNK_LINE_BYTES];
	size_t line_len = h1_chunk_line(len, line);
	char *text = malloc(line_len + len + 7);

	memcpy(text, line, line_len);
	memcpy(text + line_len, bytes, len);
	memcpy(text + line_len + len, "\r\n0\r\n\r\n", 7);
	feed(text, line_len + len + 7, 11, &seen);
	check(seen.last == H1_BODY_END && seen.data_len == len);
	check(seen.used == line_len + len + 7);
	check(memcmp(seen.out, bytes, seen.out_len) == 0);
	free(text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct seen whole, cut;
	const char *bytes = (const char *)data;

	feed(bytes, size, size ? size : 1, &whole);
	feed(bytes, size, size / 2 + 1, &cut);
	same_check(&whole, &cut);
	feed(bytes, size, 5, &cut);
	same_check(&whole, &cut);
	if (size <= 512) {
		feed(bytes, size, 1, &cut);
		same_check(&whole, &cut);
	}
	if (size > 0)
		round_trip(bytes, size);
	return 0;
}
