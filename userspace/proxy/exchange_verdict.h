/*
 * What a target made of a request, for its counts and for passive health: part of exchange_parts.h. A
 * failure counts when it is known; an answer whose head is good counts when it is whole, or when the
 * client leaves before: what is behind its head may still spoil it.
 */
#ifndef SLUICE_PROXY_EXCHANGE_VERDICT_H
#define SLUICE_PROXY_EXCHANGE_VERDICT_H

#include "http/message.h"
#include "proxy/close_reasons.h"

struct exchange;

/* The head of an answer, not of an interim one, is in `response`. */
void exchange_verdict_head(struct exchange *exchange);
/* The outcome of a call by gRPC, if it is in this trailer. */
void exchange_verdict_trailer(struct exchange *exchange, const struct http_header *trailer);
/* The answer is malformed, or ended before it was whole, for `reason`: some are not the target's. */
void exchange_verdict_broken(struct exchange *exchange, enum close_reason reason);
/* Nobody waits for the rest of it: before the upstream is given up. */
void exchange_verdict_settle(struct exchange *exchange);

#endif
