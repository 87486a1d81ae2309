/* What the files of the exchange share; nobody else includes it. See exchange.h. */
#ifndef SLUICE_PROXY_EXCHANGE_PARTS_H
#define SLUICE_PROXY_EXCHANGE_PARTS_H

#include "http/h1_head.h"
#include "http/h1_write.h"
#include "http/headers.h"
#include "http/websocket.h"
#include "proxy/accesslog.h"
#include "proxy/balance.h"
#include "proxy/exchange.h"
#include "proxy/exchange_ops.h"
#include "proxy/exchange_strict.h"
#include "proxy/exchange_verdict.h"
#include "proxy/pump.h"
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
	struct listener *listener; /* held: the one in force when the request came */
	const struct front_ops *ops;
	const struct back_ops *back; /* once there is a route to a group */
	struct stream *front; /* what brings the request's body and takes the answer */
	enum exchange_state state;
	struct buf in; /* from the client */
	struct buf from; /* from the target */
	struct buf head; /* for a target that speaks HTTP/2 */
	struct h1_head request_head, response_head;
	struct pump up, down;
	struct upstream *upstream; /* NULL: none now */
	struct task resume_task;
	struct timer timer; /* HTTP/2: the time-out; else the connection's is used */
	uint8_t tries, stale; /* stale: of these, with a connection that had ended in the pool */
	uint64_t balance_key; /* of the group; while `tries` > 0 */
	struct sticky sticky; /* its group's; while `tries` > 0 */
	struct balance_tried tried; /* of its group */
	uint64_t sent_us; /* loop_now_us(): the request began to go to this target */
	uint32_t answered_us; /* the head of the answer came so much later */
	uint16_t n_interim; /* answers of one try before the one that counts */
	uint16_t
		verdict; /* the status that its answer counts as once it is whole; 0: none is due */
	bool is_noted; /* the head of its answer, as bad */
	bool parsed; /* `request` is set */
	bool is_grpc; /* the client calls by gRPC */
	bool up_done; /* the request is sent whole */
	bool up_waits_client;
	bool down_waits_target; /* for more of its answer */
	bool up_broken; /* the target takes no more of it: it may still answer */
	struct replay replay; /* what was sent of a request that is not here whole at once */
	bool replayable; /* the request is still here whole: up.out and `in` */
	bool keep_client; /* the connection goes on after the answer */
	bool response_awaited; /* the time-out for it runs */
	bool down_done; /* of a tunnel: nothing more comes from the target */
	bool is_tunnel; /* state BODY: bytes go both ways (exchange_tunnel.h) */
	uint8_t nonce[WEBSOCKET_NONCE_BYTES]; /* of the handshake that is made for the client */
	/* Length of the head in up.out, and `in` as it was when it was first sent. */
	uint32_t replay_head, replay_start, replay_end;
	uint16_t status;
	struct exchange_strict strict;
	struct accesslog_record log; /* exchange_log.h */
	struct route route; /* once the request is parsed */
	struct http_request request;
	struct http_response response;
};

static inline const struct listener_spec *exchange_spec(const struct exchange *exchange)
{
	return &exchange->listener->spec;
}

static inline void exchange_set_timeout(struct exchange *exchange, uint32_t after_ms)
{
	exchange->ops->set_timeout(exchange, after_ms);
}

_Static_assert(PROXY_HEADERS_MAX >= H1_HEADERS_DEFAULT, "arrays hold what the codec lets through");

/* The worker's arrays hold the headers of the one head that is being dealt with: what is wanted of
 * them later must be kept elsewhere. */
static inline void exchange_lend_request(struct exchange *exchange)
{
	http_headers_lend(&exchange->request.headers, exchange->conn->worker->request_headers,
		PROXY_HEADERS_MAX);
}

static inline void exchange_lend_response(struct exchange *exchange)
{
	http_headers_lend(&exchange->response.headers, exchange->conn->worker->response_headers,
		PROXY_HEADERS_MAX);
}

/* A new one in the state HEAD; NULL: no memory. */
struct exchange *exchange_new(
	struct conn *conn, const struct front_ops *ops, struct stream *front) must_check;
/* Before the first request and each that follows: everything but `in` as new. */
void exchange_renew(struct exchange *exchange);

/* Bodies that HTTP/2 brings have no framing but their end. */
static inline enum http_body exchange_body_kind(const struct exchange *exchange)
{
	bool has_frames =
		exchange->ops->next_trailer && exchange->request.body == HTTP_BODY_CHUNKED;

	return has_frames ? HTTP_BODY_UNTIL_CLOSE : exchange->request.body;
}

static inline enum http_body exchange_answer_kind(const struct exchange *exchange)
{
	bool has_frames = exchange->back->is_h2 && exchange->response.body != HTTP_BODY_NONE;

	return has_frames ? HTTP_BODY_UNTIL_CLOSE : exchange->response.body;
}

/* Each of these may end the exchange: it may be gone when they return. HTTP/1: reads on at the head. */
void exchange_read_head(struct exchange *exchange);
/* The head is in `request`, and what is behind it in `in`: finds a target. */
void exchange_got_head(struct exchange *exchange);
/* Finds a target (one that was not tried if there is one) and sends the request. */
void exchange_find_target(struct exchange *exchange, bool fresh);
/* Moves what can be moved, in both directions. */
void exchange_run(struct exchange *exchange);
/* The head of an answer, or of an interim one, is in `response`. */
enum exchange_progress exchange_got_response(struct exchange *exchange) must_check;
/* The answer goes to the client: counts it. */
void exchange_count_answer(struct exchange *exchange);
/* The target went away, or did not answer, or stopped in the middle of it. */
void exchange_target_failed(struct exchange *exchange, enum close_reason reason);
/* The target's answer cannot be understood or passed on; `error`: -errno. */
void exchange_answer_is_bad(struct exchange *exchange, int error);
/* State BODY: the rest of the answer does not come. */
void exchange_answer_cut(struct exchange *exchange, enum close_reason reason);
/* One more try, if there may be one: attempts and, if a target has had work with it, budget. */
bool exchange_take_retry(struct exchange *exchange, bool was_work);
/* The head is malformed, or over a limit: answers with this status. */
void exchange_refuse(struct exchange *exchange, unsigned int status);
/* Answers for ourselves. `reason` is counted; too late for an answer: closes. */
void exchange_answer(struct exchange *exchange, unsigned int status, enum close_reason reason);
/* The same with an answer that a rule has: nothing has gone wrong. `body` is what is sent of it; there is
 * room for one header more. */
void exchange_respond(struct exchange *exchange, struct http_response *response, struct slice body);

#endif
