/* Headers about a client's TLS: see tls_headers.h. */
#include "proxy/tls_headers.h"

#include "core/mem.h"
#include "tls/peer.h"
#include "tls/stream.h"
#include <stdlib.h>

/* Many servers take X_Name for X-Name. */
static char fold(char c)
{
	if (c >= 'A' && c <= 'Z')
		return (char)(c + ('a' - 'A'));
	return c == '_' ? '-' : c;
}

static bool is_same_name(struct slice a, struct slice b)
{
	size_t i;

	if (a.len != b.len)
		return false;
	for (i = 0; i < a.len; i++)
		if (fold(a.ptr[i]) != fold(b.ptr[i]))
			return false;
	return true;
}

static bool is_ours(const struct tls_headers *how, struct slice name)
{
	int i;

	for (i = 0; i < TLS_HEADERS; i++)
		if (how->names[i].len && is_same_name(how->names[i], name))
			return true;
	return false;
}

static void drop_forged(const struct tls_headers *how, struct http_headers *headers)
{
	uint32_t i;

	for (i = 0; i < headers->len; i++)
		if (headers->items[i].id == HTTP_HEADER_UNKNOWN &&
			is_ours(how, headers->items[i].name))
			headers->items[i].flags |= HTTP_HEADER_DROPPED;
}

uint32_t tls_headers_apply(const struct tls_headers *how, const struct stream *front,
	struct http_headers *headers, struct http_header ret_extra[TLS_HEADERS])
{
	struct slice values[TLS_HEADERS] = {0};
	struct tls_stream_facts facts;
	uint32_t n = 0;
	int i;

	drop_forged(how, headers);
	tls_stream_facts(front, &facts);
	/* A certificate that nobody judged has a chain only: it never looks like a good one. */
	if (facts.peer && facts.peer->chain.len) {
		values[TLS_HEADER_CHAIN] = facts.peer->chain;
	} else if (facts.peer) {
		values[TLS_HEADER_SERIAL_NUMBER] = facts.peer->serial;
		values[TLS_HEADER_ISSUER] = facts.peer->issuer;
		values[TLS_HEADER_SUBJECT] = facts.peer->subject;
		values[TLS_HEADER_VALIDITY] = facts.peer->validity;
		values[TLS_HEADER_LEAF] = facts.peer->leaf;
	}
	values[TLS_HEADER_VERSION] = slice_of(facts.version);
	if (how->names[TLS_HEADER_CIPHER_SUITE].len)
		values[TLS_HEADER_CIPHER_SUITE] = slice_of(tls_cipher_short_name(facts.cipher));
	for (i = 0; i < TLS_HEADERS; i++)
		if (how->names[i].len && values[i].ptr)
			ret_extra[n++] =
				(struct http_header){.name = how->names[i], .value = values[i]};
	return n;
}

void tls_headers_copy(const struct tls_headers *from, struct tls_headers *ret_to)
{
	int i;

	*ret_to = *from;
	for (i = 0; i < TLS_HEADERS; i++)
		if (from->names[i].len)
			ret_to->names[i].ptr = mem_strndup(from->names[i].ptr, from->names[i].len);
}

void tls_headers_fini(struct tls_headers *how)
{
	int i;

	for (i = 0; i < TLS_HEADERS; i++)
		if (how->names[i].len)
			free((char *)how->names[i].ptr);
}
