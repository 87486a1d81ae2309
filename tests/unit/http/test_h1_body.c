/*
 * Bodies: length, until close, chunked; what the decoder hands out, where it stops, what it
 * refuses. Every row is fed whole, byte by byte and cut at every place, in memory of its size.
 */
#include "http/h1_body.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { OUT_BYTES = 64 * 1024 };

struct seen {
	char out[OUT_BYTES]; /* data, then "{name=value}" per trailer */
	size_t out_len, used;
	enum h1_body_step last;
	enum h1_error error;
};

static void collect_data(struct seen *seen, struct slice data, size_t max)
{
	size_t len = data.len < max ? data.len : max;

	assert_true(seen->out_len + len < OUT_BYTES);
	memcpy(seen->out + seen->out_len, data.ptr, len);
	seen->out_len += len;
}

static void collect_trailer(struct seen *seen, const struct http_header *trailer)
{
	seen->out_len += (size_t)snprintf(seen->out + seen->out_len, OUT_BYTES - seen->out_len,
		"{%.*s=%.*s}", (int)trailer->name.len, trailer->name.ptr, (int)trailer->value.len,
		trailer->value.ptr);
}

/* Decodes what is at text[used..n), taking at most `take` bytes of data at once. */
static void drain(struct h1_body *body, const char *text, size_t n, size_t take, struct seen *seen)
{
	do {
		size_t len = n - seen->used, skip;
		char *copy = malloc(len ? len : 1);
		union h1_body_out out;

		memcpy(copy, text + seen->used, len);
		seen->last = h1_body_next(body, copy, len, &skip, &out, &seen->error);
		assert_true(skip <= len);
		seen->used += skip;
		if (seen->last == H1_BODY_DATA) {
			assert_ptr_equal(out.data.ptr, copy + skip);
			assert_true(out.data.len > 0 && out.data.len <= len - skip);
			collect_data(seen, out.data, take);
			size_t took = out.data.len < take ? out.data.len : take;
			h1_body_take(body, took);
			seen->used += took;
		} else if (seen->last == H1_BODY_TRAILER) {
			collect_trailer(seen, &out.trailer);
		}
		free(copy);
	} while (seen->last == H1_BODY_DATA || seen->last == H1_BODY_TRAILER);
}

static void feed(struct h1_body body, struct slice text, size_t first, size_t step, size_t take,
	struct seen *seen)
{
	size_t n = first < text.len ? first : text.len;

	*seen = (struct seen){0};
	for (;;) {
		drain(&body, text.ptr, n, take, seen);
		if (seen->last != H1_BODY_MORE || n == text.len)
			break;
		n = step == 0 || step > text.len - n ? text.len : n + step;
	}
	assert_int_equal(h1_body_is_done(&body), seen->last == H1_BODY_END);
}

struct row {
	struct slice text;
	enum h1_error error;
	const char *out; /* accepted: data and trailers */
	size_t rest;     /* bytes behind the body that must be left alone */
};

#define ROW(text, error, out, rest) {{text, sizeof(text) - 1}, H1_ERROR_##error, out, rest}

static const struct row chunked[] = {
	ROW("0\r\n\r\n", NONE, "", 0),
	ROW("000\r\n\r\nGET", NONE, "", 3),
	ROW("3\r\nabc\r\n0\r\n\r\n", NONE, "abc", 0),
	ROW("003\r\nabc\r\n0\r\n\r\nX", NONE, "abc", 1),
	ROW("1\r\na\r\nA\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n", NONE,
		"a01234567890123456789", 0),
	ROW("2\r\n\r\n\r\n0\r\n\r\n", NONE, "\r\n", 0),
	ROW("3;a=b;c=\"d e\"\r\nabc\r\n0;x\r\n\r\n", NONE, "abc", 0),
	ROW("1;\r\na\r\n0\r\n\r\n", NONE, "a", 0),
	ROW("0\r\nA: b \r\nC:\r\n\r\nrest", NONE, "{A=b}{C=}", 4),
	ROW("0\r\nContent-Length: 5\r\n\r\n", NONE, "{Content-Length=5}", 0),
	ROW("\r\n", CHUNK_SIZE, NULL, 0),
	ROW(";a\r\n", CHUNK_SIZE, NULL, 0),
	ROW("g\r\n", CHUNK_SIZE, NULL, 0),
	ROW("0x1\r\na", CHUNK_SIZE, NULL, 0),
	ROW("+1\r\na", CHUNK_SIZE, NULL, 0),
	ROW("-1\r\na", CHUNK_SIZE, NULL, 0),
	ROW(" 1\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1 \r\na", CHUNK_SIZE, NULL, 0),
	ROW("1\t\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1 ;a\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1_0\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1\na", CHUNK_SIZE, NULL, 0),
	ROW("1\ra", CHUNK_SIZE, NULL, 0),
	ROW("1\r\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1\0\r\na", CHUNK_SIZE, NULL, 0),
	ROW("1000000000000000\r\n", CHUNK_SIZE, NULL, 0),
	ROW("ffffffffffffffff1\r\n", CHUNK_SIZE, NULL, 0),
	ROW("0000000000000001\r\n", CHUNK_SIZE, NULL, 0),
	ROW("1;a\nb\r\n", CHUNK_EXTENSION, NULL, 0),
	ROW("1;a\0\r\n", CHUNK_EXTENSION, NULL, 0),
	ROW("1;a\rb", CHUNK_SIZE, NULL, 0),
	ROW("1\r\nab\r\n", CHUNK_END, NULL, 0),
	ROW("1\r\na\n0\r\n\r\n", CHUNK_END, NULL, 0),
	ROW("1\r\na\r0\r\n", CHUNK_END, NULL, 0),
	ROW("4\r\nabc\r\n0\r\n\r\n", CHUNK_END, NULL, 0),
	ROW("2\r\nabc\r\n0\r\n\r\n", CHUNK_END, NULL, 0),
	ROW("0\r\n\n", BARE_LF, NULL, 0),
	ROW("0\r\nA: b\n\r\n", BARE_LF, NULL, 0),
	ROW("0\r\nA : b\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\n b\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\nA: b\r\n c\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\nA\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\n: b\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\nA: b\rc\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\nA: b\0c\r\n\r\n", TRAILER, NULL, 0),
	ROW("0\r\nGET / HTTP/1.1\r\n\r\n", TRAILER, NULL, 0),
};

static void row_check(const struct row *row, size_t first, size_t step, size_t take)
{
	static struct seen seen;
	struct h1_body body;

	h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
	body.want_trailers = true;
	feed(body, row->text, first, step, take, &seen);
	if (seen.error != row->error)
		fail_msg("%.*s: %s instead of %s", (int)row->text.len, row->text.ptr,
			h1_error_row(seen.error)->name, h1_error_row(row->error)->name);
	if (row->error) {
		assert_int_equal(seen.last, H1_BODY_ERROR);
		return;
	}
	assert_int_equal(seen.last, H1_BODY_END);
	assert_string_equal(seen.out, row->out);
	assert_int_equal(row->text.len - seen.used, row->rest);
}

static void test_chunked(void **state)
{
	for (size_t i = 0; i < array_len(chunked); i++) {
		row_check(&chunked[i], chunked[i].text.len, 0, SIZE_MAX);
		row_check(&chunked[i], chunked[i].text.len, 0, 1);
		row_check(&chunked[i], 0, 1, SIZE_MAX);
		for (size_t cut = 0; cut < chunked[i].text.len; cut++)
			row_check(&chunked[i], cut, 0, 2);
	}
}

static void test_unwanted_trailers_are_checked_and_dropped(void **state)
{
	static struct seen seen;
	struct h1_body body;

	h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
	feed(body, SLICE("1\r\na\r\n0\r\nA: b\r\n\r\n"), 0, 1, SIZE_MAX, &seen);
	assert_string_equal(seen.out, "a");
	assert_int_equal(seen.last, H1_BODY_END);
	feed(body, SLICE("0\r\nA b\r\n\r\n"), 0, 1, SIZE_MAX, &seen);
	assert_int_equal(seen.error, H1_ERROR_TRAILER);
}

static void bound_check(
	const char *front, const char *unit, size_t n, const char *end, enum h1_error error)
{
	static struct seen seen;
	struct h1_body body;
	char *text = malloc(strlen(front) + n * strlen(unit) + strlen(end) + 1);

	strcpy(text, front);
	char *at = text + strlen(text);

	for (size_t i = 0; i < n; i++)
		at = stpcpy(at, unit);
	strcpy(at, end);
	h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
	feed(body, slice_of(text), strlen(text), 0, SIZE_MAX, &seen);
	assert_int_equal(seen.error, error);
	feed(body, slice_of(text), 0, 7, SIZE_MAX, &seen);
	assert_int_equal(seen.error, error);
	assert_int_equal(seen.last, error ? H1_BODY_ERROR : H1_BODY_END);
	free(text);
}

static void test_overhead_is_bounded(void **state)
{
	bound_check("1;", "x", 4096, "\r\na\r\n0\r\n\r\n", H1_ERROR_NONE);
	bound_check("1;", "x", 4097, "\r\na\r\n0\r\n\r\n", H1_ERROR_CHUNK_EXTENSION);
	bound_check("", "1;xxxxxxxx\r\na\r\n", 513, "0\r\n\r\n", H1_ERROR_CHUNK_EXTENSION);
	bound_check("0\r\n", "a:\r\n", 64, "\r\n", H1_ERROR_NONE);
	bound_check("0\r\n", "a:\r\n", 65, "\r\n", H1_ERROR_TRAILERS_TOO_LARGE);
	bound_check("0\r\na:", "x", 8189, "\r\n\r\n", H1_ERROR_TRAILERS_TOO_LARGE);
}

static void test_length(void **state)
{
	static struct seen seen;
	struct h1_body body;

	h1_body_init(&body, HTTP_BODY_LENGTH, 5);
	assert_int_equal(h1_body_ready(&body), 5);
	assert_false(h1_body_may_end(&body));
	feed(body, SLICE("helloGET"), 0, 1, SIZE_MAX, &seen);
	assert_string_equal(seen.out, "hello");
	assert_int_equal(seen.used, 5);
	assert_int_equal(seen.last, H1_BODY_END);
	feed(body, SLICE("hell"), 0, 1, SIZE_MAX, &seen);
	assert_int_equal(seen.last, H1_BODY_MORE);
	h1_body_take(&body, 5); /* moved past the decoder */
	assert_true(h1_body_is_done(&body));
	h1_body_init(&body, HTTP_BODY_NONE, 0);
	assert_true(h1_body_is_done(&body));
}

static void test_until_close(void **state)
{
	static struct seen seen;
	struct h1_body body;

	h1_body_init(&body, HTTP_BODY_UNTIL_CLOSE, 0);
	assert_true(h1_body_may_end(&body));
	assert_false(h1_body_is_done(&body));
	assert_int_equal(h1_body_ready(&body), UINT64_MAX);
	feed(body, SLICE("hello"), 0, 2, SIZE_MAX, &seen);
	assert_string_equal(seen.out, "hello");
	assert_int_equal(seen.last, H1_BODY_MORE);
}

static void test_cut_chunked_body_may_not_end(void **state)
{
	static const struct slice text = SLICE("3\r\nabc\r\n0\r\nA: b\r\n\r\n");

	for (size_t n = 0; n < text.len; n++) {
		struct seen *seen = calloc(1, sizeof(*seen));
		struct h1_body body;

		h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
		drain(&body, text.ptr, n, SIZE_MAX, seen);
		assert_int_equal(seen->last, H1_BODY_MORE);
		assert_false(h1_body_may_end(&body));
		free(seen);
	}
}

static void test_chunk_lines_decode(void **state)
{
	static const uint64_t sizes[] = {1, 9, 15, 16, 255, 256, 4096, 65536, 0xfffffffffffffffull};

	for (size_t i = 0; i < array_len(sizes); i++) {
		char line[H1_CHUNK_LINE_BYTES];
		size_t len = h1_chunk_line(sizes[i], line), skip;
		struct h1_body body;
		union h1_body_out out;
		enum h1_error error;

		h1_body_init(&body, HTTP_BODY_CHUNKED, 0);
		assert_int_equal(h1_body_next(&body, line, len, &skip, &out, &error), H1_BODY_MORE);
		assert_int_equal(skip, len);
		assert_int_equal(h1_body_ready(&body), sizes[i]);
	}
	char line[H1_CHUNK_LINE_BYTES];

	assert_int_equal(h1_chunk_line(UINT64_MAX, line), H1_CHUNK_LINE_BYTES);
	assert_int_equal(h1_chunk_line(0, line), 3);
	assert_memory_equal(line, "0\r\n", 3);
}

static void test_trailers_that_may_pass(void **state)
{
	static const struct {
		const char *name;
		bool is_allowed;
	} rows[] = {
		{"grpc-status", true},
		{"etag", true},
		{"x_sum", true},
		{"a-name-that-is-longer-than-all-that-are-known", true},
		{"Content-Length", false},
		{"host", false},
		/* Servers hand these on by the names of the others. */
		{"Content_Length", false},
		{"X.Forwarded_For", false},
	};
	struct http_header trailer;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		trailer = (struct http_header){.name = slice_of(rows[i].name)};
		trailer.id = (uint8_t)http_header_id(trailer.name);
		if (h1_trailer_is_allowed(&trailer) != rows[i].is_allowed)
			fail_msg("%s", rows[i].name);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_chunked),
		cmocka_unit_test(test_unwanted_trailers_are_checked_and_dropped),
		cmocka_unit_test(test_overhead_is_bounded),
		cmocka_unit_test(test_length),
		cmocka_unit_test(test_until_close),
		cmocka_unit_test(test_cut_chunked_body_may_not_end),
		cmocka_unit_test(test_chunk_lines_decode),
		cmocka_unit_test(test_trailers_that_may_pass),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
