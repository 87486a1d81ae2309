/* Forwarded, request ids, trace ids. */
#include "http/origin.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct http_header items[16], extra[HTTP_ORIGIN_EXTRA];
static struct http_headers headers;
static struct http_origin origin;
static char scratch[1024];

static int begin(void **state)
{
	size_t i;

	http_headers_lend(&headers, items, array_len(items));
	origin = (struct http_origin){
		.client = SLICE("192.0.2.1"),
		.scheme = SLICE("https"),
		.host = SLICE("www.example"),
		.unix_s = 0x67891234,
	};
	for (i = 0; i < sizeof(origin.random); i++)
		origin.random[i] = (uint8_t)(i * 16 + i);
	return 0;
}

static void add(const char *name, const char *value)
{
	assert_int_equal(http_headers_add(&headers, slice_of(name), slice_of(value)), 0);
}

static const char *apply(struct http_origin_terms terms)
{
	static char value[1024];
	int n = http_origin_apply(&headers, &terms, &origin, scratch, sizeof(scratch), extra);

	assert_int_equal(n, 1);
	memcpy(value, extra[0].value.ptr, extra[0].value.len);
	value[extra[0].value.len] = '\0';
	assert_null(http_headers_find_name(&headers, extra[0].name));
	return value;
}

static const struct http_origin_terms append = {.forwarded = HTTP_RFC7239_APPEND};
static const struct http_origin_terms trace = {.trace_id = true};

static void forwarded_is_appended(void **state)
{
	assert_string_equal(apply(append), "for=192.0.2.1;proto=https;host=www.example");
	begin(NULL);
	add("Forwarded", "for=a");
	add("forwarded", "for=\"[::1]\";by=b");
	assert_string_equal(apply(append),
		"for=a, for=\"[::1]\";by=b, for=192.0.2.1;proto=https;host=www.example");
}

/* What is left open would have our own element for its value. */
static void forwarded_that_is_left_open_is_not_kept(void **state)
{
	static const char *const open[] = {
		"for=6.6.6.6;by=\"", "for=\"a\\\"", "for=\"\\\\\\\"", "\""};
	uint32_t i;

	for (i = 0; i < array_len(open); i++) {
		begin(NULL);
		add("Forwarded", "for=a");
		add("Forwarded", open[i]);
		assert_string_equal(apply(append), "for=192.0.2.1;proto=https;host=www.example");
	}
	begin(NULL);
	add("Forwarded", "for=\"a\\\"b\\\\\"");
	assert_string_equal(
		apply(append), "for=\"a\\\"b\\\\\", for=192.0.2.1;proto=https;host=www.example");
}

static void forwarded_quotes_what_is_no_token(void **state)
{
	origin.client = SLICE("2001:db8::1");
	origin.host = SLICE("www.example:8080");
	assert_string_equal(
		apply(append), "for=\"[2001:db8::1]\";proto=https;host=\"www.example:8080\"");
	begin(NULL);
	origin.client = SLICE("[2001:db8::1]:99");
	origin.host = SLICE("");
	assert_string_equal(apply(append), "for=\"[2001:db8::1]:99\";proto=https");
	begin(NULL);
	origin.client = SLICE("192.0.2.1:99");
	assert_string_equal(apply(append), "for=\"192.0.2.1:99\";proto=https;host=www.example");
}

static void forwarded_is_preserved_or_removed(void **state)
{
	struct http_origin_terms terms = {.forwarded = HTTP_RFC7239_PRESERVE};

	add("Forwarded", "for=a");
	assert_int_equal(
		http_origin_apply(&headers, &terms, &origin, scratch, sizeof(scratch), extra), 0);
	assert_non_null(http_headers_find(&headers, HTTP_HEADER_FORWARDED));
	terms.forwarded = HTTP_RFC7239_REMOVE;
	assert_int_equal(
		http_origin_apply(&headers, &terms, &origin, scratch, sizeof(scratch), extra), 0);
	assert_null(http_headers_find(&headers, HTTP_HEADER_FORWARDED));
}

static void request_ids(void **state)
{
	struct http_origin_terms terms = {.request_id = HTTP_REQUEST_ID_KEEP};
	char long_id[200];

	assert_string_equal(apply(terms), "00112233-4455-4677-8899-aabbccddeeff");
	add("X-Request-ID", "mine");
	assert_int_equal(
		http_origin_apply(&headers, &terms, &origin, scratch, sizeof(scratch), extra), 0);
	assert_non_null(http_headers_find(&headers, HTTP_HEADER_X_REQUEST_ID));
	terms.request_id = HTTP_REQUEST_ID_SET;
	assert_string_equal(apply(terms), "00112233-4455-4677-8899-aabbccddeeff");
	terms.request_id = HTTP_REQUEST_ID_KEEP;
	memset(long_id, 'a', sizeof(long_id));
	long_id[129] = '\0';
	add("X-Request-ID", long_id);
	assert_string_equal(apply(terms), "00112233-4455-4677-8899-aabbccddeeff");
	begin(NULL);
	add("X-Request-ID", "");
	assert_string_equal(apply(terms), "00112233-4455-4677-8899-aabbccddeeff");
}

#define OWN "1-67891234-102132435465768798a9bacb"

static void trace_ids(void **state)
{
	assert_string_equal(apply(trace), "Root=" OWN);
	add("X-Amzn-Trace-Id", "Root=1-6-7");
	assert_string_equal(apply(trace), "Self=" OWN ";Root=1-6-7");
	begin(NULL);
	add("X-Amzn-Trace-Id", "self=1-2; Root=1-6-7 ;;X=y");
	assert_string_equal(apply(trace), "Self=" OWN ";Root=1-6-7;X=y");
	begin(NULL);
	add("X-Amzn-Trace-Id", "X=y");
	assert_string_equal(apply(trace), "Root=" OWN);
}

static void all_at_once_and_too_much(void **state)
{
	struct http_origin_terms terms = {HTTP_RFC7239_APPEND, HTTP_REQUEST_ID_SET, true};
	size_t size, needed;
	int n = http_origin_apply(&headers, &terms, &origin, scratch, sizeof(scratch), extra);

	assert_int_equal(n, 3);
	needed = extra[0].value.len + extra[1].value.len + extra[2].value.len;
	for (size = 0; size < needed + 5; size++) {
		char *tight = malloc(size + 1);

		begin(NULL);
		n = http_origin_apply(&headers, &terms, &origin, tight, size, extra);
		if (n != 3)
			assert_int_equal(n, -ENOBUFS);
		assert_true(n == 3 || size < needed + 5);
		free(tight);
	}
	assert_int_equal(n, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(forwarded_is_appended, begin),
		cmocka_unit_test_setup(forwarded_that_is_left_open_is_not_kept, begin),
		cmocka_unit_test_setup(forwarded_quotes_what_is_no_token, begin),
		cmocka_unit_test_setup(forwarded_is_preserved_or_removed, begin),
		cmocka_unit_test_setup(request_ids, begin),
		cmocka_unit_test_setup(trace_ids, begin),
		cmocka_unit_test_setup(all_at_once_and_too_much, begin),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
