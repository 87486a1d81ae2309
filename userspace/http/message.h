/*
 * One HTTP message, whatever version carried it. Codecs (h1_*, later HTTP/2 and HTTP/3) fill these
 * structures from bytes and write bytes from them; rules and proxying see only these. Every slice
 * is borrowed: from the buffer the codec was given (which must stay in place while the message is
 * in use), from static text, or from scratch memory of whoever edited the message. Nothing here
 * allocates, nothing is shared between threads.
 */
#ifndef SLUICE_HTTP_MESSAGE_H
#define SLUICE_HTTP_MESSAGE_H

#include "core/attr.h"
#include "core/slice.h"
#include <stdint.h>

enum http_version {
	HTTP_VERSION_1_0 = 10,
	HTTP_VERSION_1_1 = 11,
	HTTP_VERSION_2 = 20,
	HTTP_VERSION_3 = 30,
};

/* OTHER: a known word without meaning here; see method_text. */
enum http_method {
	HTTP_METHOD_OTHER,
	HTTP_METHOD_GET,
	HTTP_METHOD_HEAD,
	HTTP_METHOD_POST,
	HTTP_METHOD_PUT,
	HTTP_METHOD_DELETE,
	HTTP_METHOD_OPTIONS,
	HTTP_METHOD_PATCH,
	HTTP_METHOD_TRACE,
};

enum http_header_id {
	HTTP_HEADER_UNKNOWN,
#define HEADER(id, name, flags) HTTP_HEADER_##id,
#include "http/http_headers.def"
#undef HEADER
	HTTP_HEADER_IDS
};
_Static_assert(HTTP_HEADER_IDS <= 64, "http_headers.present is a 64-bit set");

/* Flags of a known name, see http_headers.def. */
enum {
	HTTP_NAME_HOP_BY_HOP = 1 << 0,
	HTTP_NAME_SINGLETON = 1 << 1,
	HTTP_NAME_NO_TRAILER = 1 << 2,
};

/* Flags of one header of one message. */
enum {
	HTTP_HEADER_DROPPED = 1 << 0, /* stays in the array, is found and written no more */
};

struct http_header {
	struct slice name;  /* a token, letters as received */
	struct slice value; /* no white space around it; may be empty */
	uint8_t id;         /* enum http_header_id */
	uint8_t flags;
};

/* The array is lent by whoever asks for a message to be read. */
struct http_headers {
	struct http_header *items;
	uint32_t len, max;
	uint64_t present; /* bit per id that is there at least once (dropped ones are taken out) */
};

/* How the body is delimited on the connection it arrives on. */
enum http_body {
	HTTP_BODY_NONE, /* also Content-Length: 0 */
	HTTP_BODY_LENGTH, /* content_length bytes */
	HTTP_BODY_CHUNKED, /* HTTP/1.1 chunks; frames without a length in later versions */
	HTTP_BODY_UNTIL_CLOSE, /* responses only */
};

struct http_request {
	enum http_method method;
	struct slice method_text;
	enum http_version version;
	struct slice scheme; /* "http" or "https" if the request line had it, else empty */
	struct slice authority; /* host[:port]; empty only in HTTP/1.0 */
	struct slice host; /* authority without port; IPv6 in its brackets */
	uint16_t port; /* of the authority; 0: none given */
	struct slice target; /* as it goes to the target: path and query, or "*" */
	struct slice path; /* of target, without query */
	struct slice query; /* behind the '?'; ptr NULL if there is no '?' */
	struct http_headers headers;
	enum http_body body;
	uint64_t content_length; /* HTTP_BODY_LENGTH */
	bool keep_alive; /* the client lets the connection live on after this request */
	bool expect_continue; /* it waits for "100 Continue" before the body; else Expect is dropped
			       */
	bool te_trailers; /* it wants trailers */
	struct slice upgrade; /* protocols it asks to change to; empty: none, or not in order */
	/* It came, or goes on, as the CONNECT of HTTP/2 that opens a WebSocket (RFC 8441); told as the
	 * GET with an Upgrade that it stands for. */
	bool is_connect;
};

struct http_response {
	uint16_t status;
	enum http_version version;
	struct slice reason; /* may be empty */
	struct http_headers headers;
	enum http_body body;
	uint64_t content_length; /* HTTP_BODY_LENGTH */
	bool keep_alive; /* the connection can carry another request after the body */
	struct slice upgrade; /* status 101: the protocol that was agreed; else empty */
};

/* A response that precedes the real one (100 Continue, 103 Early Hints); 101 is final. */
static inline bool http_response_is_interim(const struct http_response *response)
{
	return response->status < 200 && response->status != 101;
}

/* The standard phrase of a status, "" if there is none. */
struct slice http_status_reason(unsigned int status);

/* The id of a name in any letter case; `name` must be a token (validated by the codec). */
enum http_header_id http_header_id(struct slice name);
/* Lower-case name and HTTP_NAME_ flags of an id; UNKNOWN: empty, 0. */
struct slice http_header_name(enum http_header_id id);
unsigned int http_header_name_flags(enum http_header_id id);

/* Makes `headers` empty, over an array of `max` entries. */
void http_headers_lend(struct http_headers *headers, struct http_header *items, uint32_t max);
/* Appends; name must be a token. 0, or -ENOBUFS if the array is full. */
int http_headers_add(
	struct http_headers *headers, struct slice name, struct slice value) must_check;
/* The first header of that name which is not dropped, or NULL. */
struct http_header *http_headers_find(const struct http_headers *headers, enum http_header_id id);
/* The same for any name. */
struct http_header *http_headers_find_name(const struct http_headers *headers, struct slice name);
/* The next of the same name after `header`, or NULL. */
struct http_header *http_headers_next(
	const struct http_headers *headers, const struct http_header *header);
/* Drops all of that name. */
void http_headers_drop(struct http_headers *headers, enum http_header_id id);

#endif
