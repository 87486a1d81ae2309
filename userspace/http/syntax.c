/* The small grammars of HTTP; see syntax.h. Pure functions, any thread. */
#include "http/syntax.h"
#include <errno.h>

#define VALUE    SYNTAX_VALUE
#define VISIBLE  (SYNTAX_VALUE | SYNTAX_TARGET)
#define TCHAR    (VISIBLE | SYNTAX_TOKEN)
#define SUBDELIM (VISIBLE | SYNTAX_HOST)
#define BOTH     (TCHAR | SYNTAX_HOST)

const uint8_t syntax_class[256] = {
	['\t'] = VALUE,
	[' '] = VALUE,
	['#'] = VALUE | SYNTAX_TOKEN,
	['"'] = VISIBLE,
	['%'] = TCHAR,
	['/'] = VISIBLE,
	[':'] = VISIBLE,
	['<'] = VISIBLE,
	['>'] = VISIBLE,
	['?'] = VISIBLE,
	['@'] = VISIBLE,
	['['] = VISIBLE,
	['\\'] = VISIBLE,
	[']'] = VISIBLE,
	['{'] = VISIBLE,
	['}'] = VISIBLE,
	['^'] = TCHAR,
	['`'] = TCHAR,
	['|'] = TCHAR,
	['!'] = BOTH,
	['$'] = BOTH,
	['&'] = BOTH,
	['\''] = BOTH,
	['*'] = BOTH,
	['+'] = BOTH,
	['-'] = BOTH | SYNTAX_NAME,
	['.'] = BOTH,
	['_'] = BOTH,
	['~'] = BOTH,
	['('] = SUBDELIM,
	[')'] = SUBDELIM,
	[','] = SUBDELIM,
	[';'] = SUBDELIM,
	['='] = SUBDELIM,
	['0' ... '9'] = BOTH | SYNTAX_DIGIT | SYNTAX_HEX | SYNTAX_NAME,
	['A' ... 'F'] = BOTH | SYNTAX_HEX | SYNTAX_UPPER | SYNTAX_NAME,
	['G' ... 'Z'] = BOTH | SYNTAX_UPPER | SYNTAX_NAME,
	['a' ... 'f'] = BOTH | SYNTAX_HEX | SYNTAX_NAME,
	['g' ... 'z'] = BOTH | SYNTAX_NAME,
	[0x80 ... 0xff] = VALUE,
};

bool syntax_all(struct slice text, unsigned int class)
{
	for (size_t i = 0; i < text.len; i++)
		if (!syntax_byte_is(text.ptr[i], class))
			return false;
	return true;
}

bool syntax_is_token(struct slice text)
{
	return text.len > 0 && syntax_all(text, SYNTAX_TOKEN);
}

static bool is_space(char byte)
{
	return byte == ' ' || byte == '\t';
}

struct slice syntax_trim(struct slice text)
{
	while (text.len > 0 && is_space(text.ptr[text.len - 1]))
		text.len--;
	while (text.len > 0 && is_space(text.ptr[0]))
		text = (struct slice){text.ptr + 1, text.len - 1};
	return text;
}

bool syntax_list_next(struct slice *list, struct slice *ret_element)
{
	while (list->len > 0) {
		const char *comma = memchr(list->ptr, ',', list->len);
		size_t len = comma ? (size_t)(comma - list->ptr) : list->len;
		size_t used = comma ? len + 1 : len;

		*ret_element = syntax_trim((struct slice){list->ptr, len});
		*list = (struct slice){list->ptr + used, list->len - used};
		if (ret_element->len > 0)
			return true;
	}
	return false;
}

bool syntax_list_has(struct slice list, struct slice word)
{
	struct slice element;

	while (syntax_list_next(&list, &element))
		if (slice_eq_nocase(element, word))
			return true;
	return false;
}

int syntax_number(struct slice text, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (text.len == 0 || text.len > 18)
		return -EINVAL;
	for (size_t i = 0; i < text.len; i++) {
		if (!syntax_byte_is(text.ptr[i], SYNTAX_DIGIT))
			return -EINVAL;
		number = number * 10 + (uint64_t)(text.ptr[i] - '0');
	}
	*ret_number = number;
	return 0;
}

/* Length of "[...]" in front of `text`, 0 if it is not closed or holds what no address has. */
static size_t ip_literal_len(struct slice text)
{
	size_t i = 1;

	while (i < text.len && (syntax_byte_is(text.ptr[i], SYNTAX_HEX) || text.ptr[i] == ':' ||
				       text.ptr[i] == '.'))
		i++;
	return i < text.len && i > 2 && text.ptr[i] == ']' ? i + 1 : 0;
}

/* Length of the name or IPv4 address in front of `text`; it ends before the first other byte. */
static size_t reg_name_len(struct slice text)
{
	size_t i = 0;

	while (i < text.len) {
		if (syntax_byte_is(text.ptr[i], SYNTAX_HOST))
			i++;
		else if (text.ptr[i] == '%' && i + 2 < text.len &&
			 syntax_byte_is(text.ptr[i + 1], SYNTAX_HEX) &&
			 syntax_byte_is(text.ptr[i + 2], SYNTAX_HEX))
			i += 3;
		else
			break;
	}
	return i;
}

/* ":" and at most five digits, or nothing. An empty port is as good as none (RFC 3986 3.2.3). */
static int port_parse(struct slice text, uint16_t *ret_port)
{
	uint64_t port = 0;

	if (text.len > 0 && (text.ptr[0] != ':' || text.len > 6))
		return -EINVAL;
	if (text.len > 1) {
		if (syntax_number((struct slice){text.ptr + 1, text.len - 1}, &port) < 0)
			return -EINVAL;
		if (port == 0 || port > UINT16_MAX)
			return -EINVAL;
	}
	*ret_port = (uint16_t)port;
	return 0;
}

int syntax_authority(struct slice text, struct slice *ret_host, uint16_t *ret_port)
{
	if (text.len == 0)
		return -EINVAL;
	size_t len = text.ptr[0] == '[' ? ip_literal_len(text) : reg_name_len(text);

	if (len == 0)
		return -EINVAL;
	int r = port_parse((struct slice){text.ptr + len, text.len - len}, ret_port);

	if (r < 0)
		return r;
	*ret_host = (struct slice){text.ptr, len};
	return 0;
}
