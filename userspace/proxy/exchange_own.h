/* Headers of ours in answers to clients. Only the files of the exchange include this. */
#ifndef SLUICE_PROXY_EXCHANGE_OWN_H
#define SLUICE_PROXY_EXCHANGE_OWN_H

#include "proxy/exchange_parts.h"

enum { EXCHANGE_OWN_HEADERS = RULES_EDITS_MAX + 2, EXCHANGE_OWN_TEXT_BYTES = 12 };

/* What answers for ourselves have beside the usual ones; `text` is memory that must live as long. How
 * many. */
uint32_t exchange_own_headers(const struct exchange *exchange,
	struct http_header ret_headers[static EXCHANGE_OWN_HEADERS],
	char text[static EXCHANGE_OWN_TEXT_BYTES]);

/* Of the answer of a target, or of a rule: fills `ret_header`, and drops what is there. How many, 0 or 1. */
uint32_t exchange_own_alt_svc(const struct exchange *exchange, struct http_headers *headers,
	struct http_header *ret_header);

/* What the listener says of Server and Date, in the answer of a target. How many headers more, 0 or 1: it
 * holds until the next call. */
uint32_t exchange_own_policy(const struct exchange *exchange, struct http_headers *headers,
	struct http_header *ret_header);

#endif
