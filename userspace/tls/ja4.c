/*
 * JA4 (technical_details/JA4.md of FoxIO's publication): see ja4.h. Each thread keeps a digest
 * context from its first call to its end, so that a fingerprint allocates nothing.
 */
#include "tls/ja4.h"

#include <openssl/evp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	EXT_SERVER_NAME = 0,
	EXT_ALPN = 16,
	CODES_MAX = TLS_CLIENT_HELLO_BYTES_MAX / 2,
	COUNT_MAX = 99,
	HASH_DIGITS = 12,
	CODE_DIGITS = 4,
	SMALL_LIST = 48, /* up to here insertion beats counting */
};

/* Code points without GREASE, host byte order. */
struct codes {
	size_t n;
	uint16_t at[CODES_MAX];
};

/* Text on its way into the digest. */
struct digest {
	EVP_MD_CTX *ctx;
	size_t len;
	char text[512];
};

static const char digits[] = "0123456789abcdef";

static EVP_MD *sha256;
static pthread_key_t ctx_key;
static pthread_once_t once = PTHREAD_ONCE_INIT;

/* Of SHA-256 only lack of memory can fail, on the first call of a thread: as fatal as in mem.h. */
static void must(bool holds)
{
	if (unlikely(!holds)) {
		fprintf(stderr, "sluice: SHA-256 for JA4: out of memory, or OpenSSL lacks it\n");
		abort();
	}
}

static void free_ctx(void *ctx)
{
	EVP_MD_CTX_free(ctx);
}

static void init_once(void)
{
	sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
	must(sha256 && pthread_key_create(&ctx_key, free_ctx) == 0);
}

static EVP_MD_CTX *thread_ctx(void)
{
	EVP_MD_CTX *ctx;

	must(pthread_once(&once, init_once) == 0);
	ctx = pthread_getspecific(ctx_key);
	if (unlikely(!ctx)) {
		ctx = EVP_MD_CTX_new();
		must(ctx && pthread_setspecific(ctx_key, ctx) == 0);
	}
	return ctx;
}

static void digest_start(struct digest *digest)
{
	digest->len = 0;
	must(EVP_DigestInit_ex2(digest->ctx, sha256, NULL));
}

/* Four digits, and a separator in front unless it is 0. */
static void digest_add(struct digest *digest, char separator, uint16_t code)
{
	char *to;

	if (digest->len + 1 + CODE_DIGITS > sizeof(digest->text)) {
		must(EVP_DigestUpdate(digest->ctx, digest->text, digest->len));
		digest->len = 0;
	}
	to = digest->text + digest->len;
	if (separator)
		*to++ = separator;
	*to++ = digits[code >> 12];
	*to++ = digits[code >> 8 & 15];
	*to++ = digits[code >> 4 & 15];
	*to++ = digits[code & 15];
	digest->len = (size_t)(to - digest->text);
}

static void digest_add_list(struct digest *digest, char first_separator, const struct codes *codes)
{
	size_t i;

	for (i = 0; i < codes->n; i++)
		digest_add(digest, i ? ',' : first_separator, codes->at[i]);
}

static void digest_end(struct digest *digest, char *ret_hex)
{
	uint8_t hash[EVP_MAX_MD_SIZE];
	size_t i;

	must(EVP_DigestUpdate(digest->ctx, digest->text, digest->len) &&
		EVP_DigestFinal_ex(digest->ctx, hash, NULL));
	for (i = 0; i < HASH_DIGITS; i++)
		ret_hex[i] = digits[i % 2 ? hash[i / 2] & 15 : hash[i / 2] >> 4];
}

static uint16_t load_be16(const char *bytes)
{
	return (uint16_t)((uint8_t)bytes[0] << 8 | (uint8_t)bytes[1]);
}

static void codes_add(struct codes *codes, uint16_t code)
{
	if (!clienthello_is_grease(code))
		codes->at[codes->n++] = code;
}

static void codes_of_list(struct slice list, struct codes *ret_codes)
{
	size_t i;

	ret_codes->n = 0;
	for (i = 0; i < list.len; i += 2)
		codes_add(ret_codes, load_be16(list.ptr + i));
}

/* All types but GREASE are counted; server_name and ALPN are not listed. */
static size_t codes_of_extensions(const struct clienthello *hello, struct codes *ret_codes)
{
	const char *block = hello->extensions.ptr;
	size_t at, hidden = 0;
	uint16_t type;

	ret_codes->n = 0;
	for (at = 0; at < hello->extensions.len; at += 4 + load_be16(block + at + 2)) {
		type = load_be16(block + at);
		if (type == EXT_SERVER_NAME || type == EXT_ALPN)
			hidden++;
		else
			codes_add(ret_codes, type);
	}
	return ret_codes->n + hidden;
}

/* One pass of a radix sort, by the byte at `shift`. */
static void sort_by_byte(const uint16_t *from, uint16_t *to, size_t n, int shift)
{
	uint32_t starts[257] = {};
	size_t i;

	for (i = 0; i < n; i++)
		starts[(from[i] >> shift & 255) + 1]++;
	for (i = 1; i < 257; i++)
		starts[i] += starts[i - 1];
	for (i = 0; i < n; i++)
		to[starts[from[i] >> shift & 255]++] = from[i];
}

/* A stranger chooses how long the list is: linear time. */
static void codes_sort_long(struct codes *codes)
{
	uint16_t half_sorted[CODES_MAX];

	sort_by_byte(codes->at, half_sorted, codes->n, 0);
	sort_by_byte(half_sorted, codes->at, codes->n, 8);
}

static void codes_sort(struct codes *codes)
{
	uint16_t code;
	size_t i, j;

	if (codes->n > SMALL_LIST) {
		codes_sort_long(codes);
		return;
	}
	for (i = 1; i < codes->n; i++) {
		code = codes->at[i];
		for (j = i; j > 0 && codes->at[j - 1] > code; j--)
			codes->at[j] = codes->at[j - 1];
		codes->at[j] = code;
	}
}

/* The highest of supported_versions, be it known or not; else the version of the hello. */
static const char *version_text(const struct clienthello *hello)
{
	static const struct {
		uint16_t version;
		char text[3];
	} rows[] = {{0x0304, "13"}, {0x0303, "12"}, {0x0302, "11"}, {0x0301, "10"}, {0x0300, "s3"},
		{0x0002, "s2"}, {0xfeff, "d1"}, {0xfefd, "d2"}, {0xfefc, "d3"}};
	uint16_t version = hello->versions.len ? 0 : hello->legacy_version, code;
	size_t i;

	for (i = 0; i < hello->versions.len; i += 2) {
		code = load_be16(hello->versions.ptr + i);
		if (code > version && !clienthello_is_grease(code))
			version = code;
	}
	for (i = 0; i < array_len(rows); i++)
		if (rows[i].version == version)
			return rows[i].text;
	return "00";
}

static void write_count(size_t count, char *ret_text)
{
	if (count > COUNT_MAX)
		count = COUNT_MAX;
	ret_text[0] = digits[count / 10];
	ret_text[1] = digits[count % 10];
}

static bool is_alphanumeric(uint8_t c)
{
	uint8_t low = c | 0x20;

	return (c >= '0' && c <= '9') || (low >= 'a' && low <= 'z');
}

/* First and last character of the first protocol; of its hexadecimal form if either is neither
 * letter nor digit. */
static void write_alpn(struct slice alpn, char *ret_text)
{
	uint8_t first, last;

	ret_text[0] = ret_text[1] = '0';
	if (!alpn.len)
		return;
	first = (uint8_t)alpn.ptr[1];
	last = (uint8_t)alpn.ptr[(uint8_t)alpn.ptr[0]];
	if (is_alphanumeric(first) && is_alphanumeric(last)) {
		ret_text[0] = (char)first;
		ret_text[1] = (char)last;
	} else {
		ret_text[0] = digits[first >> 4];
		ret_text[1] = digits[last & 15];
	}
}

static void write_ciphers(struct digest *digest, struct codes *ciphers, char *ret_hex)
{
	if (!ciphers->n)
		return;
	codes_sort(ciphers);
	digest_start(digest);
	digest_add_list(digest, 0, ciphers);
	digest_end(digest, ret_hex);
}

static void write_extensions(
	struct digest *digest, struct codes *types, struct slice signatures, char *ret_hex)
{
	if (!types->n)
		return;
	codes_sort(types);
	digest_start(digest);
	digest_add_list(digest, 0, types);
	codes_of_list(signatures, types);
	digest_add_list(digest, '_', types);
	digest_end(digest, ret_hex);
}

void ja4_compute(const struct clienthello *hello, char protocol, char ret_text[static JA4_BYTES])
{
	struct digest digest;
	struct codes codes;

	/* "t13d1516h2_" and two hashes; that of an empty list stays zeros. */
	memcpy(ret_text, "t00i000000_000000000000_000000000000", JA4_BYTES);
	digest.ctx = thread_ctx();
	ret_text[0] = protocol;
	memcpy(ret_text + 1, version_text(hello), 2);
	if (hello->server_name.len)
		ret_text[3] = 'd';
	codes_of_list(hello->ciphers, &codes);
	write_count(codes.n, ret_text + 4);
	write_ciphers(&digest, &codes, ret_text + 11);
	write_count(codes_of_extensions(hello, &codes), ret_text + 6);
	write_alpn(hello->alpn, ret_text + 8);
	write_extensions(&digest, &codes, hello->signature_algorithms, ret_text + 24);
}
