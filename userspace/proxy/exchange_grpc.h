/* What of an exchange is about gRPC: calls over HTTP/2, whose outcome is a trailer and not a status. */
#ifndef SLUICE_PROXY_EXCHANGE_GRPC_H
#define SLUICE_PROXY_EXCHANGE_GRPC_H

#include "http/message.h"
#include <stdbool.h>

struct exchange;

/* Its client understands an answer only if it is one of gRPC. */
bool exchange_grpc_is_call(const struct http_request *request);
/* May the request go to its group? False: it was answered. */
bool exchange_grpc_admit(struct exchange *exchange);
/* What the answer to a call comes to, as a status of HTTP: of one that has no more than a head; of others
 * it is not known yet, and theirs. */
uint16_t exchange_grpc_status(const struct http_response *response);
/* The same if `field`, a trailer, tells it; else `otherwise`. */
uint16_t exchange_grpc_outcome(const struct http_header *field, uint16_t otherwise);
/* The grpc-status of an answer of our own ("14"), by its status. */
struct slice exchange_grpc_code(unsigned int status);

#endif
