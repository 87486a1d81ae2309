/*
 * Lines of the access log: what is known of one request, as JSON or in the order of AWS's fields. Pure
 * text; nothing a client sent can end a line or a field. Any thread.
 */
#ifndef SLUICE_PROXY_ACCESSLOG_LINE_H
#define SLUICE_PROXY_ACCESSLOG_LINE_H

#include "core/line.h"
#include "net/addr.h"
#include <stdbool.h>
#include <stdint.h>

/* The order of the words in settings.def. */
enum accesslog_format { ACCESSLOG_JSON, ACCESSLOG_ALB };

enum {
	ACCESSLOG_LINE_BYTES = 50 * 1024,
	/* What is kept of texts, as they are written: */
	ACCESSLOG_TARGET_BYTES_MAX = 8 * 1024, /* path and query */
	ACCESSLOG_TEXT_BYTES_MAX = 1024,
};

/* Of a connection: the same in each of its lines. */
struct accesslog_ends {
	const char *type; /* "http", "https", "h2", "ws", "wss"; static */
	const char *listener;
	uint64_t conn_id;
	const union addr *client;
	uint16_t listener_port;
	bool is_tls, is_resumed;
	const char *tls_cipher, *tls_protocol, *server_name, *certificate, *ja4; /* "": none */
};

enum accesslog_piece {
	ACCESSLOG_CLIENT, /* to the listener's port, or the client's */
	ACCESSLOG_TLS,    /* in JSON to the end of the line */
	ACCESSLOG_NAMES,  /* server name and certificate: where they are apart from the rest */
	ACCESSLOG_PIECES,
};

/* The same as text, made once. */
struct accesslog_common {
	enum accesslog_format format;
	const char *type;
	uint64_t conn_id;
	uint16_t listener_port;
	uint16_t ends[ACCESSLOG_PIECES]; /* in `bytes` */
	char bytes[];
};

/* Of a request. Empty slices: there is none. */
struct accesslog_facts {
	const struct accesslog_common *common;
	uint64_t ended_unix_us, began_unix_us;
	uint64_t duration_us;
	int64_t request_us, target_us,
		response_us; /* as AWS splits it; -1: it did not come to that */
	bool has_request; /* method to version are set */
	struct slice method, scheme, authority, target;
	const char *version; /* "HTTP/1.1" */
	struct slice user_agent, trace_id, request_id;
	uint16_t status, target_status; /* 0: none */
	uint64_t bytes_in, bytes_out;
	const char *target_address, *target_group; /* "": none */
	uint32_t tries;
	const char *rule; /* "": none was found */
	int32_t priority; /* 0: the default; -1: none was found */
	const char *action; /* "forward"; "": none */
	struct slice redirect;
	struct slice told_host, told_target; /* what a rule's rewrite made of them */
	const char *rewrite; /* what came of it, in AWS's words; "": there was none */
	const char *class, *class_reason; /* of http/desync.h; "": nothing was found */
	const char *reason; /* why it was refused, or not brought to its end; "": it was */
};

/* For free(). NULL: there is no memory. */
struct accesslog_common *accesslog_common_new(
	const struct accesslog_ends *ends, enum accesslog_format format);
/* With its end. */
void accesslog_put_line(struct line *line, const struct accesslog_facts *facts);

#endif
