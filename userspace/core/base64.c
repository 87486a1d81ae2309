/* Base64: see base64.h. */
#include "core/base64.h"

#include <errno.h>
#include <stdbool.h>

static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/* -1: it is none. */
static int value_of(char c)
{
	if (c >= 'A' && c <= 'Z')
		return c - 'A';
	if (c >= 'a' && c <= 'z')
		return c - 'a' + 26;
	if (c >= '0' && c <= '9')
		return c - '0' + 52;
	return c == '+' ? 62 : c == '/' ? 63 : -1;
}

static bool is_space(char c)
{
	return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

int base64_decode(const char *text, size_t len, uint8_t *ret_bytes, size_t *ret_len)
{
	uint32_t bits = 0, n = 0, n_pads = 0;
	size_t i, out = 0;
	int value;

	for (i = 0; i < len; i++) {
		if (is_space(text[i]))
			continue;
		value = text[i] == '=' ? 0 : value_of(text[i]);
		n_pads += text[i] == '=';
		if (value < 0 || n_pads > 2 || (n_pads && text[i] != '='))
			return -EINVAL;
		bits = bits << 6 | (uint32_t)value;
		if (++n % 4)
			continue;
		ret_bytes[out++] = (uint8_t)(bits >> 16);
		ret_bytes[out++] = (uint8_t)(bits >> 8);
		ret_bytes[out++] = (uint8_t)bits;
	}
	/* What stands beside the padding must be nothing. */
	if (n % 4 || (n_pads && bits & (n_pads == 1 ? 0xff : 0xffff)))
		return -EINVAL;
	*ret_len = out - n_pads;
	return 0;
}

void base64_encode(const uint8_t *bytes, size_t len, char *ret_text)
{
	uint32_t bits;
	size_t i;

	for (i = 0; i < len; i += 3) {
		bits = (uint32_t)bytes[i] << 16;
		bits |= i + 1 < len ? (uint32_t)bytes[i + 1] << 8 : 0;
		bits |= i + 2 < len ? bytes[i + 2] : 0;
		*ret_text++ = alphabet[bits >> 18];
		*ret_text++ = alphabet[bits >> 12 & 63];
		*ret_text++ = i + 1 < len ? alphabet[bits >> 6 & 63] : '=';
		*ret_text++ = i + 2 < len ? alphabet[bits & 63] : '=';
	}
	*ret_text = '\0';
}
