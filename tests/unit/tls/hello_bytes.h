/*
 * ClientHellos made by hand, from lists of code points as fingerprints are published ("1301,1302"):
 * for the tests of the parser and of JA4. Header only, because every test is a program of one file.
 */
#ifndef SLUICE_TESTS_UNIT_HELLO_BYTES_H
#define SLUICE_TESTS_UNIT_HELLO_BYTES_H

#include "core/slice.h"
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Room for the longest hello in records of one byte, and for one that is too long. */
struct hello_bytes {
	size_t len;
	uint8_t at[120000];
};

/* What a client sends. NULL: the usual, or nothing. */
struct hello_raw {
	const char *ciphers;
	const char *extensions; /* in this order; bodies are made from the fields below */
	const char *signatures;
	const char *versions; /* supported_versions */
	const char *name;
	struct slice alpn; /* as on the wire: "\x02h2" */
	uint16_t legacy_version;
	bool has_grease; /* wherever clients put it */
	size_t session_id_len;
	/* A body for one of the extensions, in place of the usual one. */
	uint16_t own_type;
	struct slice own_body;
	size_t padding_len; /* the body of "0015" */
};

static inline void hello_put(struct hello_bytes *hello, const void *bytes, size_t n)
{
	assert(hello->len + n <= sizeof(hello->at));
	memcpy(hello->at + hello->len, bytes, n);
	hello->len += n;
}

static inline void hello_put_fill(struct hello_bytes *hello, uint8_t byte, size_t n)
{
	assert(hello->len + n <= sizeof(hello->at));
	memset(hello->at + hello->len, byte, n);
	hello->len += n;
}

/* Big endian, `n` bytes. */
static inline void hello_put_number(struct hello_bytes *hello, size_t number, size_t n)
{
	while (n--)
		hello_put_fill(hello, (uint8_t)(number >> (8 * n)), 1);
}

/* A vector: what is put between open and close gets its length in front. */
static inline size_t hello_open(struct hello_bytes *hello, size_t length_bytes)
{
	hello_put_fill(hello, 0, length_bytes);
	return hello->len;
}

static inline void hello_close(struct hello_bytes *hello, size_t start, size_t length_bytes)
{
	size_t end = hello->len;

	hello->len = start - length_bytes;
	hello_put_number(hello, end - start, length_bytes);
	hello->len = end;
}

static inline void hello_put_codes(
	struct hello_bytes *hello, const char *codes, size_t length_bytes, uint16_t grease)
{
	size_t start = hello_open(hello, length_bytes);
	char *end;

	if (grease)
		hello_put_number(hello, grease, 2);
	for (; codes && *codes; codes = *end ? end + 1 : end)
		hello_put_number(hello, strtoul(codes, &end, 16), 2);
	hello_close(hello, start, length_bytes);
}

static inline void hello_put_vector(
	struct hello_bytes *hello, const void *bytes, size_t n, size_t length_bytes)
{
	hello_put_number(hello, n, length_bytes);
	hello_put(hello, bytes, n);
}

static inline void hello_put_name(struct hello_bytes *hello, const char *name)
{
	size_t list = hello_open(hello, 2);

	hello_put_number(hello, 0, 1);
	hello_put_vector(hello, name, strlen(name), 2);
	hello_close(hello, list, 2);
}

static inline void hello_put_key_shares(struct hello_bytes *hello, bool has_grease)
{
	size_t list = hello_open(hello, 2);

	if (has_grease)
		hello_put(hello, "\x4a\x4a\0\1\0", 5);
	hello_put(hello, "\0\x1d\0\x20", 4);
	hello_put_fill(hello, 0x55, 32);
	hello_close(hello, list, 2);
}

/* One identity of 4 bytes, one binder. */
static inline void hello_put_psk(struct hello_bytes *hello)
{
	hello_put(hello, "\0\x0a\0\4sess\0\0\0\1\0\x21\x20", 15);
	hello_put_fill(hello, 0x77, 32);
}

static inline void hello_put_body(
	struct hello_bytes *hello, uint16_t type, const struct hello_raw *raw)
{
	bool grease = raw->has_grease;

	if (raw->own_body.ptr && type == raw->own_type)
		hello_put(hello, raw->own_body.ptr, raw->own_body.len);
	else if (type == 0)
		hello_put_name(hello, raw->name ? raw->name : "www.test");
	else if (type == 10)
		hello_put_codes(hello, "001d,0017", 2, grease ? 0x4a4a : 0);
	else if (type == 13 || type == 50)
		hello_put_codes(hello, raw->signatures ? raw->signatures : "0403,0804", 2,
			grease ? 0x5a5a : 0);
	else if (type == 16)
		hello_put_vector(hello, raw->alpn.ptr ? raw->alpn.ptr : "\2h2",
			raw->alpn.ptr ? raw->alpn.len : 3, 2);
	else if (type == 21)
		hello_put_fill(hello, 0, raw->padding_len);
	else if (type == 41)
		hello_put_psk(hello);
	else if (type == 43)
		hello_put_codes(
			hello, raw->versions ? raw->versions : "0304,0303", 1, grease ? 0x6a6a : 0);
	else if (type == 51)
		hello_put_key_shares(hello, grease);
}

static inline void hello_put_extension(
	struct hello_bytes *hello, uint16_t type, const struct hello_raw *raw)
{
	size_t body;

	hello_put_number(hello, type, 2);
	body = hello_open(hello, 2);
	hello_put_body(hello, type, raw);
	hello_close(hello, body, 2);
}

/* GREASE comes first, and once more before pre_shared_key or at the end, as Chrome has it. */
static inline void hello_put_extensions(struct hello_bytes *hello, const struct hello_raw *raw)
{
	const char *types = raw->extensions;
	bool has_last = !raw->has_grease;
	size_t block = hello_open(hello, 2);
	uint16_t type;
	char *end;

	if (raw->has_grease)
		hello_put_extension(hello, 0x2a2a, raw);
	for (; *types; types = *end ? end + 1 : end) {
		type = (uint16_t)strtoul(types, &end, 16);
		if (!has_last && type == 41) {
			hello_put_extension(hello, 0x3a3a, raw);
			has_last = true;
		}
		hello_put_extension(hello, type, raw);
	}
	if (!has_last)
		hello_put_extension(hello, 0xfafa, raw);
	hello_close(hello, block, 2);
}

/* The handshake message. `extensions` NULL: it ends before the block. */
static inline void hello_message(const struct hello_raw *raw, struct hello_bytes *ret_message)
{
	size_t body;

	ret_message->len = 0;
	hello_put_number(ret_message, 1, 1);
	body = hello_open(ret_message, 3);
	hello_put_number(ret_message, raw->legacy_version ? raw->legacy_version : 0x0303, 2);
	hello_put_fill(ret_message, 0x11, 32);
	hello_put_number(ret_message, raw->session_id_len, 1);
	hello_put_fill(ret_message, 0x22, raw->session_id_len);
	hello_put_codes(ret_message, raw->ciphers ? raw->ciphers : "1301,c02b", 2,
		raw->has_grease ? 0x1a1a : 0);
	hello_put(ret_message, "\1\0", 2);
	if (raw->extensions)
		hello_put_extensions(ret_message, raw);
	hello_close(ret_message, body, 3);
}

/* The message in records of `content_len` bytes each. */
static inline void hello_records(
	const struct hello_bytes *message, size_t content_len, struct hello_bytes *ret_stream)
{
	size_t at, n;

	ret_stream->len = 0;
	for (at = 0; at < message->len; at += n) {
		n = message->len - at < content_len ? message->len - at : content_len;
		hello_put(ret_stream, "\x16\3\1", 3);
		hello_put_vector(ret_stream, message->at + at, n, 2);
	}
}

static inline void hello_stream(const struct hello_raw *raw, struct hello_bytes *ret_stream)
{
	struct hello_bytes *message = malloc(sizeof(*message));

	assert(message);
	hello_message(raw, message);
	hello_records(message, 16384, ret_stream);
	free(message);
}

#endif
