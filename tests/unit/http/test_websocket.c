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

int main(void)
{
	const struct CMUnitTest tests[] = {cmocka_unit_test(test_example)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
