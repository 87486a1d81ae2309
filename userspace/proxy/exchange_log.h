/* What the access log is told of an exchange, if its listener has one. Only the files of the exchange
 * include this; see accesslog.h. */
#ifndef SLUICE_PROXY_EXCHANGE_LOG_H
#define SLUICE_PROXY_EXCHANGE_LOG_H

#include "proxy/exchange_parts.h"

/* As new: its first bytes have come. */
void exchange_log_begin(struct exchange *exchange);
/* `request` is set, and nothing of it was changed. */
void exchange_log_request(struct exchange *exchange);
/* Its head cannot be used: nothing of it is told. HTTP/1 need not say so. */
void exchange_log_refused(struct exchange *exchange);
/* What its rule makes of it, or `r`: why nothing can be made of it. */
void exchange_log_rewritten(struct exchange *exchange, const struct http_request *rewritten, int r);
/* Headers that targets are told beside those of the request: ids among them. */
void exchange_log_told(struct exchange *exchange, const struct http_header *told, uint32_t n_told);
/* `upstream` is where it is to go, unless it is tried again. */
void exchange_log_target(struct exchange *exchange);
/* It begins to go there. */
void exchange_log_sent(struct exchange *exchange);
/* `response` is the target's, and about to be handed on. */
void exchange_log_answered(struct exchange *exchange, uint16_t target_status);
/* `response` is a rule's. */
void exchange_log_response(struct exchange *exchange, const struct http_response *response);
/* Its line. */
void exchange_log_end(struct exchange *exchange);
/* It becomes a tunnel, which has the line; NULL: there is none. */
struct accesslog_note *exchange_log_take(struct exchange *exchange);

#endif
