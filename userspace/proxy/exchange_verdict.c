/* What targets made of requests: see exchange_verdict.h. */
#include "core/counter.h"
#include "proxy/exchange_grpc.h"
#include "proxy/exchange_parts.h"
#include "proxy/group_state.h"

/* The head alone does not tell: there is a body, or a handshake to be looked at. */
static bool is_open(const struct exchange *exchange, unsigned int status)
{
	const struct http_response *response = &exchange->response;

	return status < 500 && (response->body != HTTP_BODY_NONE || response->upgrade.len ||
				       exchange->request.is_connect);
}

static void note(const struct exchange *exchange, unsigned int status)
{
	const struct upstream *upstream = exchange->upstream;

	outlier_note_answer(upstream->group, upstream->target, exchange->conn->worker->io.worker,
		status, exchange->answered_us);
}

void exchange_verdict_head(struct exchange *exchange)
{
	const struct proxy_worker *worker = exchange->conn->worker;
	struct group_state *state = exchange->upstream->group->spec.state;
	struct group_counts *counts = &state->workers[worker->io.worker];
	uint64_t us = loop_now_us(worker->io.loop) - exchange->sent_us;
	uint16_t status = exchange->response.status;
	unsigned int means = exchange->is_grpc ? exchange_grpc_status(&exchange->response) : status;

	counter_inc(&counts->status[status < 600 ? status / 100 : 5]);
	latency_note(&counts->latency, us);
	exchange->answered_us = us < UINT32_MAX ? (uint32_t)us : UINT32_MAX;
	exchange->is_noted = means >= 500;
	if (is_open(exchange, means))
		exchange->verdict = (uint16_t)means;
	else
		note(exchange, means);
}

void exchange_verdict_trailer(struct exchange *exchange, const struct http_header *trailer)
{
	if (exchange->is_grpc && exchange->verdict)
		exchange->verdict = exchange_grpc_outcome(trailer, exchange->verdict);
}

static bool is_of_target(enum close_reason reason)
{
	return reason != CLOSE_deregistered && reason != CLOSE_out_of_memory &&
	       reason != CLOSE_too_many_files;
}

void exchange_verdict_broken(struct exchange *exchange, enum close_reason reason)
{
	struct upstream *upstream = exchange->upstream;
	uint32_t worker = exchange->conn->worker->io.worker;
	/* A bad status has been noted, and that was once for this request. */
	bool is_news =
		exchange->verdict || (exchange->state == EXCHANGE_RESPONSE && !exchange->is_noted);

	exchange->verdict = 0;
	if (!is_of_target(reason))
		return;
	counter_inc(&upstream->target->workers[worker].failures);
	if (is_news)
		outlier_note_failure(upstream->group, upstream->target, worker);
}

void exchange_verdict_settle(struct exchange *exchange)
{
	if (exchange->verdict)
		note(exchange, exchange->verdict);
	exchange->verdict = 0;
}
