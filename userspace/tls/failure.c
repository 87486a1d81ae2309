/* The table of TLS failures: see failure.h. */
#include "tls/failure.h"

static const char *const failure_names[TLS_FAILURES] = {
#define TLS_FAILURE(id, help) #id,
#include "tls/tls_failures.def"
#undef TLS_FAILURE
};

static const char *const failure_helps[TLS_FAILURES] = {
#define TLS_FAILURE(id, help) help,
#include "tls/tls_failures.def"
#undef TLS_FAILURE
};

const char *tls_failure_name(enum tls_failure failure)
{
	return failure_names[failure];
}

const char *tls_failure_help(enum tls_failure failure)
{
	return failure_helps[failure];
}
