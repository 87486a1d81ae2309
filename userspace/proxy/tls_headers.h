/*
 * Headers that tell targets about a client's TLS and its certificate, by the names a listener has
 * for them. What clients themselves send under these names, as headers or trailers, is removed by
 * every listener through which a request gets to the same targets: they cannot know by which one it
 * came. Pure; the values are those of the client's stream.
 */
#ifndef SLUICE_PROXY_TLS_HEADERS_H
#define SLUICE_PROXY_TLS_HEADERS_H

#include "core/attr.h"
#include "http/message.h"

struct stream;

enum tls_header {
	TLS_HEADER_SERIAL_NUMBER,
	TLS_HEADER_ISSUER,
	TLS_HEADER_SUBJECT,
	TLS_HEADER_VALIDITY,
	TLS_HEADER_LEAF,
	TLS_HEADER_CHAIN,
	TLS_HEADER_VERSION,
	TLS_HEADER_CIPHER_SUITE,
	TLS_HEADERS,
};

struct tls_headers {
	struct slice names[TLS_HEADERS]; /* empty: that one is not sent */
	bool any;
	struct slice *removed; /* what is taken out of requests; with `names` */
	uint32_t n_removed;
};

/* Must clients not send a header or trailer of this name? */
bool tls_headers_is_removed(const struct tls_headers *how, struct slice name);
void tls_headers_remove(const struct tls_headers *how, struct http_headers *headers);
/* `front` is a TLS stream; not `is_vouched_for`: of its client's certificate nothing is told. Returns
 * how many headers were filled in. */
uint32_t tls_headers_fill(const struct tls_headers *how, const struct stream *front,
	bool is_vouched_for, struct http_header ret_extra[TLS_HEADERS]);
/* Own copies of the names. */
void tls_headers_copy(const struct tls_headers *from, struct tls_headers *ret_to);
void tls_headers_fini(struct tls_headers *how);

#endif
