/* The admin API: what answers are made of. See admin_reply.h, admin_conn.h. */
#include "control/admin_conn.h"
#include "control/admin_problem.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

enum { MESSAGE_BYTES = 1024 };

static const char json_type[] = "application/json";

void admin_reply_set_etag(struct admin_reply *reply, const char *etag)
{
	snprintf(reply->etag, sizeof(reply->etag), "%s", etag);
}

yyjson_mut_doc *admin_doc_new(void)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = doc ? yyjson_mut_obj(doc) : NULL;

	if (!root) {
		fputs("sluice: out of memory\n", stderr);
		abort();
	}
	yyjson_mut_doc_set_root(doc, root);
	return doc;
}

/* Names from certificates may be any bytes: what is not UTF-8 becomes U+FFFD instead of spoiling
 * the whole answer. */
static char *doc_write(const yyjson_mut_doc *doc, size_t *ret_len)
{
	yyjson_write_flag flags = YYJSON_WRITE_PRETTY_TWO_SPACES | YYJSON_WRITE_NEWLINE_AT_END;
	yyjson_write_err fault;
	char *text = yyjson_mut_write_opts(doc, flags, NULL, ret_len, &fault);

	if (text || fault.code != YYJSON_WRITE_ERROR_INVALID_STRING)
		return text;
	flags |= YYJSON_WRITE_ALLOW_INVALID_UNICODE | YYJSON_WRITE_ESCAPE_UNICODE;
	return yyjson_mut_write_opts(doc, flags, NULL, ret_len, &fault);
}

void admin_reply_finish(struct admin_reply *reply, unsigned int http_status, yyjson_mut_doc *doc)
{
	static const char unwritable[] = "{\"error\": {\"code\": \"internal\", \"message\": "
					 "\"the answer cannot be written as JSON\"}}\n";
	struct admin_conn *conn = reply->conn;
	const char *type = json_type;
	size_t len = 0;
	char *text;

	if (conn) {
		if (http_status >= 400 && admin_problem_complete(doc, http_status))
			type = ADMIN_PROBLEM_TYPE;
		text = doc_write(doc, &len);
		if (text)
			admin_conn_answer(conn, reply, http_status, type, text, len);
		else
			admin_conn_answer(
				conn, reply, 500, json_type, unwritable, sizeof(unwritable) - 1);
		free(text);
		admin_conn_run(conn);
	}
	yyjson_mut_doc_free(doc);
	free(reply);
}

void admin_reply_page(struct admin_reply *reply, const char *content_type, const char *more,
	const char *text, size_t len)
{
	reply->more = more;
	admin_reply_text(reply, content_type, text, len);
}

void admin_reply_text(
	struct admin_reply *reply, const char *content_type, const char *text, size_t len)
{
	struct admin_conn *conn = reply->conn;

	if (conn) {
		admin_conn_answer(conn, reply, 200, content_type, text, len);
		admin_conn_run(conn);
	}
	free(reply);
}

static yyjson_mut_val *add_error(yyjson_mut_doc *doc, const char *code, const char *message)
{
	yyjson_mut_val *error = yyjson_mut_obj_add_obj(doc, yyjson_mut_doc_get_root(doc), "error");

	yyjson_mut_obj_add_strcpy(doc, error, "code", code);
	yyjson_mut_obj_add_strcpy(doc, error, "message", message);
	return error;
}

void admin_reply_error(struct admin_reply *reply, unsigned int http_status, const char *code,
	const char *format, ...)
{
	yyjson_mut_doc *doc = admin_doc_new();
	char message[MESSAGE_BYTES];
	va_list args;

	va_start(args, format);
	vsnprintf(message, sizeof(message), format, args);
	va_end(args);
	add_error(doc, code, message);
	admin_reply_finish(reply, http_status, doc);
}

void admin_reply_reloaded(struct admin_reply *reply, bool dry_run, uint64_t generation)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

	yyjson_mut_obj_add_str(doc, root, "result", dry_run ? "valid" : "applied");
	yyjson_mut_obj_add_uint(doc, root, "generation", generation);
	admin_reply_finish(reply, 200, doc);
}

void admin_reply_refused(struct admin_reply *reply, const char *lines)
{
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *error = add_error(
		doc, "config_invalid", "the configuration has errors; nothing was changed");
	yyjson_mut_val *list = yyjson_mut_obj_add_arr(doc, error, "errors");

	while (*lines) {
		size_t len = strcspn(lines, "\n");

		if (len > 0)
			yyjson_mut_arr_add_strncpy(doc, list, lines, len);
		lines += len + (lines[len] == '\n');
	}
	admin_reply_finish(reply, 422, doc);
}

struct admin_peer admin_reply_peer(const struct admin_reply *reply)
{
	const struct admin_conn *conn = reply->conn;
	struct admin_peer peer = {.uid = UINT32_MAX};
	struct ucred facts;
	socklen_t len = sizeof(facts);

	if (conn && conn->admin->kind == ADMIN_REMOTE) {
		snprintf(peer.who, sizeof(peer.who), "%s from %s", conn->known.name, conn->address);
	} else if (conn &&
		   getsockopt(conn->front->watch.fd, SOL_SOCKET, SO_PEERCRED, &facts, &len) == 0) {
		peer.uid = facts.uid;
		peer.pid = facts.pid;
	}
	return peer;
}
