/* Bodies on their way by copy, between two streams that give and take as many bytes as a test says. */
#include "pump_fakes.h"

static void test_no_body(void **state)
{
	begin_text("NEXT", HTTP_BODY_NONE, 0, false);
	assert_int_equal(buf_hold(&pump.out, &bufs, BUF_SMALL), 0);
	assert_true(buf_append(&pump.out, "head", 4));
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, "head");
	assert_int_equal(src.at, 0);
}

/* What came behind the body is the next message's and stays. */
static void test_length_leaves_what_follows(void **state)
{
	begin_text("12345NEXT", HTTP_BODY_LENGTH, 5, false);
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, "12345");
	assert_int_equal(buf_len(&in), 4);
	assert_memory_equal(buf_head(&in), "NEXT", 4);
}

struct shape {
	const char *wire;
	enum http_body kind;
	uint64_t length;
	bool chunked;
	const char *body; /* its bytes without framing */
};

static const struct shape shapes[] = {
	{"hello world", HTTP_BODY_LENGTH, 11, false, "hello world"},
	{"5\r\nhello\r\n6;x=y\r\n world\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true, "hello world"},
	{"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", HTTP_BODY_CHUNKED, 0, true,
		"hello world"},
	{"5\r\nhello\r\n6\r\n world\r\n0\r\nA: b\r\n\r\n", HTTP_BODY_CHUNKED, 0, false,
		"hello world"},
	{"hello world", HTTP_BODY_UNTIL_CLOSE, 0, true, "hello world"},
	{"hello world", HTTP_BODY_UNTIL_CLOSE, 0, false, "hello world"},
};

/* The sink's bytes without framing; asserts that they are one whole message. */
static void assert_body(const struct shape *shape)
{
	char body[64], *at = dst.got, *end = dst.got + dst.got_len;
	size_t len = 0, n;

	if (!shape->chunked) {
		assert_string_equal(dst.got, shape->body);
		return;
	}
	for (;;) {
		n = strtoul(at, &at, 16);
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
		if (!n)
			break;
		memcpy(body + len, at, n);
		len += n;
		at += n;
		assert_memory_equal(at, "\r\n", 2);
		at += 2;
	}
	assert_int_equal(len, strlen(shape->body));
	assert_memory_equal(body, shape->body, len);
	assert_string_equal(at, strstr(shape->wire, "A: b") ? "A: b\r\n\r\n" : "\r\n");
	assert_ptr_equal(at + strlen(at), end);
}

/* However the bytes come, and however few are taken at a time. */
static void test_every_split(void **state)
{
	size_t i, per_read, room;

	for (i = 0; i < array_len(shapes); i++)
		for (per_read = 1; per_read <= strlen(shapes[i].wire); per_read++)
			for (room = 1; room <= 12; room += room < 4 ? 1 : 4) {
				again(state);
				src.per_read = per_read;
				src.end = shapes[i].kind == HTTP_BODY_UNTIL_CLOSE ? 0 : -EAGAIN;
				begin_text(shapes[i].wire, shapes[i].kind, shapes[i].length,
					shapes[i].chunked);
				assert_int_equal(run_with_room(room), PUMP_DONE);
				assert_body(&shapes[i]);
				assert_int_equal(pump.body_bytes, strlen(shapes[i].body));
			}
}

/* Wherever the first target is lost, and a second one, too: the third gets the whole message. */
static void test_sent_again(void **state)
{
	struct replay replay = {0};
	size_t i, first, second;

	for (i = 0; i < array_len(shapes); i++)
		for (first = 0; first < 40; first += 3)
			for (second = 0; second < 40; second += 5) {
				again(state);
				src.per_read = 7;
				src.end = shapes[i].kind == HTTP_BODY_UNTIL_CLOSE ? 0 : -EAGAIN;
				begin_text(shapes[i].wire, shapes[i].kind, shapes[i].length,
					shapes[i].chunked);
				replay_begin(&replay, &bufs, REPLAY_BYTES_MAX);
				pump.replay = &replay;
				dst.room = first;
				(void)run();
				replay_again(&replay);
				dst.room = second;
				dst.base.can_write = true;
				(void)run();
				replay_again(&replay);
				dst.got_len = 0;
				dst.base.can_write = true;
				assert_int_equal(run_with_room(2), PUMP_DONE);
				assert_true(replay.is_whole);
				assert_body(&shapes[i]);
				assert_int_equal(pump.body_bytes, strlen(shapes[i].body));
				replay_end(&replay, &bufs);
			}
}

/* What is too much is not kept, nor is the block. */
static void test_too_much_to_send_again(void **state)
{
	enum { LEN = REPLAY_BYTES_MAX + 1 };
	struct replay replay = {0};
	char *body = malloc(LEN);

	fill(body, LEN);
	begin(body, LEN, HTTP_BODY_LENGTH, LEN, false);
	replay_begin(&replay, &bufs, REPLAY_BYTES_MAX);
	pump.replay = &replay;
	dst.per_write = 10000;
	assert_int_equal(run(), PUMP_DONE);
	assert_false(replay.is_whole);
	assert_memory_equal(dst.got, body, LEN);
	assert_int_equal(pump_run(&pump, &bufs), PUMP_DONE);
	assert_null(replay.sent.data);
	replay_begin(&replay, &bufs, LEN);
	assert_false(replay.is_whole);
	assert_null(replay.sent.data);
	free(body);
}

static void test_large_chunk_is_not_copied(void **state)
{
	enum { LEN = 200000 };
	char *wire = malloc(LEN + 64), *body;
	int head = sprintf(wire, "%x\r\n", LEN);
	size_t at = 0, n;

	fill(wire + head, LEN);
	strcpy(wire + head + LEN, "\r\n0\r\n\r\n");
	begin(wire, (size_t)head + LEN + 7, HTTP_BODY_CHUNKED, 0, true);
	dst.per_write = 30000;
	assert_int_equal(run(), PUMP_DONE);
	/* chunks of the size of what was read, all of them complete */
	for (body = dst.got; (n = strtoul(body, &body, 16)) > 0; body += n + 2, at += n) {
		body += 2;
		assert_memory_equal(body, wire + head + at, n);
		assert_memory_equal(body + n, "\r\n", 2);
	}
	assert_int_equal(at, LEN);
	assert_string_equal(body, "\r\n\r\n");
	free(wire);
}

/* Small chunks fill `out` up; trailers of many bytes come behind them. */
static void test_trailers_behind_many_small_chunks(void **state)
{
	enum { CHUNKS = 1700, VALUE = 7000 };
	char *wire = malloc(CHUNKS * 8 + VALUE + 64), *at = wire;
	int i;

	for (i = 0; i < CHUNKS; i++)
		at = stpcpy(at, "3\r\nabc\r\n");
	at = stpcpy(at, "0\r\nX-Long: ");
	fill(at, VALUE);
	strcpy(at + VALUE, "\r\nContent-Length: 1\r\n\r\n");
	begin_text(wire, HTTP_BODY_CHUNKED, 0, true);
	assert_int_equal(run_with_room(100000), PUMP_DONE);
	*strstr(wire, "Content-Length") = '\0'; /* may not be a trailer: is left out */
	strcat(wire, "\r\n");
	assert_string_equal(dst.got, wire);
	free(wire);
}

static void test_limit(void **state)
{
	begin_text("8\r\n12345678\r\n3\r\nabc\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true);
	pump.max_bytes = 10;
	assert_int_equal(run(), PUMP_OVER_LIMIT);
	assert_null(strstr(dst.got, "abc"));
	again(state);
	begin_text("8\r\n12345678\r\n2\r\nab\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, true);
	pump.max_bytes = 10;
	assert_int_equal(run(), PUMP_DONE);
}

static void test_sources_that_end(void **state)
{
	static const struct {
		const char *wire;
		enum http_body kind;
		uint64_t length;
		int end;
		bool truncated;
		enum pump_result result;
	} cases[] = {
		{"1234", HTTP_BODY_LENGTH, 5, -EAGAIN, false, PUMP_WAITS_SRC},
		{"1234", HTTP_BODY_LENGTH, 5, 0, false, PUMP_SRC_ENDED},
		{"1234", HTTP_BODY_LENGTH, 5, -ECONNRESET, false, PUMP_SRC_FAILED},
		{"12345", HTTP_BODY_LENGTH, 5, 0, false, PUMP_DONE},
		{"2\r\nab\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_SRC_ENDED},
		{"2\r\nab\r\n0\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_SRC_ENDED},
		{"2\r\nab\r\n0\r\n\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_DONE},
		{"zz\r\n", HTTP_BODY_CHUNKED, 0, 0, false, PUMP_BAD_BODY},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, 0, false, PUMP_DONE},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, 0, true, PUMP_SRC_ENDED},
		{"ab", HTTP_BODY_UNTIL_CLOSE, 0, -ECONNRESET, false, PUMP_SRC_FAILED},
	};
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		again(state);
		src.end = cases[i].end;
		src.base.truncated = cases[i].truncated;
		begin_text(cases[i].wire, cases[i].kind, cases[i].length, false);
		assert_int_equal(run(), cases[i].result);
	}
}

static void test_destination_fails(void **state)
{
	begin_text("12345", HTTP_BODY_LENGTH, 5, false);
	dst.write_error = -EPIPE;
	assert_int_equal(run(), PUMP_DST_FAILED);
}

/* Without room nothing more is read than one buffer; an idle pump holds no memory. */
static void test_back_pressure(void **state)
{
	enum { LEN = 300000 };
	char *bytes = malloc(LEN);

	fill(bytes, LEN);
	begin(bytes, LEN, HTTP_BODY_LENGTH, LEN + 1, false);
	dst.room = 1000;
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(dst.got_len, 1000);
	assert_int_equal(src.at, BUF_MEDIUM); /* a receiver nobody knows gets no large block */
	assert_int_equal(run(), PUMP_WAITS_DST);
	assert_int_equal(src.at, BUF_MEDIUM);
	dst.room = SINK_BYTES;
	dst.base.can_write = true;
	assert_int_equal(run(), PUMP_WAITS_SRC);
	assert_int_equal(dst.got_len, LEN);
	assert_memory_equal(dst.got, bytes, LEN);
	assert_int_equal(bufs.large.used + bufs.medium.used + bufs.small.used, 0);
	free(bytes);
}

static void test_one_turn_has_a_share(void **state)
{
	enum { LEN = 1000 };
	char bytes[LEN];

	fill(bytes, LEN);
	src.per_read = 1;
	begin(bytes, LEN, HTTP_BODY_LENGTH, LEN, false);
	assert_int_equal(pump_run(&pump, &bufs), PUMP_SHARE_USED);
	assert_in_range(dst.got_len, 1, 100);
	assert_int_equal(run(), PUMP_DONE);
	assert_int_equal(dst.got_len, LEN);
}

/* Many small chunks at hand leave in few writes. */
static void test_small_chunks_are_gathered(void **state)
{
	char wire[100 * 6 + 8] = "";
	int i;

	for (i = 0; i < 100; i++)
		strcat(wire, "1\r\nx\r\n");
	strcat(wire, "0\r\n\r\n");
	begin_text(wire, HTTP_BODY_CHUNKED, 0, true);
	assert_int_equal(run(), PUMP_DONE);
	assert_string_equal(dst.got, wire);
	assert_int_equal(dst.writes, 1);
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		CASE(test_no_body),
		CASE(test_length_leaves_what_follows),
		CASE(test_every_split),
		CASE(test_sent_again),
		CASE(test_too_much_to_send_again),
		CASE(test_large_chunk_is_not_copied),
		CASE(test_trailers_behind_many_small_chunks),
		CASE(test_limit),
		CASE(test_sources_that_end),
		CASE(test_destination_fails),
		CASE(test_back_pressure),
		CASE(test_one_turn_has_a_share),
		CASE(test_small_chunks_are_gathered),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
