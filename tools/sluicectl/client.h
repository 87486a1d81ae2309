/* One request to the daemon's admin API, blocking, with a time-out. */
#ifndef SLUICECTL_CLIENT_H
#define SLUICECTL_CLIENT_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <yyjson.h>

/* Where the daemon is to be reached. */
struct client_where {
	const char *socket_path; /* of its unix socket, unless there is ... */
	bool is_own; /* only a daemon of this PID namespace: another one may have taken the socket over */
	const char *address; /* ... HOST:PORT, with TLS; NULL: none. Of that the rest: */
	const char *ca_file; /* NULL: the system's */
	const char *cert_file, *key_file; /* NULL: none is shown */
	const char *token_file; /* NULL: none is sent */
};

struct client_request {
	const struct client_where *where;
	const char *method, *target; /* for the request line */
	const char *body; /* of a POST; may be NULL */
	size_t body_len;
	unsigned int timeout_s; /* without a byte from the daemon */
	bool is_endless; /* once the answer has begun it may pause as long as it likes */
	void (*begin)(void); /* before the first byte of a good answer; may be NULL */
};

struct answer {
	unsigned int status;
	char *text; /* the body, as it came */
	size_t len;
	yyjson_doc *doc; /* never NULL after a success; its root is an object */
};

/* 0; a negative errno if no daemon answers (the text says what to do). */
int client_ask(const struct client_request *request, struct answer *ret_answer,
	struct err *err) must_check;
void client_answer_free(struct answer *answer);

/* As above for an answer of any kind: `take` gets it piece by piece as it comes; one that begins
 * with an error is in `ret_answer` instead (status, and the document). */
int client_stream(const struct client_request *request,
	void (*take)(void *arg, const char *bytes, size_t len), void *arg,
	struct answer *ret_answer, struct err *err) must_check;

#endif
