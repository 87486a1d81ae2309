/* One request to the daemon's admin API, blocking, with a time-out. */
#ifndef SLUICECTL_CLIENT_H
#define SLUICECTL_CLIENT_H

#include "core/attr.h"
#include "core/err.h"
#include <stddef.h>
#include <yyjson.h>

struct answer {
	unsigned int status;
	char *text; /* the body, as it came */
	size_t len;
	yyjson_doc *doc; /* never NULL after a success; its root is an object */
};

/* 0; a negative errno if no daemon answers (the text says what to do). `method` and `target` go
 * into the request line. */
int client_ask(const char *socket_path, const char *method, const char *target,
	unsigned int timeout_s, struct answer *ret_answer, struct err *err) must_check;
void client_answer_free(struct answer *answer);

#endif
