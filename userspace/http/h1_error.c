/* The rows of h1_errors.def. Constant data, any thread. */
#include "http/h1_error.h"

static const struct h1_error_row rows[H1_ERRORS] = {
	[H1_ERROR_NONE] = {"none", "no error", 200},
#define H1_ERROR(id, name, status, help) [H1_ERROR_##id] = {name, help, status},
#include "http/h1_errors.def"
#undef H1_ERROR
};

const struct h1_error_row *h1_error_row(enum h1_error error)
{
	return &rows[error < H1_ERRORS ? error : H1_ERROR_NONE];
}
