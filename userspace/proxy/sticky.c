/* Sessions that stay with one target: see sticky.h. */
#include "proxy/sticky.h"
#include "http/cookies.h"
#include "proxy/group.h"
#include "tls/tickets.h"

#include <stdio.h>

enum {
	CLOCKS_APART_S = 300, /* of nodes that share their keys */
	TRIES_MAX = 4, /* of cookies of one name: each costs some decryptions */
};

/* What is sealed: until when (seconds), and which target. */
struct content {
	uint64_t until_unix_s, target_hash;
};

_Static_assert(sizeof(struct content) == TLS_SEALED_TEXT_BYTES, "a content is what is sealed");

static bool open_cookie(
	const struct target_group *group, struct slice value, struct content *ret_content)
{
	uint8_t sealed[TLS_SEALED_BYTES];

	return http_cookie_read_hex(value, sealed, sizeof(sealed)) &&
	       tls_tickets_open(group->spec.sticky.tickets, slice_of(group->spec.name), sealed,
		       (uint8_t *)ret_content);
}

/* One that was planted beside ours (for another path, or domain) does not hide it. */
static bool find_cookie(const struct target_group *group, const struct http_headers *headers,
	struct content *ret_content)
{
	struct slice name = slice_of(group->spec.sticky.cookie), value;
	struct http_cookie_walk walk;
	uint32_t tries;

	http_cookie_walk_init(&walk, headers);
	for (tries = 0; tries < TRIES_MAX; tries++) {
		if (!http_cookie_next_of(&walk, headers, name, &value))
			return false;
		if (open_cookie(group, value, ret_content))
			return true;
	}
	return false;
}

static struct target *member_of(const struct target_group *group, uint64_t hash)
{
	uint32_t i;

	for (i = 0; i < group->spec.n_members; i++)
		if (group->spec.members[i].target->hash == hash)
			return group->spec.members[i].target;
	return NULL;
}

void sticky_find(const struct target_group *group, const struct http_headers *headers,
	int64_t now_unix_s, struct sticky *ret_sticky)
{
	const struct sticky_spec *spec = &group->spec.sticky;
	struct content content;
	uint64_t now = (uint64_t)now_unix_s, left_s;

	*ret_sticky = (struct sticky){.target = NULL};
	if (spec->type == STICKY_APP) {
		ret_sticky->has_app_cookie =
			http_cookie_find(headers, slice_of(spec->app_cookie)).ptr != NULL;
		if (!ret_sticky->has_app_cookie)
			return;
	}
	if (!find_cookie(group, headers, &content) || content.until_unix_s <= now)
		return;
	left_s = content.until_unix_s - now;
	if (left_s > (uint64_t)spec->duration_s + CLOCKS_APART_S)
		return; /* of a time when they were longer */
	ret_sticky->target = member_of(group, content.target_hash);
	ret_sticky->is_fresh = left_s > spec->duration_s / 2;
}

/* The application begins a session, or changes it. */
static bool sets_cookie(const struct http_headers *answer, struct slice name)
{
	const struct http_header *header = http_headers_find(answer, HTTP_HEADER_SET_COOKIE);

	for (; header; header = http_headers_next(answer, header))
		if (header->value.len > name.len && header->value.ptr[name.len] == '=' &&
			memcmp(header->value.ptr, name.ptr, name.len) == 0)
			return true;
	return false;
}

bool sticky_answer(const struct target_group *group, const struct target *target,
	const struct sticky *sticky, const struct http_headers *answer, bool is_secure,
	int64_t now_unix_s, char text[static STICKY_TEXT_BYTES], struct http_header *ret_header)
{
	const struct sticky_spec *spec = &group->spec.sticky;
	struct content content = {
		.until_unix_s = (uint64_t)now_unix_s + spec->duration_s,
		.target_hash = target->hash,
	};
	char digits[2 * TLS_SEALED_BYTES + 1];
	uint8_t sealed[TLS_SEALED_BYTES];
	int len;

	if (sticky->target == target && sticky->is_fresh)
		return false;
	if (spec->type == STICKY_APP && !sticky->has_app_cookie &&
		!sets_cookie(answer, slice_of(spec->app_cookie)))
		return false;
	tls_tickets_seal(
		spec->tickets, slice_of(group->spec.name), (const uint8_t *)&content, sealed);
	http_cookie_write_hex(sealed, sizeof(sealed), digits);
	len = snprintf(text, STICKY_TEXT_BYTES, "%s=%s; Path=/; Max-Age=%u; HttpOnly%s",
		spec->cookie, digits, spec->duration_s, is_secure ? "; Secure" : "");
	if (len >= STICKY_TEXT_BYTES)
		return false; /* the configuration's names are shorter */
	*ret_header = (struct http_header){
		.name = SLICE("Set-Cookie"),
		.id = HTTP_HEADER_SET_COOKIE,
		.value = {text, (size_t)len},
	};
	return true;
}
