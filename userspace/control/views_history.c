/* Objects in the admin API, reading: what there is, from where, and the versions before. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/object_kinds.h"
#include "control/object_redact.h"
#include "core/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HISTORY_SHOWN = 100, HISTORY_MAX = 1000 };

static const char *origin_word(enum object_origin origin)
{
	static const char *const words[] = {[OBJECT_FROM_FILE] = "file",
		[OBJECT_FROM_API] = "api",
		[OBJECT_FROM_BOTH] = "both",
		[OBJECT_FROM_PARENT] = "parent",
		[OBJECT_UNUSED] = "unused"};

	return words[origin];
}

static void set_version_etag(const struct daemon *daemon, struct admin_reply *reply)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "v%" PRIu64, daemon->objects.head);
	admin_reply_set_etag(reply, etag);
}

static void put_object(const struct view *row, const struct object_row *object)
{
	view_text(row, "kind", object->kind);
	view_text(row, "name", object->name);
	view_text(row, "origin", origin_word(object->origin));
	view_text(row, "etag", object->etag);
}

void view_object_list(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	const struct object_rows *rows = &daemon->objects.rows;
	char kind[CONFIG_NAME_MAX + 1];
	struct view_list list;
	yyjson_mut_doc *doc;
	struct view root, row;
	int given = admin_query_text(call->query, "kind", kind, sizeof(kind));

	if (given < 0 || (given > 0 && !object_kind_find(kind))) {
		admin_reply_error(reply, 400, "bad_request", "kind is one of: %s", object_kinds());
		return;
	}
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	view_number(&root, "version", daemon->objects.head);
	list = view_list(&root, "objects");
	for (size_t i = 0; i < rows->n; i++) {
		if (given > 0 && strcmp(rows->items[i].kind, kind) != 0)
			continue;
		row = view_list_object(&list);
		put_object(&row, &rows->items[i]);
	}
	set_version_etag(daemon, reply);
	admin_reply_finish(reply, 200, doc);
}

/* A JSON text as a member, which is returned; NULL: null. */
static yyjson_mut_val *put_json(const struct view *view, const char *name, const char *text)
{
	yyjson_doc *doc = text ? yyjson_read(text, strlen(text), 0) : NULL;
	yyjson_mut_val *value;

	if (!doc) {
		view_null(view, name);
		return NULL;
	}
	value = yyjson_val_mut_copy(view->doc, yyjson_doc_get_root(doc));
	yyjson_mut_obj_add_val(view->doc, view->object, name, value);
	yyjson_doc_free(doc);
	return value;
}

static void put_settings(const struct view *view, const struct object_row *object,
	const char *member, const char *text, bool redact)
{
	yyjson_mut_val *settings = put_json(view, member, text);

	if (redact)
		object_redact(object->kind, object->name, settings);
}

static void show_one(const struct daemon *daemon, const struct admin_call *call, const char *name,
	struct admin_reply *reply)
{
	const char *kind = call->arguments[0];
	const struct object_row *object = object_rows_find(&daemon->objects.rows, kind, name);
	const struct object *own = object_set_find(&daemon->objects.set, kind, name);
	yyjson_mut_doc *doc;
	struct view root;

	if (!object) {
		admin_reply_error(reply, 404, "not_found", "there is no object %s/%s", kind, name);
		return;
	}
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	put_object(&root, object);
	put_settings(&root, object, "settings", object->text, call->redact);
	put_settings(&root, object, "api", own ? own->text : NULL, call->redact);
	admin_reply_set_etag(reply, object->etag);
	admin_reply_finish(reply, 200, doc);
}

void view_object_get(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	show_one(arg, call, call->arguments[1], reply);
}

void view_object_child(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	char *name = mem_printf("%s/%s", call->arguments[1], call->arguments[2]);

	show_one(arg, call, name, reply);
	free(name);
}

static void put_version(const struct version *version, uint64_t head, const struct view *row)
{
	view_number(row, "version", version->number);
	view_bool(row, "in_force", version->number == head);
	view_time(row, "at", version->at_unix_s);
	view_number(row, "uid", version->uid);
	view_signed(row, "pid", version->pid);
	view_text(row, "who", version->who[0] ? version->who : NULL);
	if (version->is_rollback)
		view_number(row, "rollback_to", version->rollback_to);
	else
		view_null(row, "rollback_to");
	view_number(row, "objects", version->n_objects);
	(void)put_json(row, "changes", version->changes);
}

/* The newest first. */
void view_history(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	uint64_t head = daemon->objects.head;
	uint32_t before = UINT32_MAX, limit = HISTORY_SHOWN;
	const struct version *versions = daemon->objects.history;
	struct view_list list;
	yyjson_mut_doc *doc;
	struct view root, row;
	size_t n = daemon->objects.n_history;

	if (admin_query_number(call->query, "before", UINT32_MAX, &before) < 0 ||
		admin_query_number(call->query, "limit", HISTORY_MAX, &limit) < 0) {
		admin_reply_error(reply, 400, "bad_request",
			"before is the number of a version, limit 1 to %d", HISTORY_MAX);
		return;
	}
	doc = admin_doc_new();
	root = (struct view){doc, yyjson_mut_doc_get_root(doc)};
	view_number(&root, "version", head);
	view_number(&root, "kept", n);
	list = view_list(&root, "versions");
	for (; n > 0 && limit > 0; n--) {
		if (versions[n - 1].number >= before)
			continue;
		row = view_list_object(&list);
		put_version(&versions[n - 1], head, &row);
		limit--;
	}
	set_version_etag(daemon, reply);
	admin_reply_finish(reply, 200, doc);
}
