/*
 * What becomes of a request, by the rules of its listener: where it goes, what is changed of it and
 * of its answer. Knows no HTTP version and no exchange. A worker's own thread; what a route points at
 * belongs to the listener of the connection, which must be held as long.
 */
#ifndef SLUICE_PROXY_ROUTE_H
#define SLUICE_PROXY_ROUTE_H

#include "http/message.h"
#include "proxy/conn.h"
#include "proxy/rules.h"

/* Of one request. */
struct route {
	const struct rules_rule *rule; /* NULL: its listener has no rules */
	struct target_group *group; /* NULL: it is answered here */
	bool is_undecided; /* by its rules: it goes nowhere */
	uint32_t retry_after_s; /* over the rate of its rule: it goes nowhere; 0: it is not */
	bool sets_cookie; /* by which the client comes back to the group */
};

enum {
	ROUTE_TEXT_BYTES = 32 * 1024, /* of all that is made for one request */
	ROUTE_COOKIE_BYTES = 160,
	ROUTE_ANSWER_HEADERS = RULES_EDITS_MAX + 5, /* one is the exchange's */
};

/* Finds the rule and chooses the group. */
void route_find(const struct conn *conn, const struct http_request *request,
	struct rules_match *ret_match, struct route *ret_route);

/* Changes the request as the rule says. New texts are in the worker's route_text until the next call;
 * `ret_extra` are headers to be written behind its own. Their number, -ENOBUFS, or -EINVAL: what came
 * of it is no request. */
int route_rewrite(const struct route *route, const struct rules_match *match,
	const struct conn *conn, struct http_request *request,
	struct http_header ret_extra[RULES_EDITS_MAX]) must_check;

/* Does the rule set or remove this header of requests? */
bool route_decides(const struct rules_rule *rule, enum http_header_id id);

/* Is a trailer of the request left out, because the rule sets or removes headers of its name? */
bool route_drops_trailer(const struct rules_rule *rule, const struct http_header *trailer);

/* Does the rule set, add or remove this header of answers? */
bool route_edits_answer(const struct rules_rule *rule, enum http_header_id id);

/* Changes the target's answer; `cookie` is scratch memory that must live as long. The number of
 * headers in `ret_extra`. */
uint32_t route_change_answer(const struct route *route, const struct conn *conn,
	struct http_headers *headers, char cookie[static ROUTE_COOKIE_BYTES],
	struct http_header ret_extra[RULES_EDITS_MAX + 1]);

/* What the listener sets or adds in all answers, for those of our own to errors: not what these have
 * themselves. The number of headers. */
uint32_t route_own_answer(
	const struct listener_spec *spec, struct http_header ret_extra[RULES_EDITS_MAX]);

/* The answer of a rule that forwards nothing: status, headers (into `items`, ROUTE_ANSWER_HEADERS of
 * them), body. 0, -ENOBUFS: the redirect is too long, or -EINVAL: it has no good host. */
int route_answer(const struct route *route, const struct rules_match *match,
	const struct conn *conn, const struct http_request *request, struct http_header *items,
	struct http_response *ret_response, struct slice *ret_body) must_check;

/* What would come of a request, for people: where a redirect leads, or what a target would get. Texts
 * are in `text`, ROUTE_TEXT_BYTES of it. 0, or an error as above. */
struct route_preview {
	struct slice location; /* of a redirect; else: */
	struct slice host, target;
};

int route_preview(const struct rules_match *match, const struct http_request *request, bool is_tls,
	char *text, struct route_preview *ret_preview) must_check;

#endif
