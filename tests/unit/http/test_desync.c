/* What is found in requests that others may read in another way, what becomes of them, and heads that
 * are put in order. */
#include "http/h1_repair.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_header items[H1_HEADERS_DEFAULT];
static struct http_request request;

static enum h1_error parse(const char *bytes, size_t len)
{
	struct h1_head head = {0};
	enum h1_error error = H1_ERROR_NONE;
	int r;

	http_headers_lend(&request.headers, items, array_len(items));
	r = h1_head_request(&head, &H1_LIMITS_DEFAULT, bytes, len, &request, &error);
	assert_int_equal(r, error ? -EBADMSG : (int)len);
	return error;
}

static uint64_t found_in(const char *head)
{
	assert_int_equal(parse(head, strlen(head)), H1_ERROR_NONE);
	return desync_scan(&request);
}

#define GET(headers)  "GET / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"
#define POST(headers) "POST / HTTP/1.1\r\nHost: a\r\n" headers "\r\n"

static void nothing_is_found_in_what_is_in_order(void **state)
{
	assert_int_equal(found_in(GET("X-A: b\r\nCookie: a=b; c=\"d\"\r\n")), 0);
	assert_int_equal(found_in(POST("Content-Length: 0\r\n")), 0);
	assert_int_equal(found_in(POST("Content-Length: 3\r\n")), 0);
	assert_int_equal(found_in(POST("Transfer-Encoding: chunked\r\n")), 0);
	assert_int_equal(
		found_in("GET /a%20b?c[]=d&e=~'()*!$;:@,+ HTTP/1.1\r\nHost: a\r\n\r\n"), 0);
	assert_int_equal(found_in("DELETE / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"), 0);
}

static void bodies_of_get_are_found(void **state)
{
	assert_int_equal(found_in(GET("Content-Length: 0\r\n")), DESYNC_BIT(get_zero_length));
	assert_int_equal(found_in(GET("Content-Length: 1\r\n")), DESYNC_BIT(get_with_length));
	assert_int_equal(
		found_in(GET("Transfer-Encoding: chunked\r\n")), DESYNC_BIT(get_with_coding));
	assert_int_equal(found_in("HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n"),
		DESYNC_BIT(get_with_length));
}

static void odd_headers_are_found(void **state)
{
	uint64_t odd = DESYNC_BIT(header_name_odd), suspicious = DESYNC_BIT(suspicious_header);

	assert_int_equal(found_in(GET("X_A: 1\r\n")), odd);
	assert_int_equal(found_in(GET("Content_Length: 1\r\n")), odd | suspicious);
	assert_int_equal(found_in(GET("ContentLength: 1\r\n")), suspicious);
	assert_int_equal(found_in(GET("transfer.ENCODING: 1\r\n")), odd | suspicious);
	assert_int_equal(found_in(GET("-Content--Length-: 1\r\n")), suspicious);
	assert_int_equal(found_in(GET("X-Content-Length: 1\r\n")), 0);
	assert_int_equal(found_in(GET("Content-Lengths: 1\r\n")), 0);
	assert_int_equal(found_in(GET("Content-Lengt: 1\r\n")), 0);
	assert_int_equal(found_in(GET("Content-Language: en\r\n")), 0);
	assert_int_equal(found_in(GET("X: \xc3\xa4\r\n")), DESYNC_BIT(header_not_ascii));
	assert_int_equal(found_in(GET("X: 12345678\x80\r\n")), DESYNC_BIT(header_not_ascii));
	assert_int_equal(found_in(GET("X: 1234567\x80z\r\n")), DESYNC_BIT(header_not_ascii));
}

static void dropped_headers_are_those_that_were_found(void **state)
{
	found_in(GET("Content_Length: 1\r\nX_A: 1\r\nX-B: 1\r\n"));
	desync_drop(&request.headers, DESYNC_BIT(suspicious_header));
	assert_null(http_headers_find_name(&request.headers, SLICE("Content_Length")));
	assert_non_null(http_headers_find_name(&request.headers, SLICE("X_A")));
	assert_int_equal(desync_scan(&request), DESYNC_BIT(header_name_odd));
	desync_drop(&request.headers, DESYNC_BIT(header_name_odd));
	assert_null(http_headers_find_name(&request.headers, SLICE("X_A")));
	assert_non_null(http_headers_find_name(&request.headers, SLICE("X-B")));
	assert_int_equal(desync_scan(&request), 0);
}

static void bytes_that_had_to_be_encoded_are_found(void **state)
{
	static const char bad[] = "\"<>\\^`{|}";
	char head[] = GET("");
	size_t i;

	for (i = 0; bad[i]; i++) {
		char *text = strdup("GET /?_ HTTP/1.1\r\nHost: a\r\n\r\n");

		text[6] = bad[i];
		assert_int_equal(found_in(text), DESYNC_BIT(uri_not_encoded));
		free(text);
	}
	assert_int_equal(found_in(head), 0);
	assert_int_equal(
		found_in("GET /% HTTP/1.1\r\nHost: a\r\n\r\n"), DESYNC_BIT(uri_not_encoded));
	assert_int_equal(
		found_in("GET /%4 HTTP/1.1\r\nHost: a\r\n\r\n"), DESYNC_BIT(uri_not_encoded));
	assert_int_equal(
		found_in("GET /%4g HTTP/1.1\r\nHost: a\r\n\r\n"), DESYNC_BIT(uri_not_encoded));
}

/* A class is never judged less strictly by a stricter mode; a severe fault is let by in none. */
static void verdicts_rise_with_the_mode(void **state)
{
	size_t i;

	for (i = 0; i < DESYNCS; i++) {
		const enum desync_verdict *verdicts = desync_rows[i].verdicts;

		assert_true(verdicts[DESYNC_MONITOR] <= verdicts[DESYNC_DEFENSIVE]);
		assert_true(verdicts[DESYNC_DEFENSIVE] <= verdicts[DESYNC_STRICTEST]);
		if (desync_rows[i].class == DESYNC_SEVERE)
			assert_int_equal(verdicts[DESYNC_MONITOR], DESYNC_REFUSE);
		if (desync_rows[i].class == DESYNC_AMBIGUOUS)
			assert_int_equal(verdicts[DESYNC_STRICTEST], DESYNC_REFUSE);
	}
	assert_int_equal(desync_judge(0, DESYNC_STRICTEST), DESYNC_FORWARD);
	assert_int_equal(desync_judge(DESYNC_BIT(get_zero_length) | DESYNC_BIT(get_with_coding),
				 DESYNC_DEFENSIVE),
		DESYNC_CLOSE);
}

/* --- repair */

/* What became of it, or NULL. */
static const char *repaired(const char *head, uint64_t *ret_found)
{
	static char bytes[4096];
	size_t len = strlen(head), skip;
	struct h1_head state = {0};
	enum h1_error error;

	memcpy(bytes, head, len + 1);
	http_headers_lend(&request.headers, items, array_len(items));
	assert_int_equal(h1_head_request(&state, &H1_LIMITS_DEFAULT, bytes, len, &request, &error),
		-EBADMSG);
	if (h1_repair(&state, error, bytes, &skip, ret_found) < 0)
		return NULL;
	return bytes + skip;
}

static void heads_are_put_in_order(void **state)
{
	static const struct {
		const char *head, *expected;
		uint64_t found;
	} rows[] = {
		{GET("X: a\r\n b\r\n"), GET("X: a   b\r\n"), DESYNC_BIT(folded_header)},
		{GET("X: a\r\n\tb\r\nY: c\r\n"), GET("X: a  \tb\r\nY: c\r\n"),
			DESYNC_BIT(folded_header)},
		{GET("X: a\rb\r\n"), GET("X: a b\r\n"), DESYNC_BIT(control_in_header)},
		{GET("X: a\r\r\n"), GET("X: a \r\n"), DESYNC_BIT(control_in_header)},
		{GET(": a\r\nX: b\r\n"), GET("X: b\r\n"), DESYNC_BIT(empty_header)},
		{GET(": a\r\n b\r\nX: c\r\n"), GET("X: c\r\n"),
			DESYNC_BIT(empty_header) | DESYNC_BIT(folded_header)},
		{POST("Content-Length: 3\r\nX: a\r\nContent-Length: 03\r\n"),
			POST("Content-Length:3 \r\nX: a\r\n"), DESYNC_BIT(length_repeated)},
		{POST("Content-Length: 3, 3\r\n"), POST("Content-Length:3    \r\n"),
			DESYNC_BIT(length_repeated)},
		{POST("Content-Length: 3\r\nTransfer-Encoding: chunked\r\n"),
			POST("Transfer-Encoding: chunked\r\n"), DESYNC_BIT(length_and_coding)},
		{POST("Content-Length: 3\r\nX: a\r\n b\r\nTransfer-Encoding: chunked\r\n"),
			POST("X: a   b\r\nTransfer-Encoding: chunked\r\n"),
			DESYNC_BIT(length_and_coding) | DESYNC_BIT(folded_header)},
	};
	uint64_t found;
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		const char *now = repaired(rows[i].head, &found);

		if (!now)
			fail_msg("not repaired: %s", rows[i].head);
		assert_string_equal(now, rows[i].expected);
		assert_int_equal(found, rows[i].found);
		assert_int_equal(parse(now, strlen(now)), H1_ERROR_NONE);
	}
}

/* Where there is no one way to read it. */
static void some_heads_stay_refused(void **state)
{
	static const char *const heads[] = {
		POST("Content-Length: 3\r\nContent-Length: 4\r\n"),
		POST("Content-Length: 3, 4\r\n"),
		POST("Content-Length: 3,\r\n"),
		POST("Content-Length: 3 3\r\n"),
		POST("Content-Length: x\r\nTransfer-Encoding: chunked\r\n"),
		POST("Content-Length: 3\r\nContent-Length: 4\r\nTransfer-Encoding: chunked\r\n"),
		POST("Content-Length:\r\n 3\r\n"),
		POST("Transfer-Encoding:\r\n chunked\r\n"),
		POST("Transfer-Encoding: \vchunked\r\n"),
		POST("Transfer-Encoding: chunked\r\n , identity\r\n"),
		POST("Content-Length: \v3\r\n"),
		"GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n",
		"GET / HTTP/1.1\r\n X: a\r\nHost: a\r\n\r\n",
		GET("X : a\r\n"),
		GET("X\r\n"),
		GET("X: a\nY: b\r\n"),
		"GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
		"GET / HTTP/1.1\r\n\r\n",
	};
	uint64_t found;
	size_t i;

	for (i = 0; i < array_len(heads); i++)
		if (repaired(heads[i], &found))
			fail_msg("repaired: %s", heads[i]);
}

/* What is in front of the head, and behind it, is not touched. */
static void only_the_head_is_changed(void **state)
{
	char bytes[] = "\r\n" POST(": x\r\nTransfer-Encoding: chunked\r\n") "0\r\n : \r\n";
	struct h1_head head = {0};
	enum h1_error error;
	uint64_t found;
	size_t skip;

	http_headers_lend(&request.headers, items, array_len(items));
	assert_int_equal(
		h1_head_request(&head, &H1_LIMITS_DEFAULT, bytes, strlen(bytes), &request, &error),
		-EBADMSG);
	assert_int_equal(h1_repair(&head, error, bytes, &skip, &found), 0);
	assert_int_equal(skip, strlen("\r\n: x\r\n"));
	assert_string_equal(bytes + skip, POST("Transfer-Encoding: chunked\r\n") "0\r\n : \r\n");
}

static void as_many_lines_as_there_may_be(void **state)
{
	static char head[8192];
	uint64_t found;
	int i;

	strcpy(head, "GET / HTTP/1.1\r\nHost: a\r\n");
	for (i = 0; i < H1_HEADERS_DEFAULT - 2; i++)
		strcat(head, ": a\r\n");
	strcat(head, "X: b\r\n\r\n");
	assert_string_equal(repaired(head, &found), GET("X: b\r\n"));
}

static void errors_have_their_rows(void **state)
{
	assert_int_equal(desync_of_error(H1_ERROR_FOLDED), DESYNC_folded_header);
	assert_int_equal(desync_of_error(H1_ERROR_CHUNK_END), DESYNC_bad_chunk);
	assert_int_equal(desync_of_error(H1_ERROR_SYNTAX), DESYNC_bad_request_line);
	assert_int_equal(desync_of_error(H1_ERROR_LINE_TOO_LONG), DESYNCS);
	assert_int_equal(desync_of_error(H1_ERROR_METHOD_UNKNOWN), DESYNCS);
	assert_int_equal(desync_of_error(H1_ERRORS), DESYNCS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(nothing_is_found_in_what_is_in_order),
		cmocka_unit_test(bodies_of_get_are_found),
		cmocka_unit_test(odd_headers_are_found),
		cmocka_unit_test(dropped_headers_are_those_that_were_found),
		cmocka_unit_test(bytes_that_had_to_be_encoded_are_found),
		cmocka_unit_test(verdicts_rise_with_the_mode),
		cmocka_unit_test(heads_are_put_in_order),
		cmocka_unit_test(some_heads_stay_refused),
		cmocka_unit_test(only_the_head_is_changed),
		cmocka_unit_test(as_many_lines_as_there_may_be),
		cmocka_unit_test(errors_have_their_rows),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
