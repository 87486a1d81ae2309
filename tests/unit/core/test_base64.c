/* Base64: the vectors of RFC 4648 section 10, what is refused, and there and back. */
#include "core/base64.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <errno.h>
#include <string.h>

static void test_vectors(void **state)
{
	static const char *const rows[][2] = {{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="},
		{"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="},
		{"foobar", "Zm9vYmFy"}};
	uint8_t bytes[32];
	char text[32];
	size_t len;

	for (size_t i = 0; i < array_len(rows); i++) {
		base64_encode((const uint8_t *)rows[i][0], strlen(rows[i][0]), text);
		assert_string_equal(text, rows[i][1]);
		assert_int_equal(strlen(text) + 1, base64_encoded_size(strlen(rows[i][0])));
		assert_int_equal(base64_decode(rows[i][1], strlen(rows[i][1]), bytes, &len), 0);
		assert_int_equal(len, strlen(rows[i][0]));
		assert_memory_equal(bytes, rows[i][0], len);
	}
}

static void test_lines(void **state)
{
	static const char text[] = "Zm9v\r\nYm\tFy \n";
	uint8_t bytes[32];
	size_t len;

	assert_int_equal(base64_decode(text, sizeof(text) - 1, bytes, &len), 0);
	assert_int_equal(len, 6);
	assert_memory_equal(bytes, "foobar", 6);
}

static void test_refused(void **state)
{
	static const char *const rows[] = {"Z", "Zg", "Zg=", "Zg===", "====", "=",
		"Z===", "Zm9v=", "Zg==Zm9v", "Zm=v", "Zm9_", "Zm9-", "Zh==", "Zm9=", "Zm9\x80",
		"Zm9v!"};
	uint8_t bytes[32];
	size_t len;

	for (size_t i = 0; i < array_len(rows); i++)
		if (base64_decode(rows[i], strlen(rows[i]), bytes, &len) != -EINVAL)
			fail_msg("%s", rows[i]);
	assert_int_equal(base64_decode("Zm9\0", 4, bytes, &len), -EINVAL);
}

static void test_there_and_back(void **state)
{
	uint8_t bytes[256], again[sizeof(bytes) + 3];
	char text[sizeof(bytes) * 2];
	size_t len;

	for (size_t i = 0; i < sizeof(bytes); i++)
		bytes[i] = (uint8_t)(i * 167);
	for (size_t n = 0; n <= sizeof(bytes); n++) {
		base64_encode(bytes, n, text);
		assert_true(base64_decoded_max(strlen(text)) <= sizeof(again) + 2);
		assert_int_equal(base64_decode(text, strlen(text), again, &len), 0);
		assert_int_equal(len, n);
		assert_memory_equal(bytes, again, n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_lines),
		cmocka_unit_test(test_refused),
		cmocka_unit_test(test_there_and_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
