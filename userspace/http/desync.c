/* Requests that others may read in another way: see desync.h. */
#include "http/desync.h"
#include "http/syntax.h"

const struct desync_row desync_rows[DESYNCS] = {
#define DESYNC(id, class, monitor, defensive, strictest, help)                                     \
	[DESYNC_##id] = {#id, help, DESYNC_##class,                                                \
		{DESYNC_##monitor, DESYNC_##defensive, DESYNC_##strictest}},
#include "http/desync.def"
#undef DESYNC
};

const char *const desync_class_names[DESYNC_CLASSES] = {"acceptable", "ambiguous", "severe"};
const char *const desync_mode_names[DESYNC_MODES] = {"monitor", "defensive", "strictest"};

/* One more than the row; what is not here is no matter of framing. */
static const uint8_t row_after_error[H1_ERRORS] = {
	[H1_ERROR_SYNTAX] = DESYNC_bad_request_line + 1,
	[H1_ERROR_START_LINE] = DESYNC_bad_request_line + 1,
	[H1_ERROR_EMPTY_LINES] = DESYNC_bad_request_line + 1,
	[H1_ERROR_BARE_LF] = DESYNC_bare_lf + 1,
	[H1_ERROR_METHOD] = DESYNC_bad_method + 1,
	[H1_ERROR_TARGET] = DESYNC_bad_uri + 1,
	[H1_ERROR_VERSION] = DESYNC_bad_version + 1,
	[H1_ERROR_HEADER_NAME] = DESYNC_bad_header_name + 1,
	[H1_ERROR_HEADER_VALUE] = DESYNC_control_in_header + 1,
	[H1_ERROR_FOLDED] = DESYNC_folded_header + 1,
	[H1_ERROR_HOST_MISSING] = DESYNC_bad_host + 1,
	[H1_ERROR_HOST_REPEATED] = DESYNC_bad_host + 1,
	[H1_ERROR_HOST] = DESYNC_bad_host + 1,
	[H1_ERROR_HOST_DIFFERS] = DESYNC_host_differs + 1,
	[H1_ERROR_LENGTH] = DESYNC_bad_content_length + 1,
	[H1_ERROR_LENGTH_REPEATED] = DESYNC_bad_content_length + 1,
	[H1_ERROR_LENGTH_AND_CODING] = DESYNC_length_and_coding + 1,
	[H1_ERROR_CODING] = DESYNC_bad_transfer_encoding + 1,
	[H1_ERROR_CODING_UNKNOWN] = DESYNC_bad_transfer_encoding + 1,
	[H1_ERROR_CODING_IN_1_0] = DESYNC_coding_in_1_0 + 1,
	[H1_ERROR_CONNECTION] = DESYNC_bad_connection + 1,
	[H1_ERROR_REPEATED] = DESYNC_header_repeated + 1,
	[H1_ERROR_CHUNK_SIZE] = DESYNC_bad_chunk + 1,
	[H1_ERROR_CHUNK_EXTENSION] = DESYNC_bad_chunk + 1,
	[H1_ERROR_CHUNK_END] = DESYNC_bad_chunk + 1,
	[H1_ERROR_TRAILER] = DESYNC_bad_trailer + 1,
};

enum desync desync_of_error(enum h1_error error)
{
	uint8_t row = error < H1_ERRORS ? row_after_error[error] : 0;

	return row ? row - 1 : DESYNCS;
}

/* --- headers */

/* The letters and digits of `name` are those of `word`: "Content_Length", "Transfer.Encoding",
 * "ContentLength". */
static bool is_like(struct slice name, struct slice word)
{
	size_t at = 0, i;

	for (i = 0; i < name.len; i++) {
		char byte = name.ptr[i] | 0x20;
		bool counts =
			(byte >= 'a' && byte <= 'z') || syntax_byte_is(name.ptr[i], SYNTAX_DIGIT);

		if (!counts)
			continue;
		if (at == word.len || byte != word.ptr[at])
			return false;
		at++;
	}
	return at == word.len;
}

static bool is_suspicious(const struct http_header *header)
{
	if (header->id != HTTP_HEADER_UNKNOWN || header->name.len < sizeof("contentlength") - 1)
		return false;
	return is_like(header->name, SLICE("contentlength")) ||
	       is_like(header->name, SLICE("transferencoding"));
}

/* What CGI and its like make the same of: "_" and "-". The names that are known are in order. */
static bool is_odd(const struct http_header *header)
{
	return header->id == HTTP_HEADER_UNKNOWN && !syntax_all(header->name, SYNTAX_NAME);
}

static bool is_ascii(struct slice text)
{
	const uint64_t high = 0x8080808080808080u;
	uint64_t word, seen = 0;
	size_t at = 0;

	for (; at + sizeof(word) <= text.len; at += sizeof(word)) {
		memcpy(&word, text.ptr + at, sizeof(word));
		seen |= word;
	}
	for (; at < text.len; at++)
		seen |= (uint8_t)text.ptr[at];
	return !(seen & high);
}

static uint64_t scan_headers(const struct http_headers *headers)
{
	uint64_t found = 0;
	uint32_t i;

	for (i = 0; i < headers->len; i++) {
		const struct http_header *header = &headers->items[i];

		if (header->flags & HTTP_HEADER_DROPPED)
			continue;
		if (!is_ascii(header->value))
			found |= DESYNC_BIT(header_not_ascii);
		if (is_suspicious(header))
			found |= DESYNC_BIT(suspicious_header);
		if (is_odd(header))
			found |= DESYNC_BIT(header_name_odd);
	}
	return found;
}

bool desync_is_found(const struct http_header *header, uint64_t what)
{
	return (what & DESYNC_BIT(suspicious_header) && is_suspicious(header)) ||
	       (what & DESYNC_BIT(header_name_odd) && is_odd(header));
}

void desync_drop(struct http_headers *headers, uint64_t what)
{
	uint32_t i;

	for (i = 0; i < headers->len; i++)
		if (desync_is_found(&headers->items[i], what))
			headers->items[i].flags |= HTTP_HEADER_DROPPED;
}

/* --- what is asked for */

/* Nothing but what RFC 3986 has in paths and queries. Brackets are let by: they have a meaning in
 * other parts of URIs, and queries are full of them. */
static bool is_encoded(struct slice target)
{
	size_t i;

	for (i = 0; i < target.len; i++) {
		switch (target.ptr[i]) {
		case '"':
		case '<':
		case '>':
		case '\\':
		case '^':
		case '`':
		case '{':
		case '|':
		case '}':
			return false;
		case '%':
			if (target.len - i < 3 || !syntax_byte_is(target.ptr[i + 1], SYNTAX_HEX) ||
				!syntax_byte_is(target.ptr[i + 2], SYNTAX_HEX))
				return false;
			break;
		default:
			break;
		}
	}
	return true;
}

static uint64_t scan_body(const struct http_request *request)
{
	if (request->method != HTTP_METHOD_GET && request->method != HTTP_METHOD_HEAD)
		return 0;
	switch (request->body) {
	case HTTP_BODY_LENGTH:
		return DESYNC_BIT(get_with_length);
	case HTTP_BODY_CHUNKED:
	case HTTP_BODY_UNTIL_CLOSE:
		return DESYNC_BIT(get_with_coding);
	case HTTP_BODY_NONE:
		break;
	}
	return http_headers_find(&request->headers, HTTP_HEADER_CONTENT_LENGTH)
		       ? DESYNC_BIT(get_zero_length)
		       : 0;
}

uint64_t desync_scan(const struct http_request *request)
{
	uint64_t found = scan_headers(&request->headers) | scan_body(request);

	if (!is_encoded(request->target))
		found |= DESYNC_BIT(uri_not_encoded);
	return found;
}

enum desync_verdict desync_judge(uint64_t found, enum desync_mode mode)
{
	enum desync_verdict worst = DESYNC_FORWARD, verdict;

	for (; found; found &= found - 1) {
		verdict = desync_rows[__builtin_ctzll(found)].verdicts[mode];
		if (verdict > worst)
			worst = verdict;
	}
	return worst;
}
