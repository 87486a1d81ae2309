/* Clients that stick to a target group: see route_sticky.h. */
#include "proxy/route_sticky.h"

#include "http/cookies.h"
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

static struct target_group *open_cookie(
	const struct rules_rule *rule, struct slice value, int64_t now_unix_s, bool *ret_is_old)
{
	struct target_group *group;
	struct cookie cookie;
	int64_t left_s;

	if (!http_cookie_read_hex(value, (uint8_t *)&cookie, sizeof(cookie)))
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
	struct slice name = slice_of(rule->cookie), value;
	struct target_group *group = NULL;
	struct http_cookie_walk walk;
	uint32_t tries;

	if (!rule->rules->tickets)
		return NULL;
	http_cookie_walk_init(&walk, headers);
	for (tries = 0; !group && tries < TRIES_MAX; tries++) {
		if (!http_cookie_next_of(&walk, headers, name, &value))
			return NULL;
		group = open_cookie(rule, value, now_unix_s, ret_is_old);
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
	int len;

	tls_tickets_sign(
		rule->rules->tickets, signed_text(rule, group, cookie.until, text), cookie.tag);
	http_cookie_write_hex((const uint8_t *)&cookie, sizeof(cookie), value);
	len = snprintf(out, size, "%s=%s; Path=/; Max-Age=%u; HttpOnly%s", rule->cookie, value,
		rule->sticky_s, is_secure ? "; Secure" : "");
	return (struct slice){out, (size_t)len < size ? (size_t)len : size - 1};
}
