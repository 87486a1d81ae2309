/* Header lists: known names, finding, dropping, X-Forwarded-*. */
#include "http/headers.h"
#include <ctype.h>
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct http_header items[16];
static struct http_headers headers;

static void add(const char *name, const char *value)
{
	assert_int_equal(http_headers_add(&headers, slice_of(name), slice_of(value)), 0);
}

static enum http_forwarded_proto proto_mode;

static int begin(void **state)
{
	proto_mode = HTTP_FORWARDED_PROTO_SET;
	http_headers_lend(&headers, items, array_len(items));
	return 0;
}

static void test_known_names_in_any_case(void **state)
{
	for (int id = 1; id < HTTP_HEADER_IDS; id++) {
		struct slice name = http_header_name((enum http_header_id)id);
		char upper[64];

		assert_true(name.len > 1 && name.len < sizeof(upper));
		for (size_t i = 0; i < name.len; i++)
			upper[i] = (char)toupper(name.ptr[i]);
		assert_int_equal(http_header_id(name), id);
		assert_int_equal(http_header_id((struct slice){upper, name.len}), id);
	}
}

static void test_near_misses_are_unknown(void **state)
{
	for (int id = 1; id < HTTP_HEADER_IDS; id++) {
		struct slice name = http_header_name((enum http_header_id)id);
		char other[64];

		for (size_t i = 0; i < name.len; i++) {
			memcpy(other, name.ptr, name.len);
			other[i] = other[i] == 'x' ? 'y' : 'x';
			assert_int_not_equal(http_header_id((struct slice){other, name.len}), id);
		}
		memcpy(other, name.ptr, name.len);
		other[name.len] = 'x';
		assert_int_not_equal(http_header_id((struct slice){other, name.len + 1}), id);
		assert_int_not_equal(http_header_id((struct slice){other, name.len - 1}), id);
	}
	assert_int_equal(http_header_id(SLICE("")), HTTP_HEADER_UNKNOWN);
	assert_int_equal(http_header_id(SLICE("x")), HTTP_HEADER_UNKNOWN);
}

static void test_find_next_drop(void **state)
{
	add("Cookie", "1");
	add("X-a", "2");
	add("cookie", "3");
	add("x-A", "4");
	struct http_header *first = http_headers_find(&headers, HTTP_HEADER_COOKIE);

	assert_ptr_equal(first, &items[0]);
	assert_ptr_equal(http_headers_next(&headers, first), &items[2]);
	assert_null(http_headers_next(&headers, &items[2]));
	struct http_header *named = http_headers_find_name(&headers, SLICE("X-A"));

	assert_ptr_equal(named, &items[1]);
	assert_ptr_equal(http_headers_next(&headers, named), &items[3]);
	http_headers_drop(&headers, HTTP_HEADER_COOKIE);
	assert_null(http_headers_find(&headers, HTTP_HEADER_COOKIE));
	assert_null(http_headers_find_name(&headers, SLICE("cookie")));
	assert_null(http_headers_find(&headers, HTTP_HEADER_HOST));
}

static void test_list_is_bounded(void **state)
{
	http_headers_lend(&headers, items, 1);
	add("a", "");
	assert_int_equal(http_headers_add(&headers, SLICE("b"), SLICE("")), -ENOBUFS);
	assert_int_equal(headers.len, 1);
}

static struct http_header extra[HTTP_FORWARDED_EXTRA];
static char scratch[64];

static int apply(enum http_forwarded_mode mode, size_t size)
{
	struct http_forwarded how = {
		mode, proto_mode, SLICE("10.0.0.9"), SLICE("https"), SLICE("443")};

	return http_forwarded_apply(&headers, &how, scratch, size, extra);
}

static void extra_check(int at, const char *name, const char *value)
{
	assert_true(slice_eq(extra[at].name, slice_of(name)));
	assert_true(slice_eq(extra[at].value, slice_of(value)));
}

static void test_forwarded_set_anew(void **state)
{
	assert_int_equal(apply(HTTP_FORWARDED_APPEND, 0), 3);
	extra_check(0, "X-Forwarded-For", "10.0.0.9");
	extra_check(1, "X-Forwarded-Proto", "https");
	extra_check(2, "X-Forwarded-Port", "443");
}

static void add_forged(void)
{
	add("x-forwarded-for", "1.1.1.1");
	add("X-Forwarded-For", "2.2.2.2, 3.3.3.3");
	add("x-forwarded-proto", "http");
}

static void test_forwarded_append(void **state)
{
	add_forged();
	assert_int_equal(apply(HTTP_FORWARDED_APPEND, sizeof(scratch)), 3);
	extra_check(0, "X-Forwarded-For", "1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9");
	extra_check(1, "X-Forwarded-Proto", "https");
	for (uint32_t i = 0; i < headers.len; i++)
		assert_true(items[i].flags & HTTP_HEADER_DROPPED);
}

static void test_forwarded_takes_those_that_look_alike(void **state)
{
	add("X_Forwarded_For", "6.6.6.6");
	add("x_forwarded.proto", "https");
	add("X-Forwarded_Port", "1");
	add("X_Forwarded_Fox", "stays");
	proto_mode = HTTP_FORWARDED_PROTO_PRESERVE;
	assert_int_equal(apply(HTTP_FORWARDED_PRESERVE, sizeof(scratch)), 3);
	assert_false(items[0].flags & HTTP_HEADER_DROPPED);
	proto_mode = HTTP_FORWARDED_PROTO_REMOVE;
	assert_int_equal(apply(HTTP_FORWARDED_REMOVE, sizeof(scratch)), 0);
	for (uint32_t i = 0; i < headers.len; i++)
		assert_int_equal(!!(items[i].flags & HTTP_HEADER_DROPPED), i < 3);
}

static void test_forwarded_append_needs_room(void **state)
{
	size_t len = strlen("1.1.1.1, 2.2.2.2, 3.3.3.3, 10.0.0.9");

	add_forged();
	for (size_t size = 0; size < len; size++)
		assert_int_equal(apply(HTTP_FORWARDED_APPEND, size), -ENOBUFS);
	assert_int_equal(apply(HTTP_FORWARDED_APPEND, len), 3);
}

static void test_forwarded_preserve(void **state)
{
	add_forged();
	assert_int_equal(apply(HTTP_FORWARDED_PRESERVE, 0), 2);
	extra_check(0, "X-Forwarded-Proto", "https");
	extra_check(1, "X-Forwarded-Port", "443");
	assert_non_null(http_headers_find(&headers, HTTP_HEADER_X_FORWARDED_FOR));
	assert_null(http_headers_find(&headers, HTTP_HEADER_X_FORWARDED_PROTO));
}

static void test_forwarded_remove(void **state)
{
	add_forged();
	assert_int_equal(apply(HTTP_FORWARDED_REMOVE, 0), 2);
	extra_check(0, "X-Forwarded-Proto", "https");
	assert_null(http_headers_find(&headers, HTTP_HEADER_X_FORWARDED_FOR));
	assert_null(http_headers_find(&headers, HTTP_HEADER_X_FORWARDED_PROTO));
}

static void test_forwarded_proto_preserve(void **state)
{
	add_forged();
	proto_mode = HTTP_FORWARDED_PROTO_PRESERVE;
	assert_int_equal(apply(HTTP_FORWARDED_APPEND, sizeof(scratch)), 2);
	extra_check(1, "X-Forwarded-Port", "443");
	assert_non_null(http_headers_find(&headers, HTTP_HEADER_X_FORWARDED_PROTO));
}

#define TEST(name) cmocka_unit_test_setup(name, begin)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_known_names_in_any_case),
		TEST(test_near_misses_are_unknown),
		TEST(test_find_next_drop),
		TEST(test_list_is_bounded),
		TEST(test_forwarded_set_anew),
		TEST(test_forwarded_append),
		TEST(test_forwarded_takes_those_that_look_alike),
		TEST(test_forwarded_append_needs_room),
		TEST(test_forwarded_preserve),
		TEST(test_forwarded_remove),
		TEST(test_forwarded_proto_preserve),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
