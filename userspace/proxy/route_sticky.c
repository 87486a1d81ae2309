/* Clients that stick to a target group: see route_sticky.h. */
#include "proxy/route_sticky.h"

#include "http/syntax.h"
#include "proxy/group.h"
#include "tls/tickets.h"

#include <stdio.h>
#include <string.h>

/* The end of its time in seconds, big endian, and the signature; written in hexadecimal digits. */
enum {
	TIME_BYTES = 4,
	VALUE_BYTES = TIME_BYTES + TLS_TICKET_TAG_BYTES,
	SIGNED_BYTES = 512,
	CLOCKS_APART_S = 300, /* of nodes that share their keys */
	TRIES_MAX = 4, /* of cookies of one name: each costs some signatures */
};

struct cookie {
	uint8_t until[TIME_BYTES], tag[TLS_TICKET_TAG_BYTES];
};

_Static_assert(sizeof(struct cookie) == VALUE_BYTES, "a cookie is what is written");

/* What is signed: nobody can take it to another listener, rule or group. */
static struct slice signed_text(const struct rules_rule *rule, const struct target_group *group,
	const uint8_t until[static TIME_BYTES], char text[static SIGNED_BYTES])
{
	int len = snprintf(text, SIGNED_BYTES, "%s %s %s %02x%02x%02x%02x", rule->rules->listener,
		rule->name, group->spec.name, until[0], until[1], until[2], until[3]);

	return (struct slice){text, (size_t)(len < SIGNED_BYTES ? len : SIGNED_BYTES - 1)};
}

static int digit(char byte)
{
	if (byte >= '0' && byte <= '9')
		return byte - '0';
	return byte >= 'a' && byte <= 'f' ? byte - 'a' + 10 : -1;
}

static bool read_cookie(struct slice text, struct cookie *ret_cookie)
{
	uint8_t *bytes = (uint8_t *)ret_cookie;
	size_t i;

	if (text.len != 2 * sizeof(*ret_cookie))
		return false;
	for (i = 0; i < sizeof(*ret_cookie); i++) {
		int high = digit(text.ptr[2 * i]), low = digit(text.ptr[2 * i + 1]);

		if (high < 0 || low < 0)
			return false;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return true;
}

static int64_t until_of(const struct cookie *cookie)
{
	return (int64_t)cookie->until[0] << 24 | cookie->until[1] << 16 | cookie->until[2] << 8 |
	       cookie->until[3];
}

static struct target_group *group_of(const struct rules_rule *rule, const struct cookie *cookie)
{
	char text[SIGNED_BYTES];
	uint32_t i;

	for (i = 0; i < rule->n_forward; i++) {
		struct target_group *group = rule->forward[i].group;

		if (tls_tickets_is_signed(rule->rules->tickets,
			    signed_text(rule, group, cookie->until, text), cookie->tag))
			return group;
	}
	return NULL;
}

/* The value of the next cookie of this name in what is left of a Cookie header. False: there is none. */
static bool next_value(struct slice *rest, struct slice name, struct slice *ret_value)
{
	while (rest->len) {
		const char *end = memchr(rest->ptr, ';', rest->len);
		size_t len = end ? (size_t)(end - rest->ptr) : rest->len;
		struct slice pair = syntax_trim((struct slice){rest->ptr, len});

		len += end != NULL;
		*rest = (struct slice){rest->ptr + len, rest->len - len};
		if (pair.len > name.len && pair.ptr[name.len] == '=' &&
			memcmp(pair.ptr, name.ptr, name.len) == 0) {
			*ret_value =
				(struct slice){pair.ptr + name.len + 1, pair.len - name.len - 1};
			return true;
		}
	}
	return false;
}

static struct target_group *open_cookie(
	const struct rules_rule *rule, struct slice value, int64_t now_unix_s, bool *ret_is_old)
{
	struct target_group *group;
	struct cookie cookie;
	int64_t left_s;

	if (!read_cookie(value, &cookie))
		return NULL;
	left_s = until_of(&cookie) - now_unix_s;
	if (left_s <= 0 || left_s > (int64_t)rule->sticky_s + CLOCKS_APART_S)
		return NULL;
	group = group_of(rule, &cookie);
	if (group)
		*ret_is_old = left_s < rule->sticky_s / 2;
	return group;
}

/* Others of its name, planted for a whole domain or of another path, do not hide a good one. */
struct target_group *route_sticky_find(const struct rules_rule *rule,
	const struct http_headers *headers, int64_t now_unix_s, bool *ret_is_old)
{
	const struct http_header *header = http_headers_find(headers, HTTP_HEADER_COOKIE);
	struct target_group *group = NULL;
	struct slice rest, value;
	uint32_t tries = 0;

	if (!rule->rules->tickets)
		return NULL;
	for (; header; header = http_headers_next(headers, header)) {
		rest = header->value;
		while (!group && tries < TRIES_MAX &&
			next_value(&rest, slice_of(rule->cookie), &value)) {
			group = open_cookie(rule, value, now_unix_s, ret_is_old);
			tries++;
		}
	}
	return group;
}

struct slice route_sticky_make(const struct rules_rule *rule, const struct target_group *group,
	int64_t now_unix_s, bool is_secure, char *out, size_t size)
{
	uint32_t until = (uint32_t)(now_unix_s + rule->sticky_s);
	char text[SIGNED_BYTES], value[2 * VALUE_BYTES + 1];
	struct cookie cookie = {.until = {(uint8_t)(until >> 24), (uint8_t)(until >> 16),
					(uint8_t)(until >> 8), (uint8_t)until}};
	const uint8_t *bytes = (const uint8_t *)&cookie;
	size_t i;
	int len;

	tls_tickets_sign(
		rule->rules->tickets, signed_text(rule, group, cookie.until, text), cookie.tag);
	for (i = 0; i < sizeof(cookie); i++)
		snprintf(value + 2 * i, 3, "%02x", bytes[i]);
	len = snprintf(out, size, "%s=%s; Path=/; Max-Age=%u; HttpOnly%s", rule->cookie, value,
		rule->sticky_s, is_secure ? "; Secure" : "");
	return (struct slice){out, (size_t)len < size ? (size_t)len : size - 1};
}
