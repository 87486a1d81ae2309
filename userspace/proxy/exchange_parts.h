/* What the files of the exchange share; nobody else includes it. See exchange.h. */
#ifndef SLUICE_PROXY_EXCHANGE_PARTS_H
#define SLUICE_PROXY_EXCHANGE_PARTS_H

#include "http/h1_head.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include "http/message.h"
#include "proxy/exchange.h"
#include "proxy/pump.h"
#include "proxy/route.h"
#include "proxy/upstream.h"

enum exchange_state {
	EXCHANGE_HEAD,     /* reading the request's head */
	EXCHANGE_TARGET,   /* waiting for a connection to a target */
	EXCHANGE_RESPONSE, /* request on its way; the answer's head is not whole yet */
	EXCHANGE_BODY,     /* the target's answer is on its way to the client */
	EXCHANGE_ANSWER,   /* an answer of our own is */
};

struct exchange {
	struct conn *conn;
	enum exchange_state state;
	struct buf in;   /* from the client */
	struct buf from; /* from the target */
	struct h1_head request_head, response_head;
	struct pump up, down;
	struct upstream *upstream; /* NULL: none now */
	struct task resume_task;
	uint8_t tries, stale; /* stale: of these, with a connection that had ended in the pool */
	uint64_t balance_key; /* of the group; while `tries` > 0 */
	struct sticky sticky; /* its group's; while `tries` > 0 */
	uint64_t sent_us; /* loop_now_us(): the request began to go to this target */
	bool parsed;         /* `request` is set */
	bool up_done;        /* the request is sent whole */
	bool up_waits_client;
	bool up_broken;      /* the target takes no more of it: it may still answer */
	bool replayable;     /* the request is still here whole: up.out and `in` */
	bool keep_client;    /* the connection goes on after the answer */
	bool response_awaited; /* the time-out for it runs */
	uint32_t replay_head; /* length of the head in up.out */
	uint32_t replay_start, replay_end; /* of `in`, as when it was first sent */
	uint16_t status;
	struct route route; /* once the request is parsed */
	struct http_request request;
	struct http_response response;
	struct http_header request_headers[H1_HEADERS_DEFAULT];
	struct http_header response_headers[H1_HEADERS_DEFAULT];
};

/* Each of these may end in conn_close(): the exchange may be gone when it returns. */

/* Reads on at the head; then finds a target. */
void exchange_read_head(struct exchange *exchange);
/* Finds a target (another than `avoid` if there is one) and sends the request. */
void exchange_find_target(struct exchange *exchange, const struct target *avoid, bool fresh);
/* Moves what can be moved, in both directions. */
void exchange_run(struct exchange *exchange);
/* Reads the answer's head; true if there is now an answer to move (state BODY). */
bool exchange_read_response(struct exchange *exchange);
/* The target went away, or did not answer, before the answer began. */
void exchange_target_failed(struct exchange *exchange, enum close_reason reason);
/* One more try, if there may be one: attempts and budget. */
bool exchange_take_retry(struct exchange *exchange);
/* Answers for ourselves. `reason` is counted; too late for an answer: closes. */
void exchange_answer(struct exchange *exchange, unsigned int status, enum close_reason reason);
/* The same with an answer that a rule has: nothing has gone wrong. `body` is what is sent of it. */
void exchange_respond(
	struct exchange *exchange, const struct http_response *response, struct slice body);

#endif
