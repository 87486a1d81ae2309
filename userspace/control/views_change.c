/*
 * Objects in the admin API, changing: one, several at once, certificates in a form of their own, and
 * back to an older version. The answer comes when the change is in force (transaction.h). Control
 * thread.
 */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/apply.h"
#include "control/transaction.h"
#include "core/mem.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A request that cannot even be tried; it is freed. */
static void refuse(struct change_request *request, struct admin_reply *reply, const char *text)
{
	admin_reply_error(reply, 400, "bad_request", "%s", text);
	change_request_free(request);
}

/* The value of a conditional header: "*", or one entity tag without its quotes. NULL: not sent. */
static bool read_condition(struct slice header, char **ret_etag)
{
	*ret_etag = NULL;
	if (header.len == 0)
		return true;
	if (slice_eq(header, SLICE("*"))) {
		*ret_etag = mem_strdup("*");
		return true;
	}
	if (header.len < 2 || header.ptr[0] != '"' || header.ptr[header.len - 1] != '"' ||
		memchr(header.ptr + 1, '"', header.len - 2))
		return false;
	*ret_etag = mem_strndup(header.ptr + 1, header.len - 2);
	return true;
}

static struct change_request *request_new(const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = change_request_new();
	struct admin_peer peer = admin_reply_peer(reply);

	request->uid = peer.uid;
	request->pid = peer.pid;
	snprintf(request->who, sizeof(request->who), "%s", peer.who);
	if (admin_query_flag(call->query, "dry_run", &request->how.dry_run) < 0)
		refuse(request, reply, "dry_run is 0 or 1");
	else if (view_existing(call->query, &request->how.build) < 0)
		refuse(request, reply, "existing is keep, drain or close");
	else
		return request;
	return NULL;
}

/* The body is read later, by the loader thread: it may be big. */
static void take_body(struct change_request *request, const struct admin_call *call,
	struct admin_reply *reply, change_reader *read)
{
	request->unread = call->body;
	request->read = read;
	request->received = admin_reply_take_request(reply, &request->received_bytes);
}

static bool set_conditions(struct change_request *request, const struct admin_call *call,
	struct change *change, struct admin_reply *reply)
{
	bool is_good = read_condition(call->if_match, &change->if_match);

	change->is_new = slice_eq(call->if_none_match, SLICE("*"));
	if (is_good && (change->is_new || call->if_none_match.len == 0))
		return true;
	refuse(request, reply,
		"If-Match is an ETag in quotes or *, and If-None-Match is * (only if there is none)");
	return false;
}

/* --- one object */

static void change_one(struct daemon *daemon, const struct admin_call *call,
	struct admin_reply *reply, enum change_op op, const char *kind, const char *name)
{
	struct change_request *request = request_new(call, reply);
	struct change *change;

	if (!request)
		return;
	change = change_request_add(request, op, kind, name);
	if (!set_conditions(request, call, change, reply))
		return;
	if (op != CHANGE_DELETE)
		take_body(request, call, reply, change_read_settings);
	reload_change(daemon, reply, request);
}

void view_object_put(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_one(arg, call, reply, CHANGE_PUT, call->arguments[0], call->arguments[1]);
}

void view_object_patch(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_one(arg, call, reply, CHANGE_PATCH, call->arguments[0], call->arguments[1]);
}

void view_object_delete(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_one(arg, call, reply, CHANGE_DELETE, call->arguments[0], call->arguments[1]);
}

/* Of an object below another. */
static void change_child(struct daemon *daemon, const struct admin_call *call,
	struct admin_reply *reply, enum change_op op)
{
	char *name = mem_printf("%s/%s", call->arguments[1], call->arguments[2]);

	change_one(daemon, call, reply, op, call->arguments[0], name);
	free(name);
}

void view_object_child_put(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_child(arg, call, reply, CHANGE_PUT);
}

void view_object_child_patch(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_child(arg, call, reply, CHANGE_PATCH);
}

void view_object_child_delete(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_child(arg, call, reply, CHANGE_DELETE);
}

/* A change of one object whose body is of a form of its own. */
static void change_in_form(struct daemon *daemon, const struct admin_call *call,
	struct admin_reply *reply, enum change_op op, const char *kind, const char *name,
	change_reader *read)
{
	struct change_request *request = request_new(call, reply);
	struct change *change;

	if (!request)
		return;
	change = change_request_add(request, op, kind, name);
	if (!set_conditions(request, call, change, reply))
		return;
	take_body(request, call, reply, read);
	reload_change(daemon, reply, request);
}

void view_rule_move(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	char *name = mem_printf("%s/%s", call->arguments[0], call->arguments[1]);

	change_in_form(arg, call, reply, CHANGE_MOVE, "rules", name, change_read_priority);
	free(name);
}

void view_certificate_delete(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_one(arg, call, reply, CHANGE_DELETE, "certificates", call->arguments[0]);
}

void view_certificate_put(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_in_form(arg, call, reply, CHANGE_PUT, "certificates", call->arguments[0],
		change_read_certificate);
}

void view_listener_certificates(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_in_form(
		arg, call, reply, CHANGE_USE, "listeners", call->arguments[0], change_read_names);
}

/* --- several at once */

void view_objects_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = request_new(call, reply);

	if (!request)
		return;
	if (!read_condition(call->if_match, &request->if_match)) {
		refuse(request, reply, "If-Match is the ETag of a version: \"v12\"");
		return;
	}
	take_body(request, call, reply, change_read_several);
	reload_change(arg, reply, request);
}

/* The version it asks for: the one before, or "to". False: it is no number. */
static bool read_target(const struct admin_call *call, struct change_request *request)
{
	char text[24], *end;
	int given = admin_query_text(call->query, "to", text, sizeof(text));

	request->to_previous = given == 0;
	if (request->to_previous)
		return true;
	request->rollback_to = strtoull(text, &end, 10);
	return given > 0 && text[0] >= '0' && text[0] <= '9' && !*end;
}

void view_rollback(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = request_new(call, reply);

	if (!request)
		return;
	request->is_rollback = true;
	if (!read_target(call, request) || !read_condition(call->if_match, &request->if_match))
		refuse(request, reply,
			"to is the number of a version (0: the file alone), If-Match an ETag: \"v12\"");
	else
		reload_change(arg, reply, request);
}
