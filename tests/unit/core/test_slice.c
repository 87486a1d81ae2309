/* Slices, error texts and hashes: the small pure pieces of core. */
#include "core/err.h"
#include "core/hash.h"
#include "core/slice.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void test_slice_eq(void **state)
{
	static const struct slice none = {0};

	assert_true(slice_eq(SLICE("abc"), slice_of("abc")));
	assert_false(slice_eq(SLICE("abc"), SLICE("abd")));
	assert_false(slice_eq(SLICE("abc"), SLICE("ab")));
	assert_false(slice_eq(SLICE("abc"), SLICE("ABC")));
	assert_true(slice_eq(none, SLICE("")));
	assert_true(slice_eq(SLICE("a\0b"), SLICE("a\0b")));
	assert_false(slice_eq(SLICE("a\0b"), SLICE("a\0c")));
}

static void test_slice_eq_nocase(void **state)
{
	static const struct slice none = {0};
	char one[1], other[1];
	int a, b;

	assert_true(slice_eq_nocase(SLICE("Content-Length"), SLICE("content-lENGTH")));
	assert_false(slice_eq_nocase(SLICE("Content-Length"), SLICE("Content-Lengt")));
	assert_false(slice_eq_nocase(SLICE("a\0b"), SLICE("a\0c")));
	assert_true(slice_eq_nocase(none, none));
	for (a = 0; a < 256; a++)
		for (b = 0; b < 256; b++) {
			int low_a = a >= 'A' && a <= 'Z' ? a + 32 : a;
			int low_b = b >= 'A' && b <= 'Z' ? b + 32 : b;

			one[0] = (char)a;
			other[0] = (char)b;
			assert_int_equal(
				slice_eq_nocase((struct slice){one, 1}, (struct slice){other, 1}),
				low_a == low_b);
		}
}

static void test_err(void **state)
{
	struct err err;
	size_t i;

	assert_int_equal(err_set(NULL, -EINVAL, "nobody asks"), -EINVAL);
	assert_int_equal(err_context(NULL, -EINVAL, "nobody asks"), -EINVAL);
	assert_int_equal(err_set(&err, -ENOENT, "no file %s", "a.pem"), -ENOENT);
	assert_int_equal(err_context(&err, -ENOENT, "certificate %d", 7), -ENOENT);
	assert_string_equal(err.text, "certificate 7: no file a.pem");
	for (i = 0; i < 200; i++)
		err_context(&err, -ENOENT, "0123456789");
	assert_true(strlen(err.text) < ERR_TEXT_BYTES);
	err_set(&err, -ENOENT, "%1000s", "x");
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
	err_context(&err, -ENOENT, "%600s", "y");
	assert_int_equal(strlen(err.text), ERR_TEXT_BYTES - 1);
}

/* SipHash-1-3 of 0, 1, 2, … bytes 00 01 02 …, key 00 … 0f. */
static const uint64_t sip_vectors[] = {0xabac0158050fc4dc, 0xc9f49bf37d57ca93, 0x82cb9b024dc7d44d,
	0x8bf80ab8e7ddf7fb, 0xcf75576088d38328, 0xdef9d52f49533b67, 0xc50d2b50c59f22a7,
	0xd3927d989bb11140, 0x369095118d299a8e, 0x25a48eb36c063de4, 0x79de85ee92ff097f,
	0x70c118c1f94dc352, 0x78a384b157b4d9a2, 0x306f760c1229ffa7, 0x605aa111c0f95d34,
	0xd320d86d2a519956, 0xcc4fdd1a7d908b66, 0x9cf2689063dbd80c};

static void test_hash_vectors(void **state)
{
	static const struct hash_key key = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
	uint8_t bytes[array_len(sip_vectors)];
	size_t i;

	assert_true(hash_bytes(&key, NULL, 0) == sip_vectors[0]);
	for (i = 0; i < sizeof(bytes); i++) {
		bytes[i] = (uint8_t)i;
		assert_true(hash_bytes(&key, bytes, i) == sip_vectors[i]);
	}
}

static void test_hash_random(void **state)
{
	uint8_t a[1000] = {0}, b[1000] = {0};

	hash_random(a, sizeof(a));
	hash_random(b, sizeof(b));
	assert_memory_not_equal(a, b, 32);
	assert_memory_not_equal(a + sizeof(a) - 32, b + sizeof(b) - 32, 32);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_slice_eq),
		cmocka_unit_test(test_slice_eq_nocase),
		cmocka_unit_test(test_err),
		cmocka_unit_test(test_hash_vectors),
		cmocka_unit_test(test_hash_random),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
