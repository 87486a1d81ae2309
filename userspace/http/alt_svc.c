/* Values of Alt-Svc: see alt_svc.h. */
#include "http/alt_svc.h"

#include "http/syntax.h"

#include <string.h>

/* Takes so many bytes off. */
static void skip(struct slice *rest, size_t n)
{
	rest->ptr += n;
	rest->len -= n;
}

static void skip_space(struct slice *rest)
{
	while (rest->len && (*rest->ptr == ' ' || *rest->ptr == '\t'))
		skip(rest, 1);
}

static bool take_byte(struct slice *rest, char byte)
{
	if (!rest->len || *rest->ptr != byte)
		return false;
	skip(rest, 1);
	return true;
}

static bool take_token(struct slice *rest)
{
	size_t n = 0;

	while (n < rest->len && syntax_byte_is(rest->ptr[n], SYNTAX_TOKEN))
		n++;
	skip(rest, n);
	return n > 0;
}

/* Without quoted pairs: nothing that stands here needs them. */
static bool take_quoted(struct slice *rest, struct slice *ret_text)
{
	const char *end;

	if (!take_byte(rest, '"'))
		return false;
	end = memchr(rest->ptr, '"', rest->len);
	if (!end)
		return false;
	*ret_text = (struct slice){rest->ptr, (size_t)(end - rest->ptr)};
	skip(rest, ret_text->len + 1);
	return syntax_all(*ret_text, SYNTAX_VALUE) && !memchr(ret_text->ptr, '\\', ret_text->len);
}

/* [host]:port */
static bool is_authority(struct slice text)
{
	const char *colon = memrchr(text.ptr, ':', text.len);
	struct slice host = text;
	uint64_t number = 0;
	uint16_t port;

	if (!colon)
		return false;
	host.len = (size_t)(colon - text.ptr);
	if (syntax_number((struct slice){colon + 1, text.len - host.len - 1}, &number) < 0 ||
		!number || number > UINT16_MAX)
		return false;
	return !host.len || syntax_authority(text, &host, &port) == 0;
}

/* ; ma=86400 */
static bool take_parameters(struct slice *rest)
{
	struct slice text;

	for (;;) {
		skip_space(rest);
		if (!take_byte(rest, ';'))
			return true;
		skip_space(rest);
		if (!take_token(rest) || !take_byte(rest, '='))
			return false;
		if (!take_token(rest) && !take_quoted(rest, &text))
			return false;
	}
}

bool alt_svc_is_good(struct slice value)
{
	struct slice rest = value, authority;

	if (slice_eq(value, SLICE("clear")))
		return true;
	do {
		skip_space(&rest);
		if (!take_token(&rest) || !take_byte(&rest, '=') ||
			!take_quoted(&rest, &authority) || !is_authority(authority) ||
			!take_parameters(&rest))
			return false;
	} while (take_byte(&rest, ','));
	return !rest.len;
}
