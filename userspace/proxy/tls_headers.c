/* Headers about a client's TLS: see tls_headers.h. */
#include "proxy/tls_headers.h"

#include "core/mem.h"
#include "http/headers.h"
#include "tls/peer.h"
#include "tls/stream.h"
#include <stdlib.h>

bool tls_headers_is_removed(const struct tls_headers *how, struct slice name)
{
	uint32_t i;

	for (i = 0; i < how->n_removed; i++)
		if (http_name_is_alike(how->removed[i], name))
			return true;
	return false;
}

void tls_headers_remove(const struct tls_headers *how, struct http_headers *headers)
{
	uint32_t i;

	for (i = 0; i < headers->len; i++)
		if (headers->items[i].id == HTTP_HEADER_UNKNOWN &&
			tls_headers_is_removed(how, headers->items[i].name))
			headers->items[i].flags |= HTTP_HEADER_DROPPED;
}

/* A byte that could end the line, or the head: a value with one is left out, whoever made it. */
static bool is_fit(struct slice value)
{
	size_t i;

	for (i = 0; i < value.len; i++)
		if (value.ptr[i] < ' ' || value.ptr[i] == 0x7f)
			return false;
	return value.ptr;
}

uint32_t tls_headers_fill(const struct tls_headers *how, const struct stream *front,
	bool is_vouched_for, struct http_header ret_extra[TLS_HEADERS])
{
	struct slice values[TLS_HEADERS] = {0};
	struct tls_stream_facts facts;
	uint32_t n = 0;
	int i;

	tls_stream_facts(front, &facts);
	if (!is_vouched_for)
		facts.peer = NULL;
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
		if (how->names[i].len && is_fit(values[i]))
			ret_extra[n++] =
				(struct http_header){.name = how->names[i], .value = values[i]};
	return n;
}

static struct slice copy_of(struct slice text)
{
	return (struct slice){mem_strndup(text.ptr, text.len), text.len};
}

void tls_headers_copy(const struct tls_headers *from, struct tls_headers *ret_to)
{
	uint32_t n;
	int i;

	*ret_to = *from;
	ret_to->removed = mem_alloc((from->n_removed + 1) * sizeof(*ret_to->removed));
	for (n = 0; n < from->n_removed; n++)
		ret_to->removed[n] = copy_of(from->removed[n]);
	for (i = 0; i < TLS_HEADERS; i++)
		if (from->names[i].len)
			ret_to->names[i] = copy_of(from->names[i]);
}

void tls_headers_fini(struct tls_headers *how)
{
	uint32_t n;
	int i;

	for (i = 0; i < TLS_HEADERS; i++)
		if (how->names[i].len)
			free((char *)how->names[i].ptr);
	for (n = 0; n < how->n_removed; n++)
		free((char *)how->removed[n].ptr);
	free(how->removed);
}
