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
#include <stdlib.h>
#include <string.h>

enum { CHANGES_MAX = 10000 };

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
	if (admin_query_flag(call->query, "dry_run", &request->how.dry_run) < 0)
		refuse(request, reply, "dry_run is 0 or 1");
	else if (view_existing(call->query, &request->how.build) < 0)
		refuse(request, reply, "existing is keep, drain or close");
	else
		return request;
	return NULL;
}

/* The body as JSON. What the connection had of it is wiped: there may be keys in it. */
static bool read_body(
	struct change_request *request, const struct admin_call *call, struct admin_reply *reply)
{
	size_t len = call->body.len;
	yyjson_read_err fault;
	char *taken;

	request->body_bytes = len + YYJSON_PADDING_SIZE;
	request->body = mem_secret_alloc(request->body_bytes);
	memcpy(request->body, call->body.ptr, len);
	explicit_bzero((char *)call->body.ptr, len);
	taken = admin_reply_take_request(reply);
	free(taken);
	request->doc = yyjson_read_opts(request->body, len, YYJSON_READ_INSITU, NULL, &fault);
	if (yyjson_is_obj(yyjson_doc_get_root(request->doc)))
		return true;
	if (request->doc)
		admin_reply_error(reply, 400, "bad_request", "the body is a JSON object");
	else
		admin_reply_error(reply, 400, "bad_request", "the body is no JSON: byte %zu: %s",
			fault.pos, fault.msg);
	change_request_free(request);
	return false;
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
	if (op != CHANGE_DELETE) {
		if (!read_body(request, call, reply))
			return;
		change->settings = yyjson_doc_get_root(request->doc);
	}
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

void view_certificate_delete(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	change_one(arg, call, reply, CHANGE_DELETE, "certificates", call->arguments[0]);
}

/* --- certificates */

static bool has_only(yyjson_val *object, const char *names)
{
	yyjson_val *key, *value;
	size_t i, n;

	yyjson_obj_foreach(
		object, i, n, key, value) if (!admin_word_is_listed(slice_of(yyjson_get_str(key)),
						      names)) return false;
	return true;
}

static bool is_text_or_absent(yyjson_val *object, const char *name)
{
	yyjson_val *value = yyjson_obj_get(object, name);

	return !value || yyjson_is_str(value);
}

static void add_content(
	yyjson_mut_doc *doc, const char *setting, const char *text, const char *more)
{
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
	yyjson_mut_val *value = yyjson_mut_obj_add_obj(doc, root, setting);
	size_t len = strlen(text);
	char *both;

	both = mem_printf(
		"%s%s%s", text, more && len && text[len - 1] != '\n' ? "\n" : "", more ? more : "");
	yyjson_mut_obj_add_strcpy(doc, value, "content", both);
	explicit_bzero(both, strlen(both));
	free(both);
}

/* {certificate, chain, key, password} as the settings of an object; NULL: it is something else. The
 * text is the request's body from then on. */
static yyjson_doc *certificate_settings(struct change_request *request, yyjson_val *root)
{
	const char *certificate = yyjson_get_str(yyjson_obj_get(root, "certificate"));
	const char *key = yyjson_get_str(yyjson_obj_get(root, "key"));
	const char *chain = yyjson_get_str(yyjson_obj_get(root, "chain"));
	const char *password = yyjson_get_str(yyjson_obj_get(root, "password"));
	yyjson_mut_doc *doc;
	char *text;
	size_t len;

	if (!certificate || !key || !has_only(root, "certificate chain key password") ||
		!is_text_or_absent(root, "chain") || !is_text_or_absent(root, "password"))
		return NULL;
	doc = admin_doc_new();
	add_content(doc, "cert", certificate, chain);
	add_content(doc, "key", key, NULL);
	if (password)
		add_content(doc, "key_password_file", password, NULL);
	text = yyjson_mut_write(doc, 0, &len);
	yyjson_mut_doc_free(doc);
	mem_secret_free(request->body, request->body_bytes);
	request->body_bytes = len + YYJSON_PADDING_SIZE;
	request->body = mem_secret_alloc(request->body_bytes);
	memcpy(request->body, text, len);
	explicit_bzero(text, len);
	free(text);
	return yyjson_read_opts(request->body, len, YYJSON_READ_INSITU, NULL, NULL);
}

void view_certificate_put(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = request_new(call, reply);
	struct change *change;
	yyjson_doc *settings;

	if (!request)
		return;
	change = change_request_add(request, CHANGE_PUT, "certificates", call->arguments[0]);
	if (!set_conditions(request, call, change, reply) || !read_body(request, call, reply))
		return;
	settings = certificate_settings(request, yyjson_doc_get_root(request->doc));
	if (!settings) {
		refuse(request, reply,
			"the body is {\"certificate\": PEM, \"key\": PEM} and may have \"chain\": "
			"PEM and \"password\"");
		return;
	}
	yyjson_doc_free(request->doc);
	request->doc = settings;
	change->settings = yyjson_doc_get_root(settings);
	reload_change(arg, reply, request);
}

static bool is_list_of_names(yyjson_val *object, const char *name)
{
	yyjson_val *list = yyjson_obj_get(object, name), *item;
	size_t i, n;

	if (list && !yyjson_is_arr(list))
		return false;
	yyjson_arr_foreach(list, i, n, item) if (!yyjson_is_str(item)) return false;
	return true;
}

void view_listener_certificates(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = request_new(call, reply);
	struct change *change;
	yyjson_val *root;

	if (!request)
		return;
	change = change_request_add(request, CHANGE_USE, "listeners", call->arguments[0]);
	if (!set_conditions(request, call, change, reply) || !read_body(request, call, reply))
		return;
	root = yyjson_doc_get_root(request->doc);
	if (!has_only(root, "add remove default") || !is_list_of_names(root, "add") ||
		!is_list_of_names(root, "remove") || !is_text_or_absent(root, "default") ||
		yyjson_obj_size(root) == 0) {
		refuse(request, reply,
			"the body is {\"add\": [NAME...], \"remove\": [NAME...], \"default\": NAME}, "
			"or a part of it");
		return;
	}
	change->settings = root;
	reload_change(arg, reply, request);
}

/* --- several at once */

static bool read_op(yyjson_val *item, enum change_op *ret_op)
{
	static const char *const words[] = {
		[CHANGE_PUT] = "put", [CHANGE_PATCH] = "patch", [CHANGE_DELETE] = "delete"};

	for (*ret_op = 0; *ret_op < array_len(words); ++*ret_op)
		if (yyjson_equals_str(yyjson_obj_get(item, "op"), words[*ret_op]))
			return true;
	return false;
}

static bool read_change(struct change_request *request, yyjson_val *item)
{
	const char *kind = yyjson_get_str(yyjson_obj_get(item, "kind"));
	const char *name = yyjson_get_str(yyjson_obj_get(item, "name"));
	const char *etag = yyjson_get_str(yyjson_obj_get(item, "if_match"));
	yyjson_val *settings = yyjson_obj_get(item, "settings");
	struct change *change;
	enum change_op op;

	if (!kind || !name || !read_op(item, &op) ||
		!has_only(item, "op kind name settings if_match") ||
		yyjson_is_obj(settings) != (op != CHANGE_DELETE) ||
		!is_text_or_absent(item, "if_match"))
		return false;
	change = change_request_add(request, op, kind, name);
	change->settings = settings;
	change->if_match = etag ? mem_strdup(etag) : NULL;
	return true;
}

static bool read_changes(struct change_request *request)
{
	yyjson_val *root = yyjson_doc_get_root(request->doc), *item;
	yyjson_val *list = yyjson_obj_get(root, "changes");
	size_t i, n;

	if (!has_only(root, "changes") || yyjson_arr_size(list) == 0 ||
		yyjson_arr_size(list) > CHANGES_MAX)
		return false;
	yyjson_arr_foreach(list, i, n, item) if (!read_change(request, item)) return false;
	return true;
}

void view_objects_change(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct change_request *request = request_new(call, reply);

	if (!request)
		return;
	if (!read_condition(call->if_match, &request->if_match)) {
		refuse(request, reply, "If-Match is the ETag of a version: \"v12\"");
		return;
	}
	if (!read_body(request, call, reply))
		return;
	if (!read_changes(request)) {
		refuse(request, reply,
			"the body is {\"changes\": [{\"op\": \"put\"|\"patch\"|\"delete\", \"kind\", "
			"\"name\", \"settings\" (not to delete), \"if_match\" (an ETag)}...]}, "
			"at most 10000");
		return;
	}
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
