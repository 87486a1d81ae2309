/* Address prefixes as text. Any thread. */
#include "dataplane/dp_deny.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { PREFIX_TEXT_BYTES = INET6_ADDRSTRLEN + 4 };

static int prefix_bad(struct slice text, struct err *err)
{
	return err_set(err, -EINVAL,
		"'%.*s' is not an address prefix (like 192.0.2.0/24 or 2001:db8::/32)",
		(int)(text.len < 100 ? text.len : 100), text.ptr);
}

/* -1: not a number from 0 to `most` without leading zeros. */
static int prefix_length(const char *text, int most)
{
	int length = 0;

	if (!*text || strlen(text) > 3 || (text[0] == '0' && text[1]))
		return -1;
	for (; *text; text++) {
		if (*text < '0' || *text > '9')
			return -1;
		length = length * 10 + (*text - '0');
	}
	return length <= most ? length : -1;
}

/* Clears the bits beyond the length; true if there were any. */
static bool prefix_mask(struct dp_prefix *prefix)
{
	bool changed = false;

	for (unsigned int bit = prefix->length_bits; bit < (prefix->v6 ? 128u : 32u); bit++) {
		uint8_t mask = (uint8_t)(0x80u >> bit % 8);

		changed |= prefix->addr[bit / 8] & mask;
		prefix->addr[bit / 8] &= (uint8_t)~mask;
	}
	return changed;
}

static void prefix_unmap(struct dp_prefix *prefix)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (!prefix->v6 || prefix->length_bits < 96 || memcmp(prefix->addr, mapped, 12) != 0)
		return;
	memmove(prefix->addr, prefix->addr + 12, 4);
	memset(prefix->addr + 4, 0, 12);
	prefix->length_bits = (uint8_t)(prefix->length_bits - 96);
	prefix->v6 = false;
}

int dp_prefix_parse(struct slice text, struct dp_prefix *ret_prefix, struct err *err)
{
	char copy[PREFIX_TEXT_BYTES], meant[INET6_ADDRSTRLEN];
	struct dp_prefix prefix = {};
	int length = -1;
	char *slash;

	if (!text.len || text.len >= sizeof(copy) || memchr(text.ptr, '\0', text.len))
		return prefix_bad(text, err);
	memcpy(copy, text.ptr, text.len);
	copy[text.len] = '\0';
	slash = strchr(copy, '/');
	if (slash)
		*slash = '\0';
	prefix.v6 = strchr(copy, ':') != NULL;
	if (inet_pton(prefix.v6 ? AF_INET6 : AF_INET, copy, prefix.addr) != 1)
		return prefix_bad(text, err);
	length = prefix.v6 ? 128 : 32;
	if (slash)
		length = prefix_length(slash + 1, length);
	if (length < 0)
		return prefix_bad(text, err);
	prefix.length_bits = (uint8_t)length;
	if (prefix_mask(&prefix)) {
		inet_ntop(prefix.v6 ? AF_INET6 : AF_INET, prefix.addr, meant, sizeof(meant));
		return err_set(err, -EINVAL,
			"'%.*s' has bits set behind its length: %s/%d was meant?", (int)text.len,
			text.ptr, meant, length);
	}
	prefix_unmap(&prefix);
	*ret_prefix = prefix;
	return 0;
}

void dp_prefix_print(const struct dp_prefix *prefix, char ret_text[DP_PREFIX_TEXT_BYTES])
{
	char addr[INET6_ADDRSTRLEN];

	inet_ntop(prefix->v6 ? AF_INET6 : AF_INET, prefix->addr, addr, sizeof(addr));
	if (prefix->length_bits == (prefix->v6 ? 128 : 32))
		snprintf(ret_text, DP_PREFIX_TEXT_BYTES, "%s", addr);
	else
		snprintf(ret_text, DP_PREFIX_TEXT_BYTES, "%s/%d", addr, prefix->length_bits);
}

int dp_prefix_compare(const struct dp_prefix *a, const struct dp_prefix *b)
{
	int order;

	if (a->v6 != b->v6)
		return a->v6 ? 1 : -1;
	order = memcmp(a->addr, b->addr, sizeof(a->addr));
	return order ? order : (int)a->length_bits - (int)b->length_bits;
}
