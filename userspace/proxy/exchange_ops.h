/* The two sides of an exchange, each by the version of HTTP that is spoken there. Part of
 * exchange_parts.h. */
#ifndef SLUICE_PROXY_EXCHANGE_OPS_H
#define SLUICE_PROXY_EXCHANGE_OPS_H

#include "http/h1_write.h"
#include "http/message.h"
#include "proxy/close_reasons.h"

struct exchange;
struct stream;

/* The client's side of an exchange, by the version of HTTP that is spoken there. */
struct front_ops {
	/* Trailers that go apart from bodies (pump.h); NULL: within them. */
	bool (*next_trailer)(struct stream *front, struct http_header *ret_trailer);
	/* The time-out of what the exchange does now. */
	void (*set_timeout)(struct exchange *exchange, uint32_t after_ms);
	/* Hands `response`, an interim one, on. 0 or -errno. */
	int (*interim)(struct exchange *exchange) must_check;
	/* Sends what is left of it. False: the exchange is over. */
	bool (*push_interim)(struct exchange *exchange) must_check;
	/* Begins the answer: the head of `response` with `extra` goes first, `down` brings the body. 0
	 * or -errno. */
	int (*begin)(struct exchange *exchange, const struct http_header *extra,
		uint32_t n_extra) must_check;
	/* A whole answer of our own: the head goes on its way, or with the body into down.out. `body`
	 * is what is sent of it: nothing, for HEAD. 0 or -errno. */
	int (*respond)(struct exchange *exchange, const struct http_response *response,
		struct slice body) must_check;
	/* The same with the text we have for a status. `is_head`: without the body. */
	int (*answer)(struct exchange *exchange, unsigned int status, bool is_head) must_check;
	/* Nothing more comes of a tunnel from the target. 0, -EAGAIN: try again; or -errno. */
	int (*close_tunnel)(struct exchange *exchange) must_check;
	/* The answer was handed to the client whole, and the target's connection given back. */
	void (*finished)(struct exchange *exchange);
	/* The exchange cannot come to its end: the client must not take it for whole. */
	void (*fail)(struct exchange *exchange, enum close_reason reason);
};

/* Reading the head of an answer. BEGUN: there is an answer to move (state BODY); WAITS: for more of it;
 * OVER: it failed, or is asked for again, and what followed from that was done. */
enum exchange_progress { EXCHANGE_WAITS, EXCHANGE_BEGUN, EXCHANGE_OVER };

/* The target's side of an exchange, by the version of HTTP that is spoken there. */
struct back_ops {
	/* Keeps the head of `request` as the target gets it, for as often as it is sent. 0, -ENOBUFS
	 * or -ENOMEM. */
	int (*write)(struct exchange *exchange, const struct http_request *request,
		const struct h1_write *how) must_check;
	/* The upstream is LENT: upstream->stream takes what is left to be sent. 0 or -errno; -EAGAIN: not
	 * yet, ops->ready comes again. */
	int (*send)(struct exchange *exchange) must_check;
	/* The whole request was handed to it. */
	void (*sent)(struct exchange *exchange);
	enum exchange_progress (*read_response)(struct exchange *exchange) must_check;
	/* As in front_ops, and for those of requests. */
	bool (*next_trailer)(struct stream *back, struct http_header *ret_trailer);
	bool (*put_trailer)(struct stream *back, const struct http_header *trailer);
	/* Nothing more comes of a tunnel from the client. 0, -EAGAIN: try again; or -errno. */
	int (*close_tunnel)(struct exchange *exchange) must_check;
	bool is_h2; /* bodies have no framing but their end */
};

extern const struct back_ops exchange_back_h1, exchange_back_h2;

#endif
