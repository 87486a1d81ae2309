/*
 * What the daemon asks of other servers over HTTP: webhooks, OCSP responders. Runs in the control
 * thread's loop and never blocks it. Requests and answers are small and whole in memory; each is
 * bounded in time and size; redirections are followed a few times, http and https only.
 */
#ifndef SLUICE_CONTROL_HTTP_CLIENT_H
#define SLUICE_CONTROL_HTTP_CLIENT_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
	HTTP_CLIENT_ANSWER_BYTES_MAX = 64 * 1024,
	HTTP_CLIENT_TIMEOUT_MS = 15 * 1000,
};

struct http_client_call;
struct http_client;
struct loop;

struct http_client_answer {
	int status; /* 0: there was none */
	const char *error; /* why; "" if there was one */
	const uint8_t *body;
	size_t body_len;
};

struct http_client_request {
	const char *url;
	const char *content_type;
	const void *body; /* sent by POST; copied */
	size_t body_len;
	bool wants_status_only; /* a longer body is no failure: the rest is not waited for */
	const char *ca_path; /* whom an https server is believed for; NULL: as the system does */
	void (*done)(void *arg, const struct http_client_answer *answer);
	void *arg;
};

int http_client_new(struct loop *loop, struct http_client **ret_client, struct err *err) must_check;
/* Calls under way end without an answer to anybody. NULL is ignored. */
void http_client_free(struct http_client *client);

/* Whom a URL is of, for messages: a path may be as good as a password. */
void http_client_place(const char *url, char *ret_place, size_t size);
/* `done` is called later, once, from the loop. */
int http_client_start(struct http_client *client, const struct http_client_request *request,
	struct http_client_call **ret_call, struct err *err) must_check;
/* `done` is not called any more. */
void http_client_cancel(struct http_client_call *call);

#endif
