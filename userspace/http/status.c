/* Phrases of status codes. Constant data, any thread. */
#include "http/message.h"

static const char *const phrases[600] = {
#define STATUS(code, phrase) [code] = phrase,
#include "http/http_status.def"
#undef STATUS
};

struct slice http_status_reason(unsigned int status)
{
	return status < array_len(phrases) && phrases[status] ? slice_of(phrases[status])
							      : (struct slice){"", 0};
}
