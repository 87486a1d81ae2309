/* The configuration in force as one file, and what is different between two versions. See views.h. */
#include "control/views_parts.h"

#include "control/admin_request.h"
#include "control/object_export.h"
#include "control/object_redact.h"
#include "control/openapi.h"
#include "core/mem.h"
#include "core/version.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* --- export */

static void put_header(
	const struct daemon *daemon, const struct blob_list *contents, bool redact, FILE *out)
{
	char date[32] = "";
	time_t now = time(NULL);
	struct tm utc;

	if (gmtime_r(&now, &utc))
		strftime(date, sizeof(date), "%Y-%m-%dT%H:%M:%SZ", &utc);
	fprintf(out,
		"# What was in force at %s: version %" PRIu64
		" of the objects made through the admin\n# API over %s (sluice %s). Keys and passwords "
		"are not in it; %s.\n",
		date, daemon->objects.head, daemon->config_path, SLUICE_VERSION,
		redact ? "what else may be secret is REDACTED"
		       : "values of headers, queries and the webhook are");
	if (contents->n == 0)
		return;
	fputs("# These files have contents that came through the API. They go when no version that "
	      "is kept needs\n# them: copy them, and change the paths.\n",
		out);
	for (size_t i = 0; i < contents->n; i++)
		fprintf(out, "#   %s/%s\n", versions_blob_path(daemon->objects.versions),
			contents->hex[i]);
}

static char *with_header(const struct daemon *daemon, const struct blob_list *contents, bool redact,
	const char *yaml)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		abort(); /* out of memory */
	put_header(daemon, contents, redact, out);
	fputs(yaml, out);
	fclose(out);
	return text;
}

void view_export(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	const char *blob_path = versions_blob_path(daemon->objects.versions);
	char *folder = config_folder(daemon->config_path), *yaml, *text;
	struct view root = {.doc = admin_doc_new()};
	struct view_list files;
	struct export_how how = {folder, blob_path, false};
	struct blob_list contents;

	if (admin_query_flag(call->query, "redact", &how.redact) < 0) {
		admin_reply_error(reply, 400, "bad_request", "redact is 0 or 1");
		yyjson_mut_doc_free(root.doc);
		free(folder);
		return;
	}
	how.redact |= call->redact;
	root.object = yyjson_mut_doc_get_root(root.doc);
	yaml = object_export(&daemon->objects.rows, &how, &contents);
	text = with_header(daemon, &contents, how.redact, yaml);
	view_number(&root, "version", daemon->objects.head);
	view_number(&root, "generation", daemon->build->generation);
	view_text(&root, "yaml", text);
	files = view_list(&root, "contents");
	for (size_t i = 0; i < contents.n; i++) {
		char *path = mem_printf("%s/%s", blob_path, contents.hex[i]);

		view_list_text(&files, path);
		free(path);
	}
	blob_list_fini(&contents);
	free(text);
	free(yaml);
	free(folder);
	admin_reply_finish(reply, 200, root.doc);
}

void view_openapi(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	size_t len;
	char *text = openapi_write(&len);

	admin_reply_text(reply, "application/json", text, len);
	free(text);
}

/* --- differences */

/* The versions are read on the loader thread, through a look of its own at the folder: whatever changes
 * meanwhile, it sees whole ones. */
struct diff {
	struct job job;
	struct daemon *daemon;
	struct admin_reply *reply;
	char *state_dir;
	uint64_t from, to;
	bool redact;
	struct object_set old, new;
	int code;
	struct err err;
};

static int read_one(
	struct versions *versions, uint64_t number, struct object_set *ret_set, struct err *err)
{
	if (number == 0)
		return 0; /* the file alone */
	if (!versions)
		return err_set(err, -ENOENT, "there is no version %" PRIu64, number);
	return versions_read(versions, number, ret_set, err);
}

static void read_both(struct job *job)
{
	struct diff *diff = container_of(job, struct diff, job);
	struct versions *versions = NULL;
	struct object_set head;
	struct err warning;

	diff->code = versions_peek(diff->state_dir, &versions, &head, &warning, &diff->err);
	if (diff->code == 0)
		object_set_fini(&head);
	else
		versions = NULL;
	if (diff->code == 0 || diff->code == -ENOENT)
		diff->code = read_one(versions, diff->from, &diff->old, &diff->err);
	if (diff->code == 0)
		diff->code = read_one(versions, diff->to, &diff->new, &diff->err);
	versions_free(versions);
}

static void put_side(
	const struct view *row, const char *name, const struct object *object, bool redact)
{
	yyjson_doc *doc = object ? yyjson_read(object->text, strlen(object->text), 0) : NULL;
	yyjson_mut_val *settings;

	if (!doc) {
		view_null(row, name);
		return;
	}
	settings = yyjson_val_mut_copy(row->doc, yyjson_doc_get_root(doc));
	if (redact)
		object_redact(object->kind, object->name, settings);
	yyjson_mut_obj_add_val(row->doc, row->object, name, settings);
	yyjson_doc_free(doc);
}

static void put_difference(const struct view_list *list, const struct object *old,
	const struct object *new, bool redact)
{
	const struct object *any = old ? old : new;
	struct view row = view_list_object(list);

	view_text(&row, "op", !old ? "add" : !new ? "delete" : "change");
	view_text(&row, "kind", any->kind);
	view_text(&row, "name", any->name);
	put_side(&row, "before", old, redact);
	put_side(&row, "after", new, redact);
}

static int compare(const struct object *a, const struct object *b)
{
	int order = strcmp(a->kind, b->kind);

	return order ? order : strcmp(a->name, b->name);
}

/* Both sets are sorted alike. */
static void put_differences(const struct diff *diff, const struct view_list *list)
{
	const struct object_set *old = &diff->old, *new = &diff->new;
	size_t i = 0, j = 0;

	while (i < old->n || j < new->n) {
		int order = i == old->n   ? 1
			    : j == new->n ? -1
					  : compare(&old->items[i], &new->items[j]);

		if (order < 0) {
			put_difference(list, &old->items[i++], NULL, diff->redact);
		} else if (order > 0) {
			put_difference(list, NULL, &new->items[j++], diff->redact);
		} else {
			if (strcmp(old->items[i].text, new->items[j].text) != 0)
				put_difference(list, &old->items[i], &new->items[j], diff->redact);
			i++;
			j++;
		}
	}
}

static void tell(struct job *job)
{
	struct diff *diff = container_of(job, struct diff, job);
	struct view root = {.doc = admin_doc_new()};
	struct view_list list;

	root.object = yyjson_mut_doc_get_root(root.doc);
	if (diff->code < 0) {
		yyjson_mut_doc_free(root.doc);
		admin_reply_error(diff->reply, diff->code == -ENOENT ? 404 : 500,
			diff->code == -ENOENT ? "not_found" : "damaged", "%s", diff->err.text);
	} else {
		view_number(&root, "from", diff->from);
		view_number(&root, "to", diff->to);
		list = view_list(&root, "changes");
		put_differences(diff, &list);
		admin_reply_finish(diff->reply, 200, root.doc);
	}
	object_set_fini(&diff->old);
	object_set_fini(&diff->new);
	free(diff->state_dir);
	free(diff);
}

/* The one before `number` among those that are kept; else the file. */
static uint64_t version_before(const struct object_store *store, uint64_t number)
{
	uint64_t before = 0;

	for (size_t i = 0; i < store->n_history; i++)
		if (store->history[i].number < number)
			before = store->history[i].number;
	return before;
}

/* 1, 0: it is not there, -EINVAL. */
static int read_version(struct slice query, const char *name, uint64_t *ret_number)
{
	char text[24], *end;
	int given = admin_query_text(query, name, text, sizeof(text));

	if (given <= 0)
		return given;
	*ret_number = strtoull(text, &end, 10);
	return text[0] >= '0' && text[0] <= '9' && !*end ? 1 : -EINVAL;
}

void view_diff(void *arg, const struct admin_call *call, struct admin_reply *reply)
{
	struct daemon *daemon = arg;
	uint64_t from = 0, to = daemon->objects.head;
	int has_to = read_version(call->query, "to", &to);
	int has_from = read_version(call->query, "from", &from);
	struct diff *diff;

	if (has_to < 0 || has_from < 0) {
		admin_reply_error(reply, 400, "bad_request",
			"from and to are numbers of versions (0: the file alone)");
		return;
	}
	if (daemon->stopping) { /* the loader thread takes no more jobs */
		admin_reply_error(reply, 503, "stopping", "the daemon is stopping");
		return;
	}
	diff = mem_zalloc(sizeof(*diff));
	*diff = (struct diff){.job = {.run = read_both, .done = tell},
		.daemon = daemon,
		.reply = reply,
		.state_dir = mem_strdup(daemon->build->config->state_dir_path),
		.from = has_from ? from : version_before(&daemon->objects, to),
		.to = to,
		.redact = call->redact};
	loader_submit(daemon->loader, &diff->job);
}
