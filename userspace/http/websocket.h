/* The opening handshake of WebSocket in HTTP/1.1 (RFC 6455 section 4), as far as it is made and checked
 * here, where one of the two sides speaks HTTP/2, which has none of it (RFC 8441). Pure. */
#ifndef SLUICE_HTTP_WEBSOCKET_H
#define SLUICE_HTTP_WEBSOCKET_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdbool.h>
#include <stdint.h>

enum {
	WEBSOCKET_NONCE_BYTES = 16,
	WEBSOCKET_KEY_BYTES = 25, /* as text, with a NUL */
	WEBSOCKET_ACCEPT_BYTES = 29,
};

/* Sec-WebSocket-Key. */
void websocket_key(const uint8_t nonce[static WEBSOCKET_NONCE_BYTES],
	char ret_key[static WEBSOCKET_KEY_BYTES]);
/* What a Sec-WebSocket-Key stands for; false: it is none. */
bool websocket_nonce(struct slice key, uint8_t ret_nonce[static WEBSOCKET_NONCE_BYTES]) must_check;
/* Sec-WebSocket-Accept that goes with it. */
void websocket_accept(const uint8_t nonce[static WEBSOCKET_NONCE_BYTES],
	char ret_accept[static WEBSOCKET_ACCEPT_BYTES]);

#endif
