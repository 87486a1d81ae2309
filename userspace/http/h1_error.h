/* Why the HTTP/1 codec refuses a message: the rows of h1_errors.def. Constant data, any thread. */
#ifndef SLUICE_HTTP_H1_ERROR_H
#define SLUICE_HTTP_H1_ERROR_H

#include <stdint.h>

enum h1_error {
	H1_ERROR_NONE,
#define H1_ERROR(id, name, status, help) H1_ERROR_##id,
#include "http/h1_errors.def"
#undef H1_ERROR
	H1_ERRORS
};

struct h1_error_row {
	const char *name; /* short, for counters and logs */
	const char *help; /* one line for people */
	uint16_t status;  /* to answer a bad request with; a bad response is always 502 */
};

const struct h1_error_row *h1_error_row(enum h1_error error);

#endif
