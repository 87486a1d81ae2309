/*
 * The fields of a ClientHello, extensions one by one: see clienthello_body.h. A field is judged as soon as
 * its bytes are here, so the first fault from the left is the one that is reported, however the
 * bytes arrived.
 */
#include "tls/clienthello_body.h"
#include "tls/clienthello_ext.h"

#include <errno.h>
#include <string.h>

enum {
	VERSION_SSL3 = 0x0300,
	SESSION_ID_BYTES_MAX = 32,
	RANDOM_BYTES = 32,
	SEEN_FEW = 16,
};

/* Extension types met so far. Clients send a handful above 63; the map of all of them is only
 * cleared for those who send more, so that neither case takes quadratic time. */
struct seen {
	uint64_t below_64;
	uint32_t n_few; /* SEEN_FEW + 1: `all` is in use */
	uint16_t few[SEEN_FEW];
	uint64_t all[(UINT16_MAX + 1) / 64];
};

struct body {
	const uint8_t *at, *end; /* what is here */
	size_t left;             /* from `at` to the end of the message; at least end - at */
	struct clienthello *hello;
	struct slice compression;
	struct seen seen;
	enum clienthello_fault fault;
};

static uint16_t load_be16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static int refuse(struct body *body, enum clienthello_fault fault)
{
	body->fault = fault;
	return -EPROTO;
}

/* The next `n` bytes; `fault` if the message ends before. */
static int take(
	struct body *body, size_t n, enum clienthello_fault fault, const uint8_t **ret_bytes)
{
	if (unlikely(n > body->left))
		return refuse(body, fault);
	if (unlikely(n > (size_t)(body->end - body->at)))
		return -EAGAIN;
	*ret_bytes = body->at;
	body->at += n;
	body->left -= n;
	return 0;
}

static int take_slice(
	struct body *body, size_t n, enum clienthello_fault fault, struct slice *ret_slice)
{
	const uint8_t *bytes;
	int r = take(body, n, fault, &bytes);

	if (r == 0)
		*ret_slice = (struct slice){(const char *)bytes, n};
	return r;
}

static bool was_seen(struct seen *seen, uint16_t type)
{
	uint64_t bit = 1ull << (type % 64), *word = type < 64 ? &seen->below_64 : NULL;
	bool was;
	uint32_t i;

	if (!word && seen->n_few < SEEN_FEW) {
		for (i = 0; i < seen->n_few; i++)
			if (seen->few[i] == type)
				return true;
		seen->few[seen->n_few++] = type;
		return false;
	}
	if (!word && seen->n_few == SEEN_FEW) {
		memset(seen->all, 0, sizeof(seen->all));
		for (i = 0; i < SEEN_FEW; i++)
			seen->all[seen->few[i] / 64] |= 1ull << (seen->few[i] % 64);
		seen->n_few++;
	}
	if (!word)
		word = &seen->all[type / 64];
	was = (*word & bit) != 0;
	*word |= bit;
	return was;
}

static int take_extension(struct body *body)
{
	enum clienthello_fault fault;
	const uint8_t *header;
	struct slice ext;
	uint16_t type;
	int r;

	if (body->hello->has_psk)
		return refuse(body, CLIENTHELLO_psk_not_last);
	r = take(body, 4, CLIENTHELLO_extensions_length, &header);
	if (r < 0)
		return r;
	type = load_be16(header);
	if (was_seen(&body->seen, type))
		return refuse(body, CLIENTHELLO_duplicate_extension);
	r = take_slice(body, load_be16(header + 2), CLIENTHELLO_extensions_length, &ext);
	if (r < 0)
		return r;
	body->hello->n_extensions++;
	fault = clienthello_ext_read(body->hello, type, ext);
	return likely(fault == CLIENTHELLO_OK) ? 0 : refuse(body, fault);
}

/* RFC 5246 7.4.1.4: a hello may end without the block. */
static int take_extensions(struct body *body)
{
	const uint8_t *bytes;
	int r;

	if (!body->left)
		return 0;
	r = take(body, 2, CLIENTHELLO_extensions_length, &bytes);
	if (r < 0)
		return r;
	if (load_be16(bytes) != body->left)
		return refuse(body, CLIENTHELLO_extensions_length);
	body->hello->extensions = (struct slice){(const char *)body->at, body->left};
	while (body->left) {
		r = take_extension(body);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Version, random, session id: 2, 32, 1 + n bytes. */
static int take_opening(struct body *body)
{
	const uint8_t *bytes;
	int r;

	r = take(body, 2, CLIENTHELLO_hello_length, &bytes);
	if (r < 0)
		return r;
	if (bytes[0] != VERSION_SSL3 >> 8)
		return refuse(body, CLIENTHELLO_legacy_version);
	body->hello->legacy_version = load_be16(bytes);
	r = take_slice(body, RANDOM_BYTES, CLIENTHELLO_hello_length, &body->hello->random);
	if (r < 0)
		return r;
	r = take(body, 1, CLIENTHELLO_session_id, &bytes);
	if (r < 0)
		return r;
	if (bytes[0] > SESSION_ID_BYTES_MAX)
		return refuse(body, CLIENTHELLO_session_id);
	return take_slice(body, bytes[0], CLIENTHELLO_session_id, &body->hello->session_id);
}

static int take_ciphers(struct body *body)
{
	const uint8_t *bytes;
	size_t n;
	int r;

	r = take(body, 2, CLIENTHELLO_ciphers, &bytes);
	if (r < 0)
		return r;
	n = load_be16(bytes);
	if (!n || n % 2)
		return refuse(body, CLIENTHELLO_ciphers);
	return take_slice(body, n, CLIENTHELLO_ciphers, &body->hello->ciphers);
}

static int take_compression(struct body *body)
{
	const uint8_t *bytes;
	int r;

	r = take(body, 1, CLIENTHELLO_compression, &bytes);
	if (r < 0)
		return r;
	r = take_slice(body, bytes[0], CLIENTHELLO_compression, &body->compression);
	if (r < 0)
		return r;
	if (!memchr(body->compression.ptr, 0, body->compression.len))
		return refuse(body, CLIENTHELLO_compression);
	return 0;
}

static uint16_t highest_version(const struct clienthello *hello)
{
	uint16_t version;

	for (version = TLS_VERSION_1_3; version >= VERSION_SSL3; version--)
		if (clienthello_offers_version(hello, version))
			return version;
	return 0;
}

int clienthello_body_parse(const uint8_t *bytes, size_t have, size_t len,
	struct clienthello *ret_hello, enum clienthello_fault *ret_fault)
{
	struct body body;
	int r;

	memset(&body, 0, offsetof(struct body, seen.few));
	*ret_hello = (struct clienthello){};
	body.at = bytes;
	body.end = bytes + have;
	body.left = len;
	body.hello = ret_hello;
	r = take_opening(&body);
	if (r == 0)
		r = take_ciphers(&body);
	if (r == 0)
		r = take_compression(&body);
	if (r == 0)
		r = take_extensions(&body);
	if (r == 0)
		ret_hello->version_max = highest_version(ret_hello);
	/* RFC 8446 4.1.2 */
	if (r == 0 && ret_hello->version_max == TLS_VERSION_1_3 && body.compression.len != 1)
		r = refuse(&body, CLIENTHELLO_compression);
	if (r == -EPROTO)
		*ret_fault = body.fault;
	return r;
}
