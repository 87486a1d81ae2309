/* gRPC: see exchange_grpc.h. Codes and what they mean in HTTP:
 * https://github.com/grpc/grpc/blob/master/doc/http-grpc-status-mapping.md */
#include "proxy/exchange_grpc.h"
#include "http/syntax.h"
#include "proxy/exchange_parts.h"

#define CONTENT_TYPE "application/grpc"
#define STATUS       "grpc-status"

/* By code; what targets mean by it. */
static const uint16_t statuses[] = {
	200, /* OK */
	499, /* CANCELLED */
	500, /* UNKNOWN */
	400, /* INVALID_ARGUMENT */
	504, /* DEADLINE_EXCEEDED */
	404, /* NOT_FOUND */
	409, /* ALREADY_EXISTS */
	403, /* PERMISSION_DENIED */
	429, /* RESOURCE_EXHAUSTED */
	400, /* FAILED_PRECONDITION */
	409, /* ABORTED */
	400, /* OUT_OF_RANGE */
	501, /* UNIMPLEMENTED */
	500, /* INTERNAL */
	503, /* UNAVAILABLE */
	500, /* DATA_LOSS */
	401, /* UNAUTHENTICATED */
};

/* "application/grpc", "application/grpc+proto"; not "application/grpc-web". */
bool exchange_grpc_is_call(const struct http_request *request)
{
	const struct http_header *type;
	size_t len = strlen(CONTENT_TYPE);

	if (request->version != HTTP_VERSION_2)
		return false;
	type = http_headers_find_name(&request->headers, SLICE("content-type"));
	if (!type || type->value.len < len ||
		!slice_eq_nocase((struct slice){type->value.ptr, len}, SLICE(CONTENT_TYPE)))
		return false;
	return type->value.len == len || strchr("+; ", type->value.ptr[len]);
}

bool exchange_grpc_admit(struct exchange *exchange)
{
	const struct http_request *request = &exchange->request;

	if (exchange->route.group->spec.version != GROUP_GRPC ||
		(request->version == HTTP_VERSION_2 && request->method == HTTP_METHOD_POST))
		return true;
	exchange_answer(exchange, 464, CLOSE_not_grpc);
	return false;
}

uint16_t exchange_grpc_outcome(const struct http_header *field, uint16_t otherwise)
{
	uint64_t number;

	if (!slice_eq_nocase(field->name, SLICE(STATUS)) ||
		syntax_number(field->value, &number) < 0)
		return otherwise;
	return number < array_len(statuses) ? statuses[number] : 500;
}

uint16_t exchange_grpc_status(const struct http_response *response)
{
	const struct http_header *code = http_headers_find_name(&response->headers, SLICE(STATUS));

	if (!code || response->status != 200)
		return response->status;
	return exchange_grpc_outcome(code, response->status);
}

struct slice exchange_grpc_code(unsigned int status)
{
	switch (status) {
	case 400:
		return SLICE("13"); /* INTERNAL */
	case 401:
		return SLICE("16"); /* UNAUTHENTICATED */
	case 403:
		return SLICE("7"); /* PERMISSION_DENIED */
	case 404:
		return SLICE("12"); /* UNIMPLEMENTED */
	case 413:
	case 431:
		return SLICE("8"); /* RESOURCE_EXHAUSTED */
	case 429:
	case 502:
	case 503:
	case 504:
		return SLICE("14"); /* UNAVAILABLE */
	default:
		return SLICE("2"); /* UNKNOWN */
	}
}
