/* Keys of WebSocket. */
#include "http/websocket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

/* RFC 6455 section 1.3. */
static void test_example(void **state)
{
	char key[WEBSOCKET_KEY_BYTES], accept[WEBSOCKET_ACCEPT_BYTES];
	uint8_t nonce[WEBSOCKET_NONCE_BYTES];

	memcpy(nonce, "the sample nonce", sizeof(nonce));
	websocket_key(nonce, key);
	assert_string_equal(key, "dGhlIHNhbXBsZSBub25jZQ==");
	websocket_accept(nonce, accept);
	assert_string_equal(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
}

static void test_keys_of_clients(void **state)
{
	static const char *const bad[] = {"", "dGhlIHNhbXBsZSBub25jZQ=",
		"dGhlIHNhbXBsZSBub25jZQ===", "dGhlIHNhbXBsZSBub25jZR==", "dGhlIHNhbXBsZSBub25jZWVl",
		"dGhlIHNhbXBsZSBub25jZQ  ", "dGhlIHNhbXBsZSBub25j*Q=="};
	uint8_t nonce[WEBSOCKET_NONCE_BYTES];
	size_t i;

	assert_true(websocket_nonce(SLICE("dGhlIHNhbXBsZSBub25jZQ=="), nonce));
	assert_memory_equal(nonce, "the sample nonce", sizeof(nonce));
	for (i = 0; i < sizeof(bad) / sizeof(*bad); i++)
		assert_false(websocket_nonce(slice_of(bad[i]), nonce));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_example),
		cmocka_unit_test(test_keys_of_clients),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
