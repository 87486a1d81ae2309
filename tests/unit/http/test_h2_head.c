/* What an HTTP/2 list of headers must be to become a request, and what request it becomes; the heads of
 * frames wherever the bytes are cut; the budget. */
#include "http/h2_head.h"
#include "http/h2_scan.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { FIELDS_MAX = 12, LIMIT = 2048 };

struct field {
	const char *name, *value;
};

#define GOOD {":method", "GET"}, {":scheme", "https"}, {":authority", "a.test"}, {":path", "/x?y"}

static struct h2_head *head;
static struct http_request request;

static unsigned int status_of(const struct field fields[FIELDS_MAX], bool ended)
{
	int i;

	h2_head_init(head, LIMIT);
	for (i = 0; i < FIELDS_MAX && fields[i].name; i++)
		h2_head_add(head, slice_of(fields[i].name), slice_of(fields[i].value));
	return h2_head_request(head, ended, &request);
}

static int setup(void **state)
{
	head = malloc(sizeof(*head));
	return 0;
}

static int teardown(void **state)
{
	free(head);
	return 0;
}

#define assert_text(slice, text) assert_true(slice_eq(slice, SLICE(text)))

static void test_request(void **state)
{
	static const struct field fields[FIELDS_MAX] = {GOOD, {"x-a", "1"}, {"te", "trailers"}};

	assert_int_equal(status_of(fields, true), 0);
	assert_int_equal(request.method, HTTP_METHOD_GET);
	assert_int_equal(request.version, HTTP_VERSION_2);
	assert_text(request.authority, "a.test");
	assert_text(request.target, "/x?y");
	assert_text(request.path, "/x");
	assert_text(request.query, "y");
	assert_int_equal(request.body, HTTP_BODY_NONE);
	assert_true(request.te_trailers);
	assert_int_equal(request.headers.len, 2);
	assert_text(request.headers.items[0].name, "x-a");
	assert_text(request.headers.items[0].value, "1");
}

/* Lists that are refused, and how. */
static void test_refusals(void **state)
{
	static const struct {
		unsigned int status;
		struct field fields[FIELDS_MAX];
	} rows[] = {
		{400, {{":method", "GET"}, {":scheme", "https"}, {":path", "/"}}},
		{400, {{":method", "GET"}, {":authority", "a"}, {":path", "/"}}},
		{400, {{":scheme", "https"}, {":authority", "a"}, {":path", "/"}}},
		{400, {{":method", "GET"}, {":scheme", "https"}, {":authority", "a"}}},
		{400, {GOOD, {":path", "/"}}},
		{400, {GOOD, {":other", "/"}}},
		{400, {GOOD, {"X", "upper case"}}},
		{400, {GOOD, {"a b", ""}}},
		{400, {GOOD, {"a", "b\r\nc: d"}}},
		{400, {GOOD, {"a", " b"}}},
		{400, {GOOD, {"host", "b.test"}}},
		{400, {GOOD, {"connection", "close"}}},
		{400, {GOOD, {"transfer-encoding", "chunked"}}},
		{400, {GOOD, {"upgrade", "websocket"}}},
		{400, {GOOD, {"te", "trailers, gzip"}}},
		{400, {GOOD, {"content-length", "1"}}}, /* and there is no body */
		{400, {GOOD, {"content-length", "0"}, {"content-length", "0"}}},
		{400, {GOOD, {"content-length", "0x0"}}},
		{417, {GOOD, {"expect", "more"}}},
		{400, {{":method", "GET"}, {":scheme", "ftp"}, {":authority", "a"},
			      {":path", "/"}}},
		{400, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "x"}}},
		{400, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "*"}}},
		{400, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "/ "}}},
		{400, {{":method", "GET"}, {":scheme", "http"}, {":authority", "a@b"},
			      {":path", "/"}}},
		{400, {{":method", "G T"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "/"}}},
		{501, {{":method", "get"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "/"}}},
		{501, {{":method", "PRI"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "/"}}},
		{501, {{":method", "SETUP"}, {":scheme", "http"}, {":authority", "a"},
			      {":path", "/"}}},
		{405, {{":method", "CONNECT"}, {":authority", "a:1"}}},
	};
	unsigned int status;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		status = status_of(rows[i].fields, true);
		if (status != rows[i].status)
			fail_msg("row %zu: %u", i, status);
	}
}

static void test_accepted(void **state)
{
	static const struct field asterisk[FIELDS_MAX] = {
		{":method", "OPTIONS"}, {":scheme", "http"}, {":authority", "a"}, {":path", "*"}};
	static const struct field host[FIELDS_MAX] = {
		{":method", "QUERY"}, {":scheme", "http"}, {":path", "/"}, {"host", "b:8"}};
	static const struct field both[FIELDS_MAX] = {GOOD, {"host", "A.test"}};

	assert_int_equal(status_of(asterisk, true), 0);
	assert_int_equal(status_of(host, true), 0);
	assert_text(request.authority, "b:8");
	assert_int_equal(request.port, 8);
	assert_int_equal(status_of(both, true), 0);
}

static void test_bodies(void **state)
{
	static const struct field none[FIELDS_MAX] = {GOOD, {"expect", "100-continue"}};
	static const struct field length[FIELDS_MAX] = {GOOD, {"content-length", "7"}};
	static const struct field zero[FIELDS_MAX] = {GOOD, {"content-length", "0"}};

	assert_int_equal(status_of(none, false), 0);
	assert_int_equal(request.body, HTTP_BODY_CHUNKED);
	assert_true(request.expect_continue);
	assert_int_equal(status_of(none, true), 0);
	assert_int_equal(request.body, HTTP_BODY_NONE);
	assert_null(http_headers_find(&request.headers, HTTP_HEADER_EXPECT));
	assert_int_equal(status_of(length, false), 0);
	assert_int_equal(request.body, HTTP_BODY_LENGTH);
	assert_int_equal(request.content_length, 7);
	assert_int_equal(status_of(zero, false), 0);
	assert_int_equal(request.body, HTTP_BODY_NONE);
}

static void test_cookies(void **state)
{
	static const struct field fields[FIELDS_MAX] = {
		GOOD, {"cookie", "a=1"}, {"x", "y"}, {"cookie", ""}, {"cookie", "b=2"}};
	struct http_header *cookie;

	assert_int_equal(status_of(fields, true), 0);
	cookie = http_headers_find(&request.headers, HTTP_HEADER_COOKIE);
	assert_text(cookie->value, "a=1; ; b=2");
	assert_null(http_headers_next(&request.headers, cookie));
}

/* More of them than there may be fields; as long as one line of HTTP/1.1, and one byte more. */
static void test_many_cookies(void **state)
{
	static const struct field fields[] = {GOOD};
	static char crumb[100];
	uint32_t i, n, left;

	memset(crumb, 'c', sizeof(crumb));
	for (n = 0; n < 2; n++) {
		h2_head_init(head, 64 * 1024);
		for (i = 0; i < array_len(fields); i++)
			h2_head_add(head, slice_of(fields[i].name), slice_of(fields[i].value));
		for (i = 0; i < 163; i++)
			h2_head_add(head, SLICE("cookie"), (struct slice){crumb, 98});
		left = H2_HEAD_FIELD_BYTES_MAX - (6 + 163 * 100);
		assert_true(left < sizeof(crumb));
		h2_head_add(head, SLICE("cookie"), (struct slice){crumb, left + n});
		assert_int_equal(h2_head_request(head, true, &request), n ? 431 : 0);
	}
}

static void test_limits(void **state)
{
	static const struct field fields[] = {GOOD};
	static char big[LIMIT];
	uint32_t i;

	h2_head_init(head, 64 * 1024);
	for (i = 0; i < array_len(fields); i++)
		h2_head_add(head, slice_of(fields[i].name), slice_of(fields[i].value));
	memset(big, 'c', sizeof(big));
	while (head->list_bytes + 32 + 1 + 600 <= head->max_bytes && head->headers.len < 120)
		h2_head_add(head, SLICE("x"), (struct slice){big, 600});
	assert_int_equal(h2_head_request(head, true, &request), 0);
	assert_true(head->used <= H2_HEAD_TEXT_BYTES);

	h2_head_init(head, LIMIT);
	h2_head_add(head, SLICE("x"), (struct slice){big, LIMIT - 33 + 1});
	assert_int_equal(h2_head_request(head, true, &request), 431);
	h2_head_init(head, LIMIT);
	h2_head_add(head, SLICE(":path"), (struct slice){big, LIMIT});
	assert_int_equal(h2_head_request(head, true, &request), 414);
	h2_head_init(head, 64 * 1024);
	for (i = 0; i < H2_HEAD_FIELDS_MAX + 1; i++)
		h2_head_add(head, SLICE("x"), SLICE("y"));
	assert_int_equal(h2_head_request(head, true, &request), 431);
}

static size_t count_frames(const uint8_t *bytes, size_t len, size_t step, size_t *ret_costly)
{
	struct h2_scan scan = {0};
	size_t n = 0, from, at;

	*ret_costly = 0;
	for (from = 0; from < len; from += step) {
		for (at = 0; h2_scan_next(
			     &scan, bytes + from, len - from < step ? len - from : step, &at);
			n++)
			*ret_costly += h2_scan_cost(&scan, false) != H2_COSTS;
	}
	return n;
}

/* However they are cut. */
static void test_scan(void **state)
{
	static const uint8_t bytes[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
				       "\0\0\6\4\0\0\0\0\0"
				       "123456" /* SETTINGS */
				       "\0\0\5\2\0\0\0\0\1"
				       "12345" /* PRIORITY */
				       "\0\0\0\0\1\0\0\0\1" /* DATA, empty, the end */
				       "\0\0\1\x09\4\0\0\0\1"
				       "x" /* CONTINUATION */
				       "\0\0\0\x42\0\0\0\0\1"; /* unknown */
	size_t step, costly;

	for (step = 1; step < sizeof(bytes); step++) {
		assert_int_equal(count_frames(bytes, sizeof(bytes) - 1, step, &costly), 5);
		assert_int_equal(costly, 3);
	}
}

/* What comes on streams that are over. */
static void test_scan_late(void **state)
{
	static const struct {
		const char *head;
		enum h2_cost late;
	} rows[] = {
		{"\0\0\1\0\0\x81\2\3\4",
			H2_COST_closed_stream}, /* DATA; the first bit means nothing */
		{"\0\0\1\1\4\1\2\3\4", H2_COST_closed_headers},
		{"\0\0\4\3\0\1\2\3\4", H2_COST_closed_stream}, /* RST_STREAM */
		{"\0\0\4\x08\0\1\2\3\4", H2_COST_closed_stream}, /* WINDOW_UPDATE */
	};
	size_t i, at;

	for (i = 0; i < array_len(rows); i++) {
		struct h2_scan scan = {0};

		h2_scan_skip_preface(&scan);
		at = 0;
		assert_true(h2_scan_next(
			&scan, (const uint8_t *)rows[i].head, H2_FRAME_HEAD_BYTES, &at));
		assert_int_equal(h2_scan_stream(&scan), 0x01020304);
		assert_int_equal(h2_scan_cost(&scan, true), rows[i].late);
		assert_int_equal(h2_scan_cost(&scan, false), H2_COSTS);
	}
}

static void test_budget(void **state)
{
	struct h2_budget budget;
	int n;

	h2_budget_init(&budget, 1000);
	for (n = 0; h2_budget_spend(&budget, H2_COST_ping, 1000); n++)
		;
	assert_int_equal(n, H2_BUDGET_MAX / 10);
	assert_false(h2_budget_spend(&budget, H2_COST_ping, 1001));
	assert_true(h2_budget_spend(&budget, H2_COST_ping, 1100));
	h2_budget_earn(&budget, 1 << 20);
	assert_int_equal(budget.points, H2_BUDGET_MAX);
	assert_string_equal(h2_cost_name(H2_COST_reset_by_us), "reset_by_us");
}

/* Bytes pay, however many frames they come in; frames that answer ours are free, once each. */
static void test_earnings(void **state)
{
	struct h2_budget budget = {.filled_ms = 1000};
	int n;

	for (n = 0; n < 1023; n++)
		h2_budget_moved(&budget, 1);
	assert_int_equal(budget.points, 0);
	h2_budget_moved(&budget, 1);
	assert_int_equal(budget.points, 1);
	h2_budget_moved(&budget, 16384);
	assert_int_equal(budget.points, 17);

	assert_false(h2_budget_is_reply(&budget));
	h2_budget_data_sent(&budget);
	for (n = 0; h2_budget_is_reply(&budget); n++)
		;
	assert_int_equal(n, H2_REPLIES_PER_DATA);
	for (n = 0; n < 1000; n++)
		h2_budget_data_sent(&budget);
	assert_int_equal(budget.replies, H2_REPLIES_MAX);
}

#define CONNECT                                                                                    \
	{":method", "CONNECT"}, {":protocol", "websocket"}, {":scheme", "https"},                  \
		{":authority", "a.test"}

/* RFC 8441: told as the request of HTTP/1.1 that it stands for. */
static void test_connect(void **state)
{
	static const struct field fields[FIELDS_MAX] = {CONNECT, {":path", "/x"},
		{"sec-websocket-key", "k"}, {"sec-websocket-version", "13"}};
	static const struct {
		struct field fields[FIELDS_MAX];
		unsigned int status;
	} wrong[] = {
		{{CONNECT}, 400},
		{{CONNECT, {":path", "*"}}, 400},
		{{CONNECT, {":path", "/"}, {"content-length", "0"}}, 400},
		{{CONNECT, {":path", "/"}, {":protocol", "websocket"}}, 400},
		{{CONNECT, {":path", "/"}, {"upgrade", "websocket"}}, 400},
		{{GOOD, {":protocol", "websocket"}}, 400},
		{{{":method", "CONNECT"}, {":authority", "a.test:80"}}, 405},
		{{{":method", "CONNECT"}, {":protocol", "connect-udp"}}, 501},
		{{{":method", "CONNECT"}, {":protocol", "web socket"}}, 400},
		{{{":method", "CONNECT"}, {":protocol", ""}}, 400},
	};
	size_t i;

	assert_int_equal(status_of(fields, false), 0);
	assert_true(request.is_connect);
	assert_int_equal(request.method, HTTP_METHOD_GET);
	assert_text(request.method_text, "GET");
	assert_text(request.upgrade, "websocket");
	assert_int_equal(request.body, HTTP_BODY_NONE);
	assert_null(http_headers_find(&request.headers, HTTP_HEADER_SEC_WEBSOCKET_KEY));
	assert_text(http_headers_find(&request.headers, HTTP_HEADER_UPGRADE)->value, "websocket");
	assert_text(http_headers_find(&request.headers, HTTP_HEADER_CONNECTION)->value, "Upgrade");
	assert_int_equal(status_of(fields, true), 400);
	for (i = 0; i < array_len(wrong); i++)
		if (status_of(wrong[i].fields, false) != wrong[i].status)
			fail_msg("row %zu: not %u", i, wrong[i].status);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_request),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_accepted),
		cmocka_unit_test(test_bodies),
		cmocka_unit_test(test_cookies),
		cmocka_unit_test(test_connect),
		cmocka_unit_test(test_many_cookies),
		cmocka_unit_test(test_limits),
		cmocka_unit_test(test_scan),
		cmocka_unit_test(test_scan_late),
		cmocka_unit_test(test_budget),
		cmocka_unit_test(test_earnings),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
