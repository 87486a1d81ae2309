/*
 * Deny and allow lists in the admin API, changing: POST /v1/deny, /v1/deny/import, /v1/deny/hits.
 * All of a change or nothing; the answer comes when it is in force. Control thread.
 */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "core/clock.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { EXPIRY_S_MAX = 10 * 365 * 24 * 60 * 60 };

/* A change under way. */
struct changing {
	struct lists_request request;
	struct admin_reply *reply;
	struct lists *lists;
	enum list_kind kind;
	size_t added, deleted;
	bool is_import;
};

static void refuse(struct admin_reply *reply, int code, const char *text)
{
	switch (code) {
	case -ENOENT:
		admin_reply_error(reply, 404, "not_listed", "%s; nothing was changed", text);
		break;
	case -EPERM:
		admin_reply_error(reply, 409, "listed_by_config", "%s; nothing was changed", text);
		break;
	case -EAGAIN:
	case -EBUSY:
		admin_reply_error(reply, 503, "busy", "%s; nothing was changed", text);
		break;
	case -EINVAL:
	case -E2BIG:
		admin_reply_error(reply, 422, "list_invalid", "%s", text);
		break;
	default:
		admin_reply_error(reply, 500, "internal", "%s; nothing was changed", text);
	}
}

static void changed(struct lists_request *request, int code, const char *text)
{
	struct changing *changing = container_of(request, struct changing, request);
	yyjson_mut_doc *doc;
	struct view root;

	if (code < 0) {
		refuse(changing->reply, code, text);
		free(changing);
		return;
	}
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	view_text(&root, "result", "applied");
	view_text(&root, "list", lists_kind_name(changing->kind));
	if (changing->is_import) {
		struct lists_report report;

		lists_report(changing->lists, &report);
		view_number(&root, "entries", report.counts[changing->kind][LIST_FROM_API]);
	} else {
		view_number(&root, "added", changing->added);
		view_number(&root, "deleted", changing->deleted);
	}
	admin_reply_finish(changing->reply, 200, doc);
	free(changing);
}

static struct changing *changing_new(
	struct daemon *daemon, enum list_kind kind, struct admin_reply *reply)
{
	struct changing *changing = mem_zalloc(sizeof(*changing));

	changing->request.done = changed;
	changing->reply = reply;
	changing->lists = daemon->lists;
	changing->kind = kind;
	return changing;
}

/* --- adding and removing */

/* What the body says. */
struct wish {
	enum list_kind kind;
	struct lists_change *changes;
	size_t count, added;
};

static int read_prefix(yyjson_val *value, struct dp_prefix *ret_prefix, struct err *err)
{
	if (!yyjson_is_str(value))
		return err_set(err, -EINVAL, "a prefix is a string such as \"192.0.2.0/24\"");
	return dp_prefix_parse(
		(struct slice){yyjson_get_str(value), yyjson_get_len(value)}, ret_prefix, err);
}

static int read_expiry(yyjson_val *value, int64_t *ret_unix_s, struct err *err)
{
	if (!value || yyjson_is_null(value))
		return 0;
	if (!yyjson_is_uint(value) || yyjson_get_uint(value) == 0 ||
		yyjson_get_uint(value) > EXPIRY_S_MAX)
		return err_set(err, -EINVAL,
			"expires_in_s is a number of seconds, 1 to %d (ten years)", EXPIRY_S_MAX);
	*ret_unix_s = clock_unix_s() + (int64_t)yyjson_get_uint(value);
	return 0;
}

static int check_members(yyjson_val *object, const char *names, struct err *err)
{
	yyjson_val *key, *value;
	size_t i, n;

	yyjson_obj_foreach(object, i, n, key, value)
	{
		if (!admin_word_is_listed(slice_of(yyjson_get_str(key)), names))
			return err_set(err, -EINVAL, "\"%.64s\" is not a member; there is: %s",
				yyjson_get_str(key), names);
	}
	return 0;
}

/* "192.0.2.0/24" or {"prefix": "192.0.2.0/24", "expires_in_s": 3600}. */
static int read_addition(yyjson_val *item, struct lists_change *change, struct err *err)
{
	int rc;

	if (!yyjson_is_obj(item))
		return read_prefix(item, &change->prefix, err);
	rc = check_members(item, "prefix expires_in_s", err);
	if (rc == 0)
		rc = read_prefix(yyjson_obj_get(item, "prefix"), &change->prefix, err);
	if (rc == 0)
		rc = read_expiry(
			yyjson_obj_get(item, "expires_in_s"), &change->expires_unix_s, err);
	return rc;
}

static int read_items(yyjson_val *list, bool del, struct wish *wish, struct err *err)
{
	struct lists_change *change;
	yyjson_val *item;
	size_t i, n;
	int rc = 0;

	if (!list)
		return 0;
	if (!yyjson_is_arr(list))
		return err_set(err, -EINVAL, "add and del are lists");
	yyjson_arr_foreach(list, i, n, item)
	{
		if (wish->count == LISTS_MAX_CHANGES)
			return err_set(err, -E2BIG,
				"more than %d changes at once: import a list instead",
				LISTS_MAX_CHANGES);
		change = &wish->changes[wish->count++];
		*change = (struct lists_change){.kind = wish->kind, .del = del};
		rc = del ? read_prefix(item, &change->prefix, err)
			 : read_addition(item, change, err);
		if (rc)
			break;
	}
	return rc;
}

static int read_wish(yyjson_val *root, struct wish *wish, struct err *err)
{
	yyjson_val *list = yyjson_obj_get(root, "list");
	int rc = check_members(root, "list add del", err);

	if (rc)
		return rc;
	if (yyjson_equals_str(list, "allow"))
		wish->kind = LIST_ALLOW;
	else if (list && !yyjson_equals_str(list, "deny"))
		return err_set(err, -EINVAL, "list is \"deny\" or \"allow\"");
	rc = read_items(yyjson_obj_get(root, "add"), false, wish, err);
	wish->added = wish->count;
	if (rc == 0)
		rc = read_items(yyjson_obj_get(root, "del"), true, wish, err);
	if (rc == 0 && wish->count == 0)
		rc = err_set(err, -EINVAL, "nothing to add and nothing to remove");
	return rc;
}

static void apply_wish(struct daemon *daemon, const struct wish *wish, struct admin_reply *reply)
{
	struct changing *changing = changing_new(daemon, wish->kind, reply);
	struct err err;
	int rc;

	changing->added = wish->added;
	changing->deleted = wish->count - wish->added;
	rc = lists_change(daemon->lists, wish->changes, wish->count, &changing->request, &err);
	if (rc < 0) {
		free(changing);
		refuse(reply, rc, err.text);
	}
}

void view_lists_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct wish wish = {.kind = LIST_DENY};
	yyjson_doc *doc;
	struct err err;

	if (!view_lists_there(daemon, reply))
		return;
	doc = yyjson_read(call->body.ptr, call->body.len, 0);
	if (!yyjson_is_obj(yyjson_doc_get_root(doc))) {
		admin_reply_error(reply, 400, "bad_request",
			"the body is a JSON object: {\"list\": \"deny\", \"add\": [...], \"del\": "
			"[...]}");
	} else {
		wish.changes = mem_alloc(LISTS_MAX_CHANGES * sizeof(*wish.changes));
		if (read_wish(yyjson_doc_get_root(doc), &wish, &err) < 0)
			admin_reply_error(
				reply, 422, "list_invalid", "%s; nothing was changed", err.text);
		else
			apply_wish(daemon, &wish, reply);
		free(wish.changes);
	}
	yyjson_doc_free(doc);
}

/* --- importing, counting */

void view_lists_import(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	struct slice body = call->body;
	struct changing *changing;
	enum list_kind kind;
	size_t received;
	char *text;

	if (!view_lists_there(daemon, reply) || !view_list_kind(call->query, reply, &kind))
		return;
	text = admin_reply_take_request(reply, &received);
	memmove(text, body.ptr, body.len);
	changing = changing_new(daemon, kind, reply);
	changing->is_import = true;
	lists_import(daemon->lists, kind, text, body.len, &changing->request);
}

void view_lists_hits(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	yyjson_mut_doc *doc;
	struct view root;
	bool on = false;

	if (!view_lists_there(daemon, reply))
		return;
	if (admin_query_flag(call->query, "on", &on) <= 0) {
		admin_reply_error(reply, 400, "bad_request", "on is 1 or 0");
		return;
	}
	lists_hits_set(daemon->lists, on);
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	view_bool(&root, "hits_counted", on);
	admin_reply_finish(reply, 200, doc);
}
