/*
 * Malformed and ambiguous requests of an exchange: judged by the listener's http.desync_mode, counted,
 * put in order where that can be done. Part of the exchange, on its thread.
 */
#ifndef SLUICE_PROXY_EXCHANGE_STRICT_H
#define SLUICE_PROXY_EXCHANGE_STRICT_H

#include "http/h1_head.h"
#include <stdbool.h>
#include <stdint.h>

struct exchange;

struct exchange_strict {
	uint64_t found; /* bits of enum desync: what was found so far */
	bool is_last; /* for the target's connection: nothing is sent behind it */
};

/* The codec has refused the head that is at the front of `in`. The length of the head that `in` now
 * has, as h1_head_request() says it; 0: the request was refused. */
int exchange_strict_mend(struct exchange *exchange, enum h1_error error) must_check;
/* The head is in `request`. False: it was refused. */
bool exchange_strict_admit(struct exchange *exchange) must_check;
/* Bits of enum desync: headers and trailers that are found so do not go on. */
uint64_t exchange_strict_unwanted(const struct exchange *exchange);
/* The body that comes is malformed: counts it. */
void exchange_strict_note(struct exchange *exchange, enum h1_error error);
/* The same of HTTP/2. */
void exchange_strict_note_h2(struct exchange *exchange);
/* The session has refused the head. */
void exchange_strict_refuse_h2(struct exchange *exchange, unsigned int status);

#endif
