/* What of an exchange goes to the access log, and when: see exchange_log.h. */
#include "proxy/exchange_log.h"

#include "core/clock.h"
#include "http/syntax.h"
#include "proxy/accesslog.h"
#include "proxy/tunnel.h"

#include <errno.h>
#include <string.h>

static bool is_logged(const struct exchange *exchange)
{
	return exchange_spec(exchange)->access != NULL;
}

/* Bytes that the client sent for this request: not those of the next one, which may be here too. */
static uint64_t bytes_in(const struct exchange *exchange)
{
	return exchange->front->bytes_in - buf_len(&exchange->in);
}

void exchange_log_begin(struct exchange *exchange)
{
	exchange->log.began_us = loop_now_us(exchange->conn->worker->io.loop);
	exchange->log.bytes_in_before = bytes_in(exchange);
	exchange->log.bytes_out_before = exchange->front->bytes_out;
}

static void make_note(struct exchange *exchange, const struct http_request *request)
{
	exchange->log.note = accesslog_note_new(exchange->conn, exchange->listener, request);
}

void exchange_log_request(struct exchange *exchange)
{
	if (is_logged(exchange))
		make_note(exchange, &exchange->request);
}

void exchange_log_refused(struct exchange *exchange)
{
	if (is_logged(exchange))
		make_note(exchange, NULL);
}

static char *copy_of(struct slice text)
{
	return strndup(text.ptr, text.len);
}

void exchange_log_told(struct exchange *exchange, const struct http_header *told, uint32_t n_told)
{
	struct accesslog_note *note = exchange->log.note;
	uint32_t i;

	for (i = 0; note && i < n_told; i++) {
		if (told[i].id == HTTP_HEADER_X_AMZN_TRACE_ID && !note->told_trace_id)
			note->told_trace_id = copy_of(told[i].value);
		else if (told[i].id == HTTP_HEADER_X_REQUEST_ID && !note->told_request_id)
			note->told_request_id = copy_of(told[i].value);
	}
}

static enum accesslog_rewrite fault_of(const struct http_request *rewritten, int r)
{
	if (r == -ENOBUFS)
		return ACCESSLOG_REWRITE_TOO_LONG;
	return syntax_all(rewritten->target, SYNTAX_TARGET) ? ACCESSLOG_BAD_HOST
							    : ACCESSLOG_BAD_PATH;
}

void exchange_log_rewritten(struct exchange *exchange, const struct http_request *rewritten, int r)
{
	const struct http_request *request = &exchange->request;
	struct accesslog_note *note = exchange->log.note;
	bool has_host = rewritten->authority.ptr != request->authority.ptr;
	bool has_target = rewritten->target.ptr != request->target.ptr;

	if (!note)
		return;
	if (r < 0) {
		note->rewrite = fault_of(rewritten, r);
		return;
	}
	if (has_host || has_target)
		note->rewrite = ACCESSLOG_REWRITTEN;
	if (has_host)
		note->told_host = copy_of(rewritten->authority);
	if (has_target)
		note->told_target = copy_of(rewritten->target);
}

void exchange_log_target(struct exchange *exchange)
{
	struct accesslog_note *note = exchange->log.note;

	if (!note)
		return;
	note->sent_us = 0;
	memcpy(note->target_address, exchange->upstream->target->text,
		sizeof(note->target_address));
}

void exchange_log_sent(struct exchange *exchange)
{
	if (exchange->log.note)
		exchange->log.note->sent_us = clock_mono_us();
}

void exchange_log_answered(struct exchange *exchange, uint16_t target_status)
{
	struct accesslog_note *note = exchange->log.note;

	if (!note)
		return;
	note->answered_us = loop_now_us(exchange->conn->worker->io.loop);
	note->responding_us = clock_mono_us();
	note->target_status = target_status;
}

void exchange_log_response(struct exchange *exchange, const struct http_response *response)
{
	const struct http_header *location;

	if (!exchange->log.note)
		return;
	location = http_headers_find(&response->headers, HTTP_HEADER_LOCATION);
	if (location && exchange->route.rule &&
		rules_action_of(exchange->route.rule) == RULES_REDIRECT)
		exchange->log.note->redirect = copy_of(location->value);
}

void exchange_log_reason(struct exchange *exchange, enum close_reason reason)
{
	if (exchange->log.reason == CLOSE_done)
		exchange->log.reason = reason;
}

/* One that was refused before its head could be understood has a line, too; not one that did not come. */
static struct accesslog_note *take_note(struct exchange *exchange)
{
	struct accesslog_note *note;

	if (!exchange->log.note && !exchange->parsed && exchange->status)
		make_note(exchange, NULL);
	note = exchange->log.note;
	exchange->log.note = NULL;
	if (!note)
		return NULL;
	note->route = exchange->route;
	note->status = exchange->status;
	note->tries = exchange->tries;
	note->desync = exchange->strict.found;
	note->record = exchange->log;
	note->is_websocket = exchange->is_tunnel;
	return note;
}

void exchange_log_end(struct exchange *exchange)
{
	struct accesslog_note *note = is_logged(exchange) ? take_note(exchange) : NULL;

	if (note)
		accesslog_put(note, exchange->conn, exchange->listener, bytes_in(exchange),
			exchange->front->bytes_out);
}

struct accesslog_note *exchange_log_take(struct exchange *exchange)
{
	struct accesslog_note *note = is_logged(exchange) ? take_note(exchange) : NULL;

	if (note)
		note->is_websocket =
			slice_eq_nocase(exchange->response.upgrade, SLICE("websocket"));
	return note;
}
