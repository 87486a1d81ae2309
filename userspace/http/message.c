/*
 * Header names and header lists. Known names are found through a table that the compiler fills: a
 * hash of length, first and last two letters that is perfect for the rows of http_headers.def. A
 * new row that collides is a compile error ("initializer overrides"): then NAME_FACTOR is to be
 * exchanged for another odd number. Pure functions and constant data, any thread.
 */
#include "http/message.h"
#include <errno.h>

#define NAME_FACTOR 0x84fd1bcbu
#define NAME_HASH(len, first, second_last, last)                                                   \
	((((uint32_t)(len) | (uint32_t)(first) << 8 | (uint32_t)(second_last) << 16 |              \
		  (uint32_t)(last) << 24) *                                                        \
		 NAME_FACTOR) >>                                                                   \
		24)
#define NAME_HASH_OF(name)                                                                         \
	NAME_HASH(sizeof(name) - 1, (name)[0], (name)[sizeof(name) - 3], (name)[sizeof(name) - 2])

#define HOP_BY_HOP HTTP_NAME_HOP_BY_HOP
#define SINGLETON  HTTP_NAME_SINGLETON
#define NO_TRAILER HTTP_NAME_NO_TRAILER

#pragma clang diagnostic push
#pragma clang diagnostic error "-Winitializer-overrides"
#pragma clang diagnostic ignored "-Wgnu-folding-constant"
static const uint8_t id_of_hash[256] = {
#define HEADER(id, name, flags) [NAME_HASH_OF(name)] = HTTP_HEADER_##id,
#include "http/http_headers.def"
#undef HEADER
};
#pragma clang diagnostic pop

static const struct {
	const char *name;
	uint8_t len, flags;
} rows[HTTP_HEADER_IDS] = {
#define HEADER(id, name, flags) [HTTP_HEADER_##id] = {name, sizeof(name) - 1, flags},
#include "http/http_headers.def"
#undef HEADER
};

static uint64_t load64(const char *at)
{
	uint64_t word;
	memcpy(&word, at, sizeof(word));
	return word;
}

/* Bytes of a token that become the same as a letter, digit or hyphen by setting bit 5 are that
 * letter in upper case only: the rest of what would is not allowed in tokens. */
static bool token_is(const char *token, const char *lower, size_t len)
{
	const uint64_t fold = 0x2020202020202020u;

	if (len >= 8) {
		for (size_t at = 0; at + 8 < len; at += 8)
			if ((load64(token + at) | fold) != load64(lower + at))
				return false;
		return (load64(token + len - 8) | fold) == load64(lower + len - 8);
	}
	for (size_t at = 0; at < len; at++)
		if ((token[at] | 0x20) != lower[at])
			return false;
	return true;
}

enum http_header_id http_header_id(struct slice name)
{
	if (name.len < 2 || name.len > UINT8_MAX)
		return HTTP_HEADER_UNKNOWN;
	const char *end = name.ptr + name.len;
	uint32_t hash = NAME_HASH(name.len, (uint8_t)(name.ptr[0] | 0x20),
		(uint8_t)(end[-2] | 0x20), (uint8_t)(end[-1] | 0x20));
	uint8_t id = id_of_hash[hash];

	if (rows[id].len != name.len || !token_is(name.ptr, rows[id].name, name.len))
		return HTTP_HEADER_UNKNOWN;
	return id;
}

struct slice http_header_name(enum http_header_id id)
{
	return (struct slice){rows[id].name, rows[id].len};
}

unsigned int http_header_name_flags(enum http_header_id id)
{
	return rows[id].flags;
}

void http_headers_lend(struct http_headers *headers, struct http_header *items, uint32_t max)
{
	*headers = (struct http_headers){.items = items, .max = max};
}

int http_headers_add(struct http_headers *headers, struct slice name, struct slice value)
{
	if (headers->len == headers->max)
		return -ENOBUFS;
	struct http_header *header = &headers->items[headers->len++];

	*header = (struct http_header){.name = name, .value = value, .id = http_header_id(name)};
	headers->present |= 1ull << header->id;
	return 0;
}

static struct http_header *find_from(
	const struct http_headers *headers, uint32_t from, enum http_header_id id)
{
	for (uint32_t i = from; i < headers->len; i++) {
		struct http_header *header = &headers->items[i];

		if (header->id == id && !(header->flags & HTTP_HEADER_DROPPED))
			return header;
	}
	return NULL;
}

static struct http_header *find_name_from(
	const struct http_headers *headers, uint32_t from, struct slice name)
{
	for (uint32_t i = from; i < headers->len; i++) {
		struct http_header *header = &headers->items[i];

		if (!(header->flags & HTTP_HEADER_DROPPED) && slice_eq_nocase(header->name, name))
			return header;
	}
	return NULL;
}

struct http_header *http_headers_find(const struct http_headers *headers, enum http_header_id id)
{
	if (id == HTTP_HEADER_UNKNOWN || !(headers->present & 1ull << id))
		return NULL;
	return find_from(headers, 0, id);
}

struct http_header *http_headers_find_name(const struct http_headers *headers, struct slice name)
{
	return find_name_from(headers, 0, name);
}

struct http_header *http_headers_next(
	const struct http_headers *headers, const struct http_header *header)
{
	uint32_t from = (uint32_t)(header - headers->items) + 1;

	if (header->id != HTTP_HEADER_UNKNOWN)
		return find_from(headers, from, header->id);
	return find_name_from(headers, from, header->name);
}

void http_headers_drop(struct http_headers *headers, enum http_header_id id)
{
	struct http_header *header = http_headers_find(headers, id);

	for (; header; header = http_headers_next(headers, header))
		header->flags |= HTTP_HEADER_DROPPED;
	if (id != HTTP_HEADER_UNKNOWN)
		headers->present &= ~(1ull << id);
}
