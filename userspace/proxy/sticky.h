/*
 * Sessions that stay with one target of a group, by a cookie: sealed (tls/tickets.h), so that clients
 * neither read nor choose a target, and nodes that share their ticket keys agree. Of type app it is
 * the companion of the application's own cookie, and counts beside that only. A worker's own thread.
 */
#ifndef SLUICE_PROXY_STICKY_H
#define SLUICE_PROXY_STICKY_H

#include "http/message.h"

struct target;
struct target_group;
struct tls_tickets;

/* The order of the words in settings.def. */
enum sticky_type { STICKY_OFF, STICKY_LB, STICKY_APP };

struct sticky_spec {
	enum sticky_type type;
	uint32_t duration_s;
	const char *cookie; /* ours */
	const char *app_cookie; /* APP: the application's */
	struct tls_tickets *tickets; /* the group takes its own count */
};

/* Of one request. */
struct sticky {
	struct target *target; /* that it came back for; NULL: none. A member of the group */
	bool is_fresh; /* the cookie need not be given again yet */
	bool has_app_cookie;
};

enum { STICKY_TEXT_BYTES = 320 };

void sticky_find(const struct target_group *group, const struct http_headers *headers,
	int64_t now_unix_s, struct sticky *ret_sticky);
/* The target's answer: false: no cookie is needed; else a header to be written, whose value is in
 * `text`. */
bool sticky_answer(const struct target_group *group, const struct target *target,
	const struct sticky *sticky, const struct http_headers *answer, bool is_secure,
	int64_t now_unix_s, char text[static STICKY_TEXT_BYTES], struct http_header *ret_header);

#endif
