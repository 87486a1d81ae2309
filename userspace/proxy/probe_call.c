/* Health checks over HTTP/2: see probe_call.h. */
#include "proxy/probe_call.h"
#include "http/h2_client.h"
#include "http/h2_head.h"
#include "http/syntax.h"
#include "tls/stream.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
	SERVICE_BYTES_MAX = 255,
	PREFIX_BYTES = 5, /* of a message: not compressed, length of 32 bits */
	REQUEST_BYTES = PREFIX_BYTES + 3 + SERVICE_BYTES_MAX,
	ANSWER_BYTES = 64,
	SERVING = 1,
	NO_CODE = 1000,
};

struct probe_call {
	struct probe *probe;
	struct h2 *h2;
	struct h2_stream *stream; /* NULL: none, or it is given back */
	unsigned int status, code;
	uint32_t request_len, request_at, answer_len;
	bool is_judged;
	enum backend_reason verdict;
	char detail[CHECK_DETAIL_BYTES];
	uint8_t request[REQUEST_BYTES]; /* the body of a call */
	uint8_t answer[ANSWER_BYTES];
};

static bool is_grpc(const struct probe *probe)
{
	return probe->spec->protocol == CHECK_GRPC || probe->spec->protocol == CHECK_GRPCS;
}

/* --- the verdict: the session ends in order, and the probe with it */

__attribute__((format(printf, 3, 4))) static void judge(
	struct probe_call *call, enum backend_reason verdict, const char *format, ...)
{
	va_list args;

	if (call->is_judged)
		return;
	call->is_judged = true;
	call->verdict = verdict;
	va_start(args, format);
	vsnprintf(call->detail, sizeof(call->detail), format, args);
	va_end(args);
	if (call->stream && h2_stream_is_complete(call->stream))
		h2_stream_end(call->stream);
	else if (call->stream)
		h2_stream_reset(call->stream, H2_RESET_CANCEL);
	call->stream = NULL;
	h2_terminate(call->h2);
}

static void judge_status(struct probe_call *call)
{
	judge(call,
		probe_is_good(call->probe, call->status) ? WHY_NONE : WHY_RESPONSE_CODE_MISMATCH,
		"status %u", call->status);
}

/* HealthCheckResponse of grpc.health.v1: { ServingStatus status = 1; }. */
static unsigned int serving_status(const struct probe_call *call)
{
	const uint8_t *at = call->answer + PREFIX_BYTES;

	return call->answer_len == PREFIX_BYTES + 2 && at[0] == 0x08 ? at[1] : 0;
}

static void judge_code(struct probe_call *call)
{
	bool is_health = !strcmp(call->probe->spec->path, "/grpc.health.v1.Health/Check");

	if (call->status != 200)
		judge(call, WHY_RESPONSE_CODE_MISMATCH, "status %u", call->status);
	else if (call->code == NO_CODE)
		judge(call, WHY_INVALID_RESPONSE, "no grpc-status");
	else if (!probe_is_good(call->probe, call->code))
		judge(call, WHY_RESPONSE_CODE_MISMATCH, "grpc-status %u", call->code);
	else if (is_health && !call->code && serving_status(call) != SERVING)
		judge(call, WHY_RESPONSE_CODE_MISMATCH, "not serving");
	else
		judge(call, WHY_NONE, "grpc-status %u", call->code);
}

/* --- the answer */

static void note_code(struct probe_call *call, const struct http_header *field)
{
	uint64_t code;

	if (slice_eq(field->name, SLICE("grpc-status")) &&
		syntax_number(field->value, &code) == 0 && code < NO_CODE)
		call->code = (unsigned int)code;
}

static void got_response(struct h2_stream *stream, const struct http_response *response)
{
	struct probe_call *call = stream->body.owner;
	uint32_t i;

	if (http_response_is_interim(response))
		return;
	call->status = response->status;
	for (i = 0; i < response->headers.len; i++)
		note_code(call, &response->headers.items[i]);
	if (!is_grpc(call->probe))
		judge_status(call);
	else if (stream->in_ended)
		judge_code(call);
}

static void write_request(struct probe_call *call)
{
	struct stream *body = &call->stream->body;
	struct iovec iov;
	ssize_t sent;

	while (call->request_at < call->request_len) {
		iov = (struct iovec){
			call->request + call->request_at, call->request_len - call->request_at};
		sent = body->ops->writev(body, &iov, 1, false);
		if (sent < 0)
			return; /* an event says more */
		call->request_at += (uint32_t)sent;
	}
}

static void read_answer(struct probe_call *call)
{
	struct stream *body = &call->stream->body;
	struct http_header trailer;
	ssize_t got;

	do {
		if (call->answer_len == sizeof(call->answer)) {
			judge(call, WHY_INVALID_RESPONSE, "the answer is too long");
			return;
		}
		got = body->ops->read(body, call->answer + call->answer_len,
			sizeof(call->answer) - call->answer_len);
		if (got > 0)
			call->answer_len += (uint32_t)got;
	} while (got > 0);
	if (got == -EAGAIN)
		return;
	if (got < 0) {
		judge(call, WHY_CONNECTION_RESET,
			call->stream->is_open ? "closed without an answer"
					      : "the target reset the request");
		return;
	}
	while (h2_stream_next_trailer(body, &trailer))
		note_code(call, &trailer);
	judge_code(call);
}

static void stream_event(struct h2_stream *stream)
{
	struct probe_call *call = stream->body.owner;

	if (!call || !call->stream)
		return;
	write_request(call);
	read_answer(call);
}

static void changed(struct h2 *h2)
{
}

static void over(struct h2 *h2)
{
	struct probe_call *call = h2_owner(h2);
	enum h2_fault fault = h2_fault(h2);

	if (call->is_judged)
		probe_end(call->probe, call->verdict, call->detail);
	else if (fault == H2_FAULT_PROTOCOL || fault == H2_FAULT_FLOOD)
		probe_end(call->probe, WHY_INVALID_RESPONSE, "broke the rules of HTTP/2");
	else
		probe_end(call->probe, WHY_CONNECTION_RESET, "closed without an answer");
}

static const struct h2_ops h2_ops = {
	.response = got_response,
	.event = stream_event,
	.changed = changed,
	.over = over,
};

/* --- the request */

/* HealthCheckRequest: { string service = 1; }. */
static void make_request(struct probe_call *call)
{
	const char *service = call->probe->spec->service;
	size_t len = service ? strlen(service) : 0;
	uint8_t *at = call->request + PREFIX_BYTES;

	if (len) {
		*at++ = 0x0a;
		if (len > 127)
			*at++ = (uint8_t)(len % 128 + 128);
		*at++ = (uint8_t)(len > 127 ? len / 128 : len);
		while (*service)
			*at++ = (uint8_t)*service++;
	}
	call->request_len = (uint32_t)(at - call->request);
	call->request[4] = (uint8_t)(call->request_len - PREFIX_BYTES);
	call->request[3] = (uint8_t)((call->request_len - PREFIX_BYTES) >> 8);
}

static int ask(struct probe_call *call)
{
	const struct check_spec *spec = call->probe->spec;
	bool calls = is_grpc(call->probe);
	char host[PROBE_HOST_BYTES];
	const struct http_header fields[] = {
		{.name = SLICE(":method"), .value = calls ? SLICE("POST") : SLICE("GET")},
		{.name = SLICE(":scheme"), .value = spec->tls ? SLICE("https") : SLICE("http")},
		{.name = SLICE(":authority"), .value = slice_of(probe_host(call->probe, host))},
		{.name = SLICE(":path"), .value = slice_of(spec->path)},
		{.name = SLICE("user-agent"), .value = SLICE("sluice-health")},
		{.name = SLICE("content-type"), .value = SLICE("application/grpc")},
		{.name = SLICE("te"), .value = SLICE("trailers")},
	};
	struct h2_ask question = {
		.fields = fields,
		.n_fields = calls ? array_len(fields) : array_len(fields) - 2,
		.body = calls ? HTTP_BODY_LENGTH : HTTP_BODY_NONE,
	};

	if (calls)
		make_request(call);
	question.content_length = call->request_len;
	return h2_ask(call->h2, &question, call, &call->stream);
}

static bool start(struct probe *probe)
{
	struct h2_spec spec = {.max_header_bytes = H2_HEAD_TEXT_BYTES, .is_client = true};
	struct probe_call *call = calloc(1, sizeof(*call));

	probe->call = call;
	if (!call)
		return false;
	call->probe = probe;
	call->code = NO_CODE;
	call->h2 = h2_new(probe->h2_thread, probe->stream, &spec, &h2_ops, call);
	if (!call->h2 || ask(call) < 0)
		return false;
	probe->request_sent = true;
	write_request(call);
	return true;
}

static bool has_agreed(const struct probe *probe)
{
	struct tls_stream_facts facts;

	if (!probe->spec->tls)
		return true;
	tls_stream_facts(probe->stream, &facts);
	return !strcmp(facts.alpn, "h2");
}

void probe_call_proceed(struct probe *probe)
{
	if (!probe->call && !has_agreed(probe))
		probe_end(probe, WHY_TLS_FAILED, "the target does not agree on HTTP/2 (ALPN h2)");
	else if (!probe->call && !start(probe))
		probe_end(probe, WHY_INTERNAL_ERROR, "out of memory");
	else
		h2_run(probe->call->h2);
}

bool probe_call_was_judged(struct probe *probe)
{
	const struct probe_call *call = probe->call;

	if (!call || !call->is_judged)
		return false;
	probe_end(probe, call->verdict, call->detail);
	return true;
}

void probe_call_free(struct probe_call *call)
{
	if (!call)
		return;
	if (call->h2)
		h2_free(call->h2);
	free(call);
}
