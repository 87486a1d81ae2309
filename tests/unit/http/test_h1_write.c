/* What goes out: heads after a proxy's edits, our own answers, and that both read back. */
#include "describe.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include <errno.h>
#include <setjmp.h>
#include <stdlib.h>
#include <cmocka.h>

static struct http_header items[H1_HEADERS_DEFAULT];
static char out[8192];

static struct http_request request_of(const char *text)
{
	struct http_request request;
	struct h1_head head = {0};
	enum h1_error error = H1_ERROR_NONE;

	http_headers_lend(&request.headers, items, H1_HEADERS_DEFAULT);
	int n = h1_head_request(&head, &H1_LIMITS_DEFAULT, text, strlen(text), &request, &error);

	if (n < 0)
		fail_msg("%s: %s", text, h1_error_row(error)->name);
	return request;
}

static struct http_response response_of(const char *text, struct h1_expected expected)
{
	struct http_response response;
	struct h1_head head = {0};
	enum h1_error error = H1_ERROR_NONE;

	http_headers_lend(&response.headers, items, H1_HEADERS_DEFAULT);
	int n = h1_head_response(
		&head, &H1_LIMITS_DEFAULT, &expected, text, strlen(text), &response, &error);

	if (n < 0)
		fail_msg("%s: %s", text, h1_error_row(error)->name);
	return response;
}

/* `in` as it leaves for the target. */
static const char *forward(const char *in, struct h1_write how)
{
	struct http_request request = request_of(in);

	http_headers_drop_hop_by_hop(&request.headers);
	int n = h1_write_request(&request, &how, out, sizeof(out) - 1);

	assert_true(n > 0);
	out[n] = 0;
	return out;
}

static const char *give_back(const char *in, struct h1_expected expected, struct h1_write how)
{
	struct http_response response = response_of(in, expected);

	http_headers_drop_hop_by_hop(&response.headers);
	int n = h1_write_response(&response, &how, out, sizeof(out) - 1);

	assert_true(n > 0);
	out[n] = 0;
	return out;
}

static void test_request_is_forwarded(void **state)
{
	struct http_header extra[] = {{.name = SLICE("X-A"), .value = SLICE("1")}};

	assert_string_equal(forward("GET /a?b HTTP/1.1\r\nX:1\r\nHost: h\r\nCookie:  c \r\n\r\n",
				    (struct h1_write){.extra = extra, .n_extra = 1}),
		"GET /a?b HTTP/1.1\r\nHost: h\r\nX: 1\r\nCookie: c\r\nX-A: 1\r\n\r\n");
	assert_string_equal(forward("GET http://h:1/a HTTP/1.1\r\nHost: h:1\r\n\r\n",
				    (struct h1_write){.connection = H1_CONNECTION_CLOSE}),
		"GET /a HTTP/1.1\r\nHost: h:1\r\nConnection: close\r\n\r\n");
	assert_string_equal(forward("GET /a HTTP/1.0\r\n\r\n", (struct h1_write){0}),
		"GET /a HTTP/1.1\r\nHost: \r\n\r\n");
}

static void test_hop_by_hop_ends_here(void **state)
{
	assert_string_equal(
		forward("GET / HTTP/1.1\r\nHost: h\r\nConnection: close, x-HOP, X-Forwarded-For, "
			"Host, Cookie\r\nX-Hop: 1\r\nKeep-Alive: 5\r\nProxy-Connection: x\r\n"
			"Upgrade: h2c\r\nHTTP2-Settings: x\r\nTE: gzip\r\nCookie: c\r\n"
			"X-Forwarded-For: f\r\nX-Stays: 2\r\n\r\n",
			(struct h1_write){0}),
		"GET / HTTP/1.1\r\nHost: h\r\nCookie: c\r\nX-Forwarded-For: f\r\nX-Stays: 2\r\n\r\n");
	assert_string_equal(
		forward("GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\n\r\n", (struct h1_write){0}),
		"GET / HTTP/1.1\r\nHost: h\r\nTE: trailers\r\nConnection: TE\r\n\r\n");
}

static void test_request_framing(void **state)
{
	assert_string_equal(
		forward("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n",
			(struct h1_write){0}),
		"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_string_equal(forward("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n",
				    (struct h1_write){0}),
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 7\r\n\r\n");
	assert_string_equal(forward("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n",
				    (struct h1_write){0}),
		"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
	struct http_request made = {.method_text = SLICE("PUT"),
		.target = SLICE("/"),
		.authority = SLICE("h"),
		.body = HTTP_BODY_LENGTH,
		.content_length = 1234567890123};
	int n = h1_write_request(&made, &(struct h1_write){0}, out, sizeof(out));

	assert_true(n > 0);
	out[n] = 0;
	assert_string_equal(
		out, "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 1234567890123\r\n\r\n");
}

static void test_upgrade_passes_both_ways(void **state)
{
	struct h1_write how = {.connection = H1_CONNECTION_UPGRADE};

	assert_string_equal(forward("GET / HTTP/1.1\r\nHost: h\r\nConnection: keep-alive, "
				    "Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\n",
				    how),
		"GET / HTTP/1.1\r\nHost: h\r\nSec-WebSocket-Key: k\r\nUpgrade: websocket\r\n"
		"Connection: upgrade\r\n\r\n");
	assert_string_equal(give_back("HTTP/1.1 101 Go\r\nConnection: upgrade\r\nUpgrade: "
				      "websocket\r\n\r\n",
				    (struct h1_expected){.upgrade_asked = true}, how),
		"HTTP/1.1 101 Go\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n");
}

static void test_response_is_given_back(void **state)
{
	struct h1_expected get = {0}, head = {.head_request = true};

	assert_string_equal(give_back("HTTP/1.0 200 OK\r\nContent-Length: 3\r\nServer: s\r\n\r\n",
				    get, (struct h1_write){0}),
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nServer: s\r\n\r\n");
	assert_string_equal(give_back("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n", head,
				    (struct h1_write){.connection = H1_CONNECTION_KEEP_ALIVE}),
		"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: keep-alive\r\n\r\n");
	assert_string_equal(give_back("HTTP/1.1 200\r\nTransfer-Encoding: chunked\r\n\r\n", get,
				    (struct h1_write){0}),
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	assert_string_equal(give_back("HTTP/1.1 204 No\r\nContent-Length: 0\r\n\r\n", get,
				    (struct h1_write){0}),
		"HTTP/1.1 204 No\r\n\r\n");
}

static void test_body_kind_can_be_changed(void **state)
{
	struct http_response response =
		response_of("HTTP/1.1 200 OK\r\n\r\n", (struct h1_expected){0});

	response.body = HTTP_BODY_CHUNKED;
	int n = h1_write_response(&response, &(struct h1_write){0}, out, sizeof(out));

	out[n] = 0;
	assert_string_equal(out, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
	response = response_of(
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", (struct h1_expected){0});
	http_headers_drop_hop_by_hop(&response.headers);
	response.body = HTTP_BODY_UNTIL_CLOSE;
	n = h1_write_response(
		&response, &(struct h1_write){.connection = H1_CONNECTION_CLOSE}, out, sizeof(out));
	out[n] = 0;
	assert_string_equal(out, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n");
}

static void test_no_room(void **state)
{
	struct http_request request = request_of("GET /abc HTTP/1.1\r\nHost: h\r\nX: y\r\n\r\n");
	struct h1_write how = {0};
	size_t need = h1_write_request_bytes(&request, &how);

	for (size_t size = 0; size <= need; size++) {
		char *exact = malloc(size ? size : 1);
		int n = h1_write_request(&request, &how, exact, size);

		assert_true(size < need ? n == -ENOBUFS : n > 0);
		free(exact);
	}
}

static void test_canned(void **state)
{
	static const unsigned int codes[] = {
		400, 403, 404, 405, 408, 413, 414, 417, 431, 500, 501, 502, 503, 504, 505};
	char canned[H1_CANNED_BYTES];

	for (size_t i = 0; i < array_len(codes); i++) {
		struct h1_canned how = {
			.status = codes[i], .connection = H1_CONNECTION_CLOSE, .now = 784111777};
		int n = h1_write_canned(&how, canned, sizeof(canned));

		assert_true(n > 0);
		canned[n] = 0;
		struct http_response response = response_of(canned, (struct h1_expected){0});
		const char *body = strstr(canned, "\r\n\r\n") + 4;

		assert_int_equal(response.status, codes[i]);
		assert_true(response.reason.len > 0);
		assert_false(response.keep_alive);
		assert_int_equal(response.content_length, strlen(body));
		assert_int_equal(h1_write_canned(&how, canned, (size_t)n), -ENOBUFS);
		how.head = true;
		how.connection = H1_CONNECTION_NONE;
		int head_len = h1_write_canned(&how, canned, sizeof(canned));

		canned[head_len] = 0;
		assert_string_equal(strstr(canned, "\r\n\r\n"), "\r\n\r\n");
		assert_null(strstr(canned, "Connection"));
	}
}

static void test_canned_with_more(void **state)
{
	static const struct http_header extra[] = {
		{.name = SLICE("Retry-After"), .value = SLICE("7")},
		{.name = SLICE("Alt-Svc"), .value = SLICE("h3=\":443\"")}};
	struct h1_canned how = {.status = 429, .now = 784111777, .extra = extra, .n_extra = 2};
	char canned[H1_CANNED_BYTES];
	size_t size;
	int n = h1_write_canned(&how, canned, sizeof(canned));

	assert_true(n > 0);
	canned[n] = 0;
	assert_string_equal(canned,
		"HTTP/1.1 429 Too Many Requests\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
		"Content-Type: text/plain; charset=utf-8\r\nContent-Length: 22\r\n"
		"Cache-Control: no-store\r\nRetry-After: 7\r\nAlt-Svc: h3=\":443\"\r\n\r\n"
		"429 Too Many Requests\n");
	for (size = 0; size <= (size_t)n; size++) {
		char *exact = malloc(size ? size : 1);

		assert_int_equal(h1_write_canned(&how, exact, size), -ENOBUFS);
		free(exact);
	}
}

static void test_continue(void **state)
{
	struct http_response response = response_of(h1_continue().ptr, (struct h1_expected){0});

	assert_int_equal(response.status, 100);
	assert_true(http_response_is_interim(&response));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request_is_forwarded),
		cmocka_unit_test(test_hop_by_hop_ends_here),
		cmocka_unit_test(test_request_framing),
		cmocka_unit_test(test_upgrade_passes_both_ways),
		cmocka_unit_test(test_response_is_given_back),
		cmocka_unit_test(test_body_kind_can_be_changed),
		cmocka_unit_test(test_no_room),
		cmocka_unit_test(test_canned),
		cmocka_unit_test(test_canned_with_more),
		cmocka_unit_test(test_continue),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
