/* Cookies of a request: see cookies.h. */
#include "http/cookies.h"

static struct slice trim(struct slice text)
{
	while (text.len && (*text.ptr == ' ' || *text.ptr == '\t')) {
		text.ptr++;
		text.len--;
	}
	while (text.len && (text.ptr[text.len - 1] == ' ' || text.ptr[text.len - 1] == '\t'))
		text.len--;
	return text;
}

static void enter(struct http_cookie_walk *walk, const struct http_header *header)
{
	walk->header = header;
	walk->rest = header ? header->value : (struct slice){NULL, 0};
}

void http_cookie_walk_init(struct http_cookie_walk *walk, const struct http_headers *headers)
{
	enter(walk, http_headers_find(headers, HTTP_HEADER_COOKIE));
}

/* Cuts the piece before the next ';' off. */
static struct slice next_piece(struct slice *rest)
{
	const char *end = memchr(rest->ptr, ';', rest->len);
	size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
	struct slice piece = {rest->ptr, len};

	len += end != NULL;
	rest->ptr += len;
	rest->len -= len;
	return trim(piece);
}

bool http_cookie_next(struct http_cookie_walk *walk, const struct http_headers *headers,
	struct slice *ret_name, struct slice *ret_value)
{
	struct slice piece;
	const char *equals;

	while (walk->header) {
		if (!walk->rest.len) {
			enter(walk, http_headers_next(headers, walk->header));
			continue;
		}
		piece = next_piece(&walk->rest);
		equals = piece.len ? memchr(piece.ptr, '=', piece.len) : NULL;
		if (!equals)
			continue;
		*ret_name = trim((struct slice){piece.ptr, (size_t)(equals - piece.ptr)});
		*ret_value = trim(
			(struct slice){equals + 1, piece.len - (size_t)(equals - piece.ptr) - 1});
		return true;
	}
	return false;
}

bool http_cookie_next_of(struct http_cookie_walk *walk, const struct http_headers *headers,
	struct slice name, struct slice *ret_value)
{
	struct slice found;

	while (http_cookie_next(walk, headers, &found, ret_value))
		if (slice_eq(found, name))
			return true;
	return false;
}

struct slice http_cookie_find(const struct http_headers *headers, struct slice name)
{
	struct http_cookie_walk walk;
	struct slice value;

	http_cookie_walk_init(&walk, headers);
	return http_cookie_next_of(&walk, headers, name, &value) ? value : (struct slice){NULL, 0};
}

static int digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

bool http_cookie_read_hex(struct slice value, uint8_t *ret_bytes, size_t n)
{
	size_t i;

	if (value.len != 2 * n)
		return false;
	for (i = 0; i < n; i++) {
		int high = digit(value.ptr[2 * i]), low = digit(value.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		ret_bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

void http_cookie_write_hex(const uint8_t *bytes, size_t n, char *text)
{
	static const char digits[] = "0123456789abcdef";
	size_t i;

	for (i = 0; i < n; i++) {
		*text++ = digits[bytes[i] >> 4];
		*text++ = digits[bytes[i] & 15];
	}
	*text = '\0';
}
