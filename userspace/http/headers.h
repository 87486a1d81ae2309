/*
 * Edits a proxy makes on the way through, on the version-neutral message: headers that end at this
 * hop are dropped, X-Forwarded-* are set. Pure; text that is made goes into the caller's scratch
 * memory, which must live until the message has been written.
 */
#ifndef SLUICE_HTTP_HEADERS_H
#define SLUICE_HTTP_HEADERS_H

#include "http/message.h"

/*
 * Drops Connection and what it lists, Keep-Alive, Proxy-Connection, TE (h1 codec: te_trailers keeps
 * the wish), Transfer-Encoding, Upgrade. The codec writes the next hop's own Connection, Upgrade
 * and Transfer-Encoding from the message's fields. Names that framing and routing depend on (Host,
 * Content-Length, Content-Type, X-Forwarded-*, Cookie, Authorization...) cannot be listed away by
 * a sender.
 */
void http_headers_drop_hop_by_hop(struct http_headers *headers);

enum http_forwarded_mode {
	HTTP_FORWARDED_APPEND, /* X-Forwarded-For gets the client's address */
	HTTP_FORWARDED_PRESERVE, /* what came stays; what is missing is set */
	HTTP_FORWARDED_REMOVE, /* what came is dropped, nothing is set */
};

/* X-Forwarded-Proto and -Port. */
enum http_forwarded_proto {
	HTTP_FORWARDED_PROTO_SET, /* whatever came */
	HTTP_FORWARDED_PROTO_PRESERVE,
	HTTP_FORWARDED_PROTO_REMOVE,
};

/* Servers hand headers on in variables: there X-Name, X_Name and X.Name are one. */
bool http_name_is_alike(struct slice a, struct slice b);
/* The id of the known name that it is alike. */
enum http_header_id http_name_id_alike(struct slice name);
/* Unknown headers with names alike, which would be taken for the one of this name. */
void http_headers_drop_alike(struct http_headers *headers, struct slice name);

struct http_forwarded {
	enum http_forwarded_mode mode;
	enum http_forwarded_proto proto_mode;
	struct slice client; /* address in text, as it shall be seen (with a port if wanted) */
	struct slice scheme; /* "http" or "https": of the client's connection */
	struct slice port; /* of the listener, in digits */
};

enum { HTTP_FORWARDED_EXTRA = 3 };

/*
 * Applies it: edits `headers` and fills `ret_extra` with the headers to write behind them. Returns
 * their number, or -ENOBUFS if X-Forwarded-For grew over `size` bytes of `scratch`. The values of
 * `how` must live as long as the message.
 */
int http_forwarded_apply(struct http_headers *headers, const struct http_forwarded *how,
	char *scratch, size_t size, struct http_header ret_extra[HTTP_FORWARDED_EXTRA]) must_check;

#endif
