/* Keys of WebSocket: see websocket.h. */
#include "http/websocket.h"
#include "core/base64.h"

#include <assert.h>
#include <string.h>

enum { SHA1_BYTES = 20, BLOCK_BYTES = 64, LENGTH_BYTES = 8, MESSAGE_BYTES = 2 * BLOCK_BYTES };

/* RFC 6455 section 1.3 */
static const char guid[] = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

static uint32_t rotate(uint32_t word, unsigned int bits)
{
	return word << bits | word >> (32 - bits);
}

static uint32_t get_be32(const uint8_t *at)
{
	return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

/* The function and the constant of a round (FIPS 180-4 section 4.1.1). */
static uint32_t mix(int round, uint32_t b, uint32_t c, uint32_t d)
{
	if (round < 20)
		return ((b & c) | (~b & d)) + 0x5a827999;
	if (round < 40)
		return (b ^ c ^ d) + 0x6ed9eba1;
	if (round < 60)
		return ((b & c) | (b & d) | (c & d)) + 0x8f1bbcdc;
	return (b ^ c ^ d) + 0xca62c1d6;
}

static void take_block(uint32_t state[static 5], const uint8_t *block)
{
	uint32_t words[80], a = state[0], b = state[1], c = state[2], d = state[3], e = state[4], t;
	int i;

	for (i = 0; i < 16; i++)
		words[i] = get_be32(block + (size_t)4 * (size_t)i);
	for (; i < 80; i++)
		words[i] = rotate(words[i - 3] ^ words[i - 8] ^ words[i - 14] ^ words[i - 16], 1);
	for (i = 0; i < 80; i++) {
		t = rotate(a, 5) + mix(i, b, c, d) + e + words[i];
		e = d;
		d = c;
		c = rotate(b, 30);
		b = a;
		a = t;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
}

/* SHA-1, of what fits into two blocks: no secret hangs on it here, and OpenSSL may be set up without. */
static void sha1(const char *text, size_t len, uint8_t ret_hash[static SHA1_BYTES])
{
	uint32_t state[5] = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476, 0xc3d2e1f0};
	uint8_t message[MESSAGE_BYTES] = {0};
	size_t i;

	assert(len + 1 + LENGTH_BYTES <= sizeof(message) && len + 1 + LENGTH_BYTES > BLOCK_BYTES);
	memcpy(message, text, len);
	message[len] = 0x80;
	message[MESSAGE_BYTES - 2] = (uint8_t)(len * 8 >> 8);
	message[MESSAGE_BYTES - 1] = (uint8_t)(len * 8);
	take_block(state, message);
	take_block(state, message + BLOCK_BYTES);
	for (i = 0; i < SHA1_BYTES; i++)
		ret_hash[i] = (uint8_t)(state[i / 4] >> (24 - 8 * (i % 4)));
}

void websocket_key(
	const uint8_t nonce[static WEBSOCKET_NONCE_BYTES], char ret_key[static WEBSOCKET_KEY_BYTES])
{
	base64_encode(nonce, WEBSOCKET_NONCE_BYTES, ret_key);
}

bool websocket_nonce(struct slice key, uint8_t ret_nonce[static WEBSOCKET_NONCE_BYTES])
{
	uint8_t bytes[WEBSOCKET_KEY_BYTES];
	char again[WEBSOCKET_KEY_BYTES];
	size_t len;

	if (key.len != WEBSOCKET_KEY_BYTES - 1 ||
		base64_decode(key.ptr, key.len, bytes, &len) < 0 || len != WEBSOCKET_NONCE_BYTES)
		return false;
	memcpy(ret_nonce, bytes, WEBSOCKET_NONCE_BYTES);
	websocket_key(ret_nonce, again); /* bits may be left over */
	return slice_eq(key, slice_of(again));
}

void websocket_accept(const uint8_t nonce[static WEBSOCKET_NONCE_BYTES],
	char ret_accept[static WEBSOCKET_ACCEPT_BYTES])
{
	char text[WEBSOCKET_KEY_BYTES - 1 + sizeof(guid)];
	uint8_t hash[SHA1_BYTES];

	websocket_key(nonce, text);
	memcpy(text + WEBSOCKET_KEY_BYTES - 1, guid, sizeof(guid));
	sha1(text, sizeof(text) - 1, hash);
	base64_encode(hash, sizeof(hash), ret_accept);
}
