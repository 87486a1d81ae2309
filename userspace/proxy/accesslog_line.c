/* Lines of the access log: see accesslog_line.h. Members and fields have the names and the order that
 * AWS's Application Load Balancer gave them. */
#include "proxy/accesslog_line.h"

#include <stdlib.h>

enum {
	END_BYTES = 2, /* what every line must have room for */
	COMMON_BYTES_MAX = 8 * 1024,
};

static void put_piece(
	struct line *line, const struct accesslog_common *common, enum accesslog_piece piece)
{
	size_t from = piece ? common->ends[piece - 1] : 0;

	line_put(line, (struct slice){common->bytes + from, common->ends[piece] - from});
}

static void put_word(struct line *line, const char *text)
{
	line_put(line, slice_of(text));
}

static void put_host(struct line *line, const union addr *addr)
{
	char text[ADDR_TEXT_BYTES];
	const uint8_t *ip;
	int i;

	if (addr->any.sa_family == AF_INET6) {
		put_word(line, addr_format_host(addr, text));
		return;
	}
	ip = (const uint8_t *)&addr->v4.sin_addr;
	for (i = 0; i < 4; i++) {
		if (i)
			line_put_char(line, '.');
		line_put_number(line, ip[i]);
	}
}

/* --- JSON */
#define JSON_NAME(line, name) line_put_literal(line, ",\"" name "\":")

/* A member that has no value is left out: with null behind them their names would be a fifth of an ordinary line. */
static void put_text(struct line *line, struct slice name, struct slice text, size_t max)
{
	if (!text.len)
		return;
	line_put(line, name);
	line_put_json(line, text, max);
	line_put_char(line, '"');
}

#define JSON_TEXT_TO(line, name, text, max) put_text(line, SLICE(",\"" name "\":\""), text, max)
#define JSON_TEXT(line, name, text)         JSON_TEXT_TO(line, name, text, ACCESSLOG_TEXT_BYTES_MAX)
#define JSON_URL(line, name, text)          JSON_TEXT_TO(line, name, text, ACCESSLOG_TARGET_BYTES_MAX)
#define JSON_WORD(line, name, word)         JSON_TEXT(line, name, slice_of(word))

static void put_seconds(struct line *line, struct slice name, int64_t us)
{
	if (us < 0)
		return;
	line_put(line, name);
	line_put_seconds(line, (uint64_t)us);
}

#define JSON_SECONDS(line, name, us) put_seconds(line, SLICE(",\"" name "\":"), us)

static void put_status(struct line *line, struct slice name, uint16_t status)
{
	if (!status)
		return;
	line_put(line, name);
	line_put_number(line, status);
}

#define JSON_STATUS(line, name, status) put_status(line, SLICE(",\"" name "\":"), status)

static void put_json_client(struct line *line, const struct accesslog_ends *ends)
{
	line_put_literal(line, ",\"type\":\"");
	put_word(line, ends->type);
	line_put_char(line, '"');
	JSON_WORD(line, "listener", ends->listener);
	line_put_literal(line, ",\"conn_trace_id\":\"TID_");
	line_put_hex(line, ends->conn_id);
	line_put_literal(line, "\",\"client_ip\":\"");
	put_host(line, ends->client);
	line_put_literal(line, "\",\"client_port\":");
	line_put_number(line, addr_port(ends->client));
	JSON_NAME(line, "listener_port");
	line_put_number(line, ends->listener_port);
}

static void put_json_tls(struct line *line, const struct accesslog_ends *ends)
{
	JSON_WORD(line, "ssl_protocol", ends->tls_protocol);
	JSON_WORD(line, "ssl_cipher", ends->tls_cipher);
	if (ends->is_resumed)
		line_put_literal(line, ",\"resumed\":true");
	else if (ends->is_tls)
		line_put_literal(line, ",\"resumed\":false");
	JSON_WORD(line, "domain_name", ends->server_name);
	JSON_WORD(line, "chosen_cert", ends->certificate);
	JSON_WORD(line, "ja4", ends->ja4);
}

static void put_json_request(struct line *line, const struct accesslog_facts *facts)
{
	JSON_TEXT(line, "request_verb", facts->method);
	JSON_TEXT(line, "scheme", facts->scheme);
	JSON_TEXT(line, "host", facts->authority);
	JSON_URL(line, "request_uri", facts->target);
	JSON_WORD(line, "request_proto", facts->version);
	JSON_TEXT(line, "user_agent", facts->user_agent);
	JSON_TEXT(line, "trace_id", facts->trace_id);
	JSON_TEXT(line, "request_id", facts->request_id);
}

static void put_json_answer(struct line *line, const struct accesslog_facts *facts)
{
	JSON_STATUS(line, "elb_status_code", facts->status);
	JSON_STATUS(line, "target_status_code", facts->target_status);
	JSON_NAME(line, "received_bytes");
	line_put_number(line, facts->bytes_in);
	JSON_NAME(line, "sent_bytes");
	line_put_number(line, facts->bytes_out);
	line_put_literal(line, ",\"request_creation_time\":\"");
	line_put_time(line, facts->began_unix_us);
	line_put_char(line, '"');
	JSON_SECONDS(line, "request_processing_time", facts->request_us);
	JSON_SECONDS(line, "target_processing_time", facts->target_us);
	JSON_SECONDS(line, "response_processing_time", facts->response_us);
	JSON_NAME(line, "duration");
	line_put_seconds(line, facts->duration_us);
}

static void put_json_route(struct line *line, const struct accesslog_facts *facts)
{
	JSON_WORD(line, "rule", facts->rule);
	if (facts->priority >= 0) {
		JSON_NAME(line, "matched_rule_priority");
		line_put_number(line, (uint64_t)facts->priority);
	}
	JSON_WORD(line, "actions_executed", facts->action);
	JSON_URL(line, "redirect_url", facts->redirect);
	JSON_WORD(line, "target_group", facts->target_group);
	JSON_WORD(line, "target", facts->target_address);
	JSON_NAME(line, "tries");
	line_put_number(line, facts->tries);
	JSON_WORD(line, "error_reason", facts->reason);
	JSON_WORD(line, "classification", facts->class);
	JSON_WORD(line, "classification_reason", facts->class_reason);
	JSON_TEXT(line, "transformed_host", facts->told_host);
	JSON_URL(line, "transformed_uri", facts->told_target);
	JSON_WORD(line, "request_transform_status", facts->rewrite);
}

/* Every member is bounded, and all together are shorter than a line; whatever happens, it ends. */
static void put_json(struct line *line, const struct accesslog_facts *facts)
{
	line->size -= END_BYTES;
	line_put_literal(line, "{\"time\":\"");
	line_put_time(line, facts->ended_unix_us);
	line_put_char(line, '"');
	put_piece(line, facts->common, ACCESSLOG_CLIENT);
	put_json_request(line, facts);
	put_json_answer(line, facts);
	put_json_route(line, facts);
	put_piece(line, facts->common, ACCESSLOG_TLS);
	line->size += END_BYTES;
	line_put_literal(line, "}\n");
}

/* --- fields in AWS's order, a space between; "-": there is none */
static void put_field(struct line *line, struct slice text)
{
	if (!text.len)
		line_put_char(line, '-');
	line_put_hexed(line, text, ACCESSLOG_TEXT_BYTES_MAX);
	line_put_char(line, ' ');
}

static void put_quoted(struct line *line, struct slice text, size_t max)
{
	if (!text.len) {
		line_put_literal(line, "\"-\" ");
		return;
	}
	line_put_char(line, '"');
	line_put_hexed(line, text, max);
	line_put_literal(line, "\" ");
}

static void put_quoted_word(struct line *line, const char *word)
{
	put_quoted(line, slice_of(word), ACCESSLOG_TEXT_BYTES_MAX);
}

static void put_time_or_minus(struct line *line, int64_t us)
{
	if (us < 0)
		line_put_literal(line, "-1");
	else
		line_put_seconds(line, (uint64_t)us);
	line_put_char(line, ' ');
}

static void put_status_or_minus(struct line *line, uint16_t status)
{
	if (status)
		line_put_number(line, status);
	else
		line_put_char(line, '-');
	line_put_char(line, ' ');
}

static void put_alb_client(struct line *line, const struct accesslog_ends *ends)
{
	bool is_v6 = ends->client->any.sa_family == AF_INET6;

	put_field(line, slice_of(ends->listener));
	if (is_v6)
		line_put_char(line, '[');
	put_host(line, ends->client);
	if (is_v6)
		line_put_char(line, ']');
	line_put_char(line, ':');
	line_put_number(line, addr_port(ends->client));
	line_put_char(line, ' ');
}

static bool has_port(struct slice authority)
{
	const char *colon = memrchr(authority.ptr, ':', authority.len);

	return colon && !memchr(colon, ']', authority.len - (size_t)(colon - authority.ptr));
}

/* "GET https://name:443/path HTTP/2.0", whatever form the client wrote. */
static void put_alb_request(struct line *line, const struct accesslog_facts *facts)
{
	size_t max = ACCESSLOG_TEXT_BYTES_MAX;

	if (!facts->has_request) {
		line_put_literal(line, "\"- - -\" ");
		return;
	}
	line_put_char(line, '"');
	line_put_hexed(line, facts->method, max);
	line_put_char(line, ' ');
	line_put_hexed(line, facts->scheme, max);
	line_put_literal(line, "://");
	line_put_hexed(line, facts->authority, max);
	if (facts->authority.len && !has_port(facts->authority)) {
		line_put_char(line, ':');
		line_put_number(line, facts->common->listener_port);
	}
	line_put_hexed(line, facts->target, ACCESSLOG_TARGET_BYTES_MAX);
	line_put_char(line, ' ');
	put_word(line, facts->version);
	line_put_literal(line, "\" ");
}

static void put_alb_answer(struct line *line, const struct accesslog_facts *facts)
{
	put_field(line, slice_of(facts->target_address));
	put_time_or_minus(line, facts->request_us);
	put_time_or_minus(line, facts->target_us);
	put_time_or_minus(line, facts->response_us);
	put_status_or_minus(line, facts->status);
	put_status_or_minus(line, facts->target_status);
	line_put_number(line, facts->bytes_in);
	line_put_char(line, ' ');
	line_put_number(line, facts->bytes_out);
	line_put_char(line, ' ');
}

static void put_alb_route(struct line *line, const struct accesslog_facts *facts)
{
	if (facts->priority < 0)
		line_put_literal(line, "-1");
	else
		line_put_number(line, (uint64_t)facts->priority);
	line_put_char(line, ' ');
	line_put_time(line, facts->began_unix_us);
	line_put_char(line, ' ');
	put_quoted_word(line, facts->action);
	put_quoted(line, facts->redirect, ACCESSLOG_TARGET_BYTES_MAX);
	put_quoted_word(line, facts->reason);
}

/* "Ambiguous" */
static void put_class(struct line *line, const char *class)
{
	line_put_char(line, '"');
	line_put_char(line, *class ? (char)(*class - 'a' + 'A') : '-');
	put_word(line, *class ? class + 1 : "");
	line_put_literal(line, "\" ");
}

/* The lists of AWS's have one item, too. */
static void put_alb_lists(struct line *line, const struct accesslog_facts *facts)
{
	put_quoted_word(line, facts->target_address);
	line_put_char(line, '"');
	if (facts->target_status)
		line_put_number(line, facts->target_status);
	else
		line_put_char(line, '-');
	line_put_literal(line, "\" ");
	put_class(line, facts->class);
	put_quoted_word(line, facts->class_reason);
	line_put_literal(line, "TID_");
	line_put_hex(line, facts->common->conn_id);
	line_put_char(line, ' ');
}

/* The last of the line, behind which no space is. */
static void put_alb_rewrite(struct line *line, const struct accesslog_facts *facts)
{
	put_quoted(line, facts->told_host, ACCESSLOG_TEXT_BYTES_MAX);
	put_quoted(line, facts->told_target, ACCESSLOG_TARGET_BYTES_MAX);
	line_put_char(line, '"');
	put_word(line, *facts->rewrite ? facts->rewrite : "-");
	line_put_char(line, '"');
}

static void put_alb(struct line *line, const struct accesslog_facts *facts)
{
	line->size -= END_BYTES;
	put_word(line, facts->common->type);
	line_put_char(line, ' ');
	line_put_time(line, facts->ended_unix_us);
	line_put_char(line, ' ');
	put_piece(line, facts->common, ACCESSLOG_CLIENT);
	put_alb_answer(line, facts);
	put_alb_request(line, facts);
	put_quoted(line, facts->user_agent, ACCESSLOG_TEXT_BYTES_MAX);
	put_piece(line, facts->common, ACCESSLOG_TLS);
	put_field(line, slice_of(facts->target_group));
	put_quoted(line, facts->trace_id, ACCESSLOG_TEXT_BYTES_MAX);
	put_piece(line, facts->common, ACCESSLOG_NAMES);
	put_alb_route(line, facts);
	put_alb_lists(line, facts);
	put_alb_rewrite(line, facts);
	line->size += END_BYTES;
	line_put_char(line, '\n');
}

/* --- */
void accesslog_put_line(struct line *line, const struct accesslog_facts *facts)
{
	if (facts->common->format == ACCESSLOG_ALB)
		put_alb(line, facts);
	else
		put_json(line, facts);
}

static void make_pieces(struct line *line, const struct accesslog_ends *ends,
	enum accesslog_format format, uint16_t ret_ends[ACCESSLOG_PIECES])
{
	bool is_alb = format == ACCESSLOG_ALB;

	if (is_alb)
		put_alb_client(line, ends);
	else
		put_json_client(line, ends);
	ret_ends[ACCESSLOG_CLIENT] = (uint16_t)line->len;
	if (is_alb) {
		put_field(line, slice_of(ends->tls_cipher));
		put_field(line, slice_of(ends->tls_protocol));
	} else {
		put_json_tls(line, ends);
	}
	ret_ends[ACCESSLOG_TLS] = (uint16_t)line->len;
	if (is_alb) {
		put_quoted_word(line, ends->server_name);
		put_quoted_word(line, ends->certificate);
	}
	ret_ends[ACCESSLOG_NAMES] = (uint16_t)line->len;
}

struct accesslog_common *accesslog_common_new(
	const struct accesslog_ends *ends, enum accesslog_format format)
{
	char bytes[COMMON_BYTES_MAX];
	struct line line = {.bytes = bytes, .size = sizeof(bytes)};
	uint16_t piece_ends[ACCESSLOG_PIECES];
	struct accesslog_common *common;

	make_pieces(&line, ends, format, piece_ends);
	common = malloc(sizeof(*common) + line.len);
	if (!common)
		return NULL;
	*common = (struct accesslog_common){
		.format = format,
		.type = ends->type,
		.conn_id = ends->conn_id,
		.listener_port = ends->listener_port,
	};
	memcpy(common->ends, piece_ends, sizeof(piece_ends));
	memcpy(common->bytes, bytes, line.len);
	return common;
}
