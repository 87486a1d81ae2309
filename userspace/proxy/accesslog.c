/* The access log: see accesslog.h. */
#include "proxy/accesslog.h"

#include "core/clock.h"
#include "proxy/accesslog_line.h"
#include "proxy/rules.h"
#include "tls/cert.h"
#include "tls/stream.h"

#include <stdlib.h>
#include <string.h>

enum { SHORT_ANSWER_BYTES = 16 * 1024 };

/* More than a line would have of it, so that it is cut there. */
static size_t kept_len(enum accesslog_text which, struct slice text)
{
	size_t max =
		which == ACCESSLOG_TARGET ? ACCESSLOG_TARGET_BYTES_MAX : ACCESSLOG_TEXT_BYTES_MAX;

	return text.len < max + 1 ? text.len : max + 1;
}

static struct slice value_of(const struct http_request *request, enum http_header_id id)
{
	const struct http_header *header = http_headers_find(&request->headers, id);

	return header ? header->value : (struct slice){NULL, 0};
}

static struct slice text_of(const struct http_request *request, enum accesslog_text which)
{
	switch (which) {
	case ACCESSLOG_METHOD:
		return request->method_text;
	case ACCESSLOG_AUTHORITY:
		return request->authority;
	case ACCESSLOG_TARGET:
		return request->target;
	case ACCESSLOG_USER_AGENT:
		return value_of(request, HTTP_HEADER_USER_AGENT);
	case ACCESSLOG_TRACE_ID:
		return value_of(request, HTTP_HEADER_X_AMZN_TRACE_ID);
	case ACCESSLOG_REQUEST_ID:
		return value_of(request, HTTP_HEADER_X_REQUEST_ID);
	case ACCESSLOG_TEXTS:
		break;
	}
	return (struct slice){NULL, 0};
}

static struct accesslog_note *copy_texts(const struct slice texts[static ACCESSLOG_TEXTS])
{
	struct accesslog_note *note;
	size_t len = 0, at = 0;
	uint32_t i;

	for (i = 0; i < ACCESSLOG_TEXTS; i++)
		len += texts[i].len;
	note = malloc(sizeof(*note) + len);
	if (!note)
		return NULL;
	*note = (struct accesslog_note){.has_request = false};
	for (i = 0; i < ACCESSLOG_TEXTS; i++) {
		note->texts[i] = (struct slice){note->text + at, texts[i].len};
		if (texts[i].len)
			memcpy(note->text + at, texts[i].ptr, texts[i].len);
		at += texts[i].len;
	}
	return note;
}

struct accesslog_note *accesslog_note_new(const struct conn *conn, const struct listener *listener,
	const struct http_request *request)
{
	struct slice texts[ACCESSLOG_TEXTS] = {{NULL, 0}};
	struct accesslog_note *note;
	uint32_t i;

	for (i = 0; request && i < ACCESSLOG_TEXTS; i++) {
		texts[i] = text_of(request, (enum accesslog_text)i);
		texts[i].len = kept_len((enum accesslog_text)i, texts[i]);
	}
	note = copy_texts(texts);
	if (!note) {
		linering_lose(listener->spec.access->rings[conn->worker->io.worker]);
		return NULL;
	}
	note->has_request = request != NULL;
	note->version = conn->h2 ? HTTP_VERSION_2 : request ? request->version : HTTP_VERSION_1_1;
	return note;
}

static const char *version_name(enum http_version version)
{
	switch (version) {
	case HTTP_VERSION_1_0:
		return "HTTP/1.0";
	case HTTP_VERSION_1_1:
		return "HTTP/1.1";
	case HTTP_VERSION_2:
		return "HTTP/2.0";
	case HTTP_VERSION_3:
		return "HTTP/3.0";
	}
	return "";
}

static const char *type_of(const struct accesslog_note *note, bool is_tls)
{
	if (note->is_websocket)
		return is_tls ? "wss" : "ws";
	if (note->version == HTTP_VERSION_2)
		return "h2";
	return is_tls ? "https" : "http";
}

/* From one point in time to the next; -1: it did not come to that. */
static int64_t span_us(uint64_t from_us, uint64_t to_us)
{
	if (!to_us || !from_us)
		return -1;
	return to_us > from_us ? (int64_t)(to_us - from_us) : 0;
}

/* A clock that is set is followed within a second. */
static uint64_t unix_us(struct proxy_worker *worker, uint64_t mono_us)
{
	uint64_t loop_ms = loop_now_ms(worker->io.loop);

	if (loop_ms >= worker->unix_due_ms) {
		worker->unix_ahead_us = clock_unix_us() - clock_mono_us();
		worker->unix_due_ms = loop_ms + 1000;
	}
	return mono_us + worker->unix_ahead_us;
}

/* A short answer that went out in the turn it came in did so in one send: the clock need not be read for
 * what that takes. */
static uint64_t end_us(
	const struct accesslog_note *note, const struct proxy_worker *worker, uint64_t bytes_out)
{
	bool is_short = bytes_out <= SHORT_ANSWER_BYTES;

	return is_short && note->answered_us == loop_now_us(worker->io.loop) ? note->responding_us
									     : clock_mono_us();
}

static void fill_times(const struct accesslog_note *note, struct proxy_worker *worker,
	struct accesslog_facts *facts)
{
	uint64_t now_us = end_us(note, worker, facts->bytes_out);

	facts->ended_unix_us = unix_us(worker, now_us);
	facts->duration_us = now_us > note->record.began_us ? now_us - note->record.began_us : 0;
	facts->began_unix_us = facts->ended_unix_us - facts->duration_us;
	facts->request_us = span_us(note->record.began_us, note->sent_us);
	facts->target_us = span_us(note->sent_us, note->answered_us);
	facts->response_us = span_us(note->answered_us, note->responding_us);
}

static void fill_request(
	const struct accesslog_note *note, bool is_tls, struct accesslog_facts *facts)
{
	if (!note->has_request)
		return;
	facts->has_request = true;
	facts->method = note->texts[ACCESSLOG_METHOD];
	facts->scheme = is_tls ? SLICE("https") : SLICE("http");
	facts->authority = note->texts[ACCESSLOG_AUTHORITY];
	facts->target = note->texts[ACCESSLOG_TARGET];
	facts->version = version_name(note->version);
	facts->user_agent = note->texts[ACCESSLOG_USER_AGENT];
	facts->trace_id = note->told_trace_id ? slice_of(note->told_trace_id)
					      : note->texts[ACCESSLOG_TRACE_ID];
	facts->request_id = note->told_request_id ? slice_of(note->told_request_id)
						  : note->texts[ACCESSLOG_REQUEST_ID];
}

static void fill_route(const struct accesslog_note *note, struct accesslog_facts *facts)
{
	static const char *const actions[] = {
		[RULES_FORWARD] = "forward",
		[RULES_REDIRECT] = "redirect",
		[RULES_FIXED] = "fixed-response",
	};
	const struct route *route = &note->route;

	if (route->group)
		facts->target_group = route->group->spec.name;
	if (route->group || route->rule) {
		facts->priority = route->rule ? (int32_t)rules_priority(route->rule) : 0;
		facts->rule = route->rule ? rules_name(route->rule) : "default";
		facts->action = route->rule ? actions[rules_action_of(route->rule)] : "forward";
	}
	if (route->is_undecided) {
		facts->priority = -1;
		facts->rule = facts->action = "";
	}
	facts->target_address = note->target_address;
	facts->tries = note->tries;
	if (route->retry_after_s)
		facts->action = ""; /* what was to be done was not */
	if (note->redirect)
		facts->redirect = slice_of(note->redirect);
}

static void fill_rewrite(const struct accesslog_note *note, struct accesslog_facts *facts)
{
	static const char *const words[] = {
		[ACCESSLOG_NO_REWRITE] = "",
		[ACCESSLOG_REWRITTEN] = "TransformSuccess",
		[ACCESSLOG_BAD_PATH] = "TransformInvalidPath",
		[ACCESSLOG_BAD_HOST] = "TransformInvalidHost",
		[ACCESSLOG_REWRITE_TOO_LONG] = "TransformBufferTooSmall",
	};

	facts->rewrite = words[note->rewrite];
	if (note->told_host)
		facts->told_host = slice_of(note->told_host);
	if (note->told_target)
		facts->told_target = slice_of(note->told_target);
}

/* The worst of what was found. */
static void fill_class(uint64_t found, struct accesslog_facts *facts)
{
	const struct desync_row *worst = NULL;

	for (; found; found &= found - 1) {
		const struct desync_row *row = &desync_rows[__builtin_ctzll(found)];

		if (!worst || row->class > worst->class)
			worst = row;
	}
	facts->class = worst ? desync_class_names[worst->class] : "";
	facts->class_reason = worst ? worst->name : "";
}

/* --- what is common to the lines of a connection */
static void fill_tls(
	const struct conn *conn, char name[static CERT_NAME_BYTES], struct accesslog_ends *ends)
{
	struct tls_stream_facts tls;

	if (!conn->is_tls)
		return;
	tls_stream_facts(conn->front, &tls);
	ends->tls_cipher = tls.cipher;
	ends->tls_protocol = tls.version;
	ends->server_name = tls.sni;
	ends->is_resumed = tls.resumed;
	if (tls.cert)
		ends->certificate = cert_name(tls.cert, name);
}

static struct accesslog_common *make_common(
	const struct conn *conn, const struct listener_spec *spec, const char *type)
{
	char name[CERT_NAME_BYTES];
	struct accesslog_ends ends = {
		.type = type,
		.listener = spec->name,
		.conn_id = conn->id,
		.client = &conn->client,
		.listener_port = addr_port(&conn->local),
		.tls_cipher = "",
		.tls_protocol = "",
		.server_name = "",
		.certificate = "",
		.ja4 = conn->ja4,
		.is_tls = conn->is_tls,
	};

	fill_tls(conn, name, &ends);
	return accesslog_common_new(&ends, spec->access_format);
}

/* The connection's, made anew if it is for other lines: a reload may have changed the format, and a tunnel
 * has a type of its own. */
static const struct accesslog_common *common_of(
	struct conn *conn, const struct listener_spec *spec, const char *type)
{
	struct accesslog_common *common = conn->log_common;

	if (common && common->format == spec->access_format && common->type == type)
		return common;
	free(common);
	conn->log_common = make_common(conn, spec, type);
	return conn->log_common;
}

/* --- */

/* Apart, so that nobody else has so large a frame. */
static __attribute__((noinline)) void put_in_two_pieces(
	const struct accesslog_facts *facts, struct linering *ring)
{
	char bytes[ACCESSLOG_LINE_BYTES];
	struct line line = {.bytes = bytes, .size = sizeof(bytes)};

	accesslog_put_line(&line, facts);
	linering_put(ring, bytes, line.len);
}

static void put_line(const struct accesslog_facts *facts, struct linering *ring)
{
	struct line line = {
		.bytes = linering_reserve(ring, ACCESSLOG_LINE_BYTES),
		.size = ACCESSLOG_LINE_BYTES,
	};

	if (!line.bytes) {
		put_in_two_pieces(facts, ring);
		return;
	}
	accesslog_put_line(&line, facts);
	linering_commit(ring, line.len);
}

static void put_facts(const struct accesslog_note *note, struct conn *conn,
	const struct listener_spec *spec, uint64_t bytes_in, uint64_t bytes_out)
{
	struct linering *ring = spec->access->rings[conn->worker->io.worker];
	struct accesslog_facts facts = {
		.common = common_of(conn, spec, type_of(note, conn->is_tls)),
		.version = "",
		.status = note->status,
		.target_status = note->target_status,
		.bytes_in = bytes_in - note->record.bytes_in_before,
		.bytes_out = bytes_out - note->record.bytes_out_before,
		.target_address = "",
		.target_group = "",
		.rule = "",
		.priority = -1,
		.action = "",
		.reason = note->record.reason == CLOSE_done
				  ? ""
				  : close_reason_rows[note->record.reason].name,
	};

	if (!facts.common) {
		linering_lose(ring);
		return;
	}
	fill_times(note, conn->worker, &facts);
	fill_request(note, conn->is_tls, &facts);
	fill_route(note, &facts);
	fill_rewrite(note, &facts);
	fill_class(note->desync, &facts);
	put_line(&facts, ring);
}

void accesslog_put(struct accesslog_note *note, struct conn *conn, const struct listener *listener,
	uint64_t bytes_in, uint64_t bytes_out)
{
	put_facts(note, conn, &listener->spec, bytes_in, bytes_out);
	free(note->told_trace_id);
	free(note->told_request_id);
	free(note->redirect);
	free(note->told_host);
	free(note->told_target);
	free(note);
}

void accesslog_put_malformed(struct conn *conn, enum close_reason reason)
{
	struct accesslog_note *note = NULL;

	if (conn->listener->spec.access)
		note = accesslog_note_new(conn, conn->listener, NULL);
	if (!note)
		return;
	note->record = (struct accesslog_record){
		.began_us = loop_now_us(conn->worker->io.loop), .reason = reason};
	if (reason == CLOSE_bad_request)
		note->desync = UINT64_C(1) << DESYNC_bad_h2_request;
	accesslog_put(note, conn, conn->listener, 0, 0);
}
