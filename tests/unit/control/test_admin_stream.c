/*
 * The admin API beyond one document for an answer: parameters, bodies small and big, and answers that
 * stay open.
 */
#include "admin_case.h"

#include "control/admin_request.h"

#include <poll.h>

/* --- the fake source */

static struct admin_stream *stream;
static uint32_t puts_with_room;

static const char drop_line[] = "{\"reason\": \"deny_v4\"}\n";

static void fill_stream(void)
{
	char block[1000];

	memset(block, 'b', sizeof(block));
	puts_with_room = 0;
	while (admin_stream_put(stream, block, sizeof(block)))
		puts_with_room++;
	tell('f');
}

/* p: put a line into the stream; f: fill it; e: end it. */
static void do_as_told(char what)
{
	if (what == 'p')
		assert_true(admin_stream_put(stream, drop_line, sizeof(drop_line) - 1));
	else if (what == 'f')
		fill_stream();
	else
		admin_stream_end(stream);
}

static int fake_status(void *arg, yyjson_mut_doc *doc, yyjson_mut_val *root)
{
	yyjson_mut_obj_add_str(doc, root, "version", "1.2.3");
	return 0;
}

static void fake_top(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	char kind[8], text[64];
	uint32_t n = 0;
	int has_kind = admin_query_text(call->query, "kind", kind, sizeof(kind));
	int has_n = admin_query_number(call->query, "n", 100, &n);
	int len = snprintf(text, sizeof(text), "kind %d %s n %d %u\n", has_kind, kind, has_n, n);

	admin_reply_text(reply, "text/plain", text, (size_t)len);
}

static void fake_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	admin_reply_text(reply, "text/plain", call->body.ptr, call->body.len);
}

/* The body outlives the call. */
static void fake_import(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct slice body = call->body;
	size_t i, sum = 0, received;
	char *taken = admin_reply_take_request(reply, &received), text[64];
	int len;

	for (i = 0; i < body.len; i++)
		sum += (unsigned char)body.ptr[i];
	assert_true(received > body.len);
	free(taken);
	len = snprintf(text, sizeof(text), "%zu bytes, sum %zu\n", body.len, sum);
	admin_reply_text(reply, "text/plain", text, (size_t)len);
}

static void stream_drained(void *arg)
{
	tell('d');
}

static void stream_closed(void *arg)
{
	stream = NULL;
	tell('c');
}

static void fake_watch(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	static const struct admin_stream_ops ops = {stream_drained, stream_closed};

	stream = admin_reply_stream(reply, "application/x-ndjson", &ops, NULL);
}

static const struct admin_source source = {
	.status = fake_status,
	.top = fake_top,
	.watch_drops = fake_watch,
	.lists_show = fake_top,
	.lists_change = fake_change,
	.lists_import = fake_import,
};

static int start(void **state)
{
	server_start(&source, 0, do_as_told);
	return 0;
}

static int start_impatient(void **state)
{
	server_start(&source, IMPATIENT_MS, do_as_told);
	return 0;
}

/* --- tests: parameters, bodies */

static void test_parameters(void **state)
{
	static const char *const rows[][2] = {
		{GET_CLOSE("/v1/top"), "kind 0  n 0 0\n"},
		{GET_CLOSE("/v1/top?kind=ja4&n=20"), "kind 1 ja4 n 1 20\n"},
		{GET_CLOSE("/v1/top?n=100&kind=%6Aa%34"), "kind 1 ja4 n 1 100\n"},
		{GET_CLOSE("/v1/top?kind"), "kind 1  n 0 0\n"},
		{GET_CLOSE("/v1/top?kind=12345678"), "kind -22 "},
		{GET_CLOSE("/v1/top?kind=a%0"), "kind -22 "},
		{GET_CLOSE("/v1/top?kind=a%00b"), "kind -22 "},
		{GET_CLOSE("/v1/top?n=0"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=101"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=-1"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n=7x"), "n -22 0\n"},
		{GET_CLOSE("/v1/top?n="), "n -22 0\n"},
	};

	for (size_t i = 0; i < array_len(rows); i++)
		assert_has(ask(rows[i][0]), rows[i][1]);
	assert_has(reply_text, "Content-Type: text/plain\r\n");
}

/* One path, two methods; the body reaches the command. */
static void test_body(void **state)
{
	assert_has(ask("POST /v1/deny HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
		       "Content-Length: 5\r\n\r\nabcde"),
		"\r\n\r\nabcde");
	assert_has(ask(GET_CLOSE("/v1/deny")), "kind 0");
}

enum { BIG_BYTES = 3 * 1000 * 1000 };

static void say_big_head(int fd)
{
	char head[128];

	snprintf(head, sizeof(head),
		"POST /v1/deny/import HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
		BIG_BYTES);
	say(fd, head);
}

static void say_zeros(int fd, size_t len, char digit)
{
	char block[10000];

	memset(block, digit, sizeof(block));
	for (; len > 0; len -= sizeof(block))
		assert_int_equal(
			send(fd, block, sizeof(block), MSG_NOSIGNAL), (ssize_t)sizeof(block));
}

/* A list of a million prefixes: far above the bound of other requests, with another one behind. */
static void test_big_body(void **state)
{
	char expected[64];
	int fd = dial();

	snprintf(expected, sizeof(expected), "%d bytes, sum %ld\n", BIG_BYTES, BIG_BYTES * 48L);
	for (int round = 0; round < 2; round++) {
		say_big_head(fd);
		say_zeros(fd, BIG_BYTES, '0');
		say(fd, GET("/v1/status"));
		assert_has(hear(fd, "1.2.3\"\n}\n"), expected);
	}
	close(fd);
}

/* One of these at a time: memory is bounded. */
static void test_second_big_body_is_refused(void **state)
{
	int first = dial(), second = dial();

	say_big_head(first);
	assert_has(ask(GET_CLOSE("/v1/status")), "1.2.3"); /* so the head has been seen */
	say_big_head(second);
	assert_begins(hear(second, "}\n}\n"), "HTTP/1.1 503 ");
	assert_has(reply_text, "\"busy\"");
	close(second);
	say_zeros(first, BIG_BYTES, '0');
	assert_has(hear(first, "sum"), "HTTP/1.1 200 ");
	second = dial();
	say_big_head(second);
	say_zeros(second, BIG_BYTES, '1');
	assert_has(hear(second, "sum"), "HTTP/1.1 200 ");
	close(first);
	close(second);
}

/* --- tests: streams */

static void test_stream(void **state)
{
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	say(fd, GET_CLOSE("/v1/status")); /* waits until the stream has ended */
	hear(fd, "\r\n\r\n");
	assert_begins(reply_text, "HTTP/1.1 200 OK\r\n");
	assert_has(reply_text, "Content-Type: application/x-ndjson\r\n");
	assert_has(reply_text, "Transfer-Encoding: chunked\r\n");
	await('d');
	for (int i = 0; i < 2; i++) {
		order('p');
		assert_string_equal(hear(fd, "}\n\r\n"), "16\r\n{\"reason\": \"deny_v4\"}\n\r\n");
	}
	order('e');
	hear(fd, NULL);
	assert_begins(reply_text, "0\r\n\r\nHTTP/1.1 200 OK\r\n");
	assert_has(reply_text, "1.2.3");
	close(fd);
}

static void test_stream_of_http_1_0(void **state)
{
	int fd = dial();

	say(fd, "GET /v1/watch/drops HTTP/1.0\r\nHost: x\r\n\r\n");
	hear(fd, "\r\n\r\n");
	assert_null(strstr(reply_text, "chunked"));
	await('d');
	order('p');
	assert_string_equal(hear(fd, "}\n"), drop_line);
	order('e');
	assert_string_equal(hear(fd, NULL), "");
	close(fd);
}

static void test_stream_head(void **state)
{
	const char *reply =
		ask("HEAD /v1/watch/drops HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");

	assert_begins(reply, "HTTP/1.1 200 OK\r\n");
	assert_string_equal(strstr(reply, "\r\n\r\n"), "\r\n\r\n");
}

/* The client leaves: whoever puts is told. Half of it may close. */
static void test_stream_client_leaves(void **state)
{
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	shutdown(fd, SHUT_WR);
	hear(fd, "\r\n\r\n");
	order('p');
	hear(fd, "deny_v4");
	close(fd);
	await('c');
	assert_null(stream);
}

/* What does not fit is refused, and once the client has read there is room again. */
static void test_stream_is_bounded(void **state)
{
	size_t bytes = 0;
	int fd = dial();

	say(fd, GET("/v1/watch/drops"));
	hear(fd, "\r\n\r\n");
	await('d');
	order('f');
	await('f');
	assert_in_range(puts_with_room, 200, ADMIN_STREAM_BYTES_MAX / 1000);
	while (bytes < puts_with_room * 1000)
		bytes += strlen(hear(fd, "b"));
	await('d');
	order('p');
	hear(fd, "deny_v4");
	close(fd);
	await('c');
}

/* A client that takes nothing is not waited for longer than the idle time; one for which there is
 * nothing to take may stay. */
static void test_stream_idle(void **state)
{
	struct pollfd poll_fd = {.events = POLLIN};
	int quiet, stuck = dial(), size = 4096;

	assert_int_equal(setsockopt(stuck, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)), 0);
	say(stuck, GET("/v1/watch/drops"));
	hear(stuck, "\r\n\r\n");
	await('d');
	order('f');
	await('f');
	order('f'); /* the first may have gone into the socket */
	await('c');
	close(stuck);
	quiet = dial();
	say(quiet, GET("/v1/watch/drops"));
	hear(quiet, "\r\n\r\n");
	poll_fd.fd = quiet;
	assert_int_equal(poll(&poll_fd, 1, 3 * IMPATIENT_MS), 0);
	close(quiet);
	await('c');
}

/* The daemon stops: the stream ends as a whole one. */
static void test_stream_ends_with_the_server(void **state)
{
	int fd;

	server_start(&source, 0, do_as_told);
	fd = dial();
	say(fd, GET("/v1/watch/drops"));
	hear(fd, "\r\n\r\n");
	server_stop();
	assert_null(stream);
	assert_string_equal(hear(fd, NULL), "0\r\n\r\n");
	close(fd);
}

#define SERVED(test)         cmocka_unit_test_setup_teardown(test, start, stop)
#define SERVED_BRIEFLY(test) cmocka_unit_test_setup_teardown(test, start_impatient, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		SERVED(test_parameters),
		SERVED(test_body),
		SERVED(test_big_body),
		SERVED(test_second_big_body_is_refused),
		SERVED(test_stream),
		SERVED(test_stream_of_http_1_0),
		SERVED(test_stream_head),
		SERVED(test_stream_client_leaves),
		SERVED(test_stream_is_bounded),
		SERVED_BRIEFLY(test_stream_idle),
		cmocka_unit_test(test_stream_ends_with_the_server),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
