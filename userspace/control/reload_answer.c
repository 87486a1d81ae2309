/* What is told about a reload or transaction, to the log and to whoever asked: see reload_parts.h. */
#define LOG_MODULE "reload"
#include "control/reload_parts.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char *error_lines(struct config_errors *errors)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return mem_strdup("out of memory");
	config_errors_print(errors, out);
	fclose(out);
	return text;
}

static void log_lines(const char *lines)
{
	const char *end;

	for (; *lines; lines = *end ? end + 1 : end) {
		end = strchrnul(lines, '\n');
		log_error("%.*s", (int)(end - lines), lines);
	}
}

/* `lines` NULL: all is well. */
static void note_result(struct daemon *daemon, bool is_refused, const char *lines)
{
	struct last_reload *last = &daemon->last_reload;

	last->at_unix_s = clock_unix_s();
	last->refused = is_refused;
	snprintf(last->error, sizeof(last->error), "%.*s",
		lines ? (int)(strchrnul(lines, '\n') - lines) : 0, lines ? lines : "");
}

/* A transaction that is refused changes nothing and is told to whoever asked; a file that is bad
 * stays bad, and others must know. */
static void tell_errors(struct reload *reload)
{
	char *lines = error_lines(&reload->errors);

	if (!reload->how.dry_run && !reload->request) {
		log_error("refused, nothing has changed: %u error(s) in %s",
			config_errors_total(&reload->errors), reload->daemon->config_path);
		log_lines(lines);
		note_result(reload->daemon, true, lines);
	}
	if (reload->reply)
		admin_reply_refused(reload->reply, lines);
	free(lines);
}

void reload_tell_refused(struct reload *reload)
{
	const struct change_refusal *refusal = &reload->transaction.refusal;

	if (refusal->http_status)
		admin_reply_error(reload->reply, refusal->http_status, refusal->code, "%s",
			refusal->text.text);
	else
		tell_errors(reload);
}

void reload_tell_stopping(struct reload *reload)
{
	if (reload->reply)
		admin_reply_error(reload->reply, 503, "stopping", "the daemon is stopping");
}

/* --- transactions */

static void put_changes(yyjson_mut_doc *doc, const char *changes)
{
	yyjson_doc *list = yyjson_read(changes, strlen(changes), 0);

	yyjson_mut_obj_add_val(doc, yyjson_mut_doc_get_root(doc), "changes",
		yyjson_val_mut_copy(doc, yyjson_doc_get_root(list)));
	yyjson_doc_free(list);
}

/* The ETag of the one object that was changed and is there; else of the version. */
static void set_etag(const struct reload *reload, uint64_t version)
{
	const struct change_request *request = reload->request;
	const struct object_row *row = NULL;
	char etag[32];

	if (request->n == 1)
		row = object_rows_find(
			reload->how.dry_run ? &reload->rows : &reload->daemon->objects.rows,
			request->changes[0].kind, request->changes[0].name);
	snprintf(etag, sizeof(etag), "v%" PRIu64, version);
	admin_reply_set_etag(reload->reply, row ? row->etag : etag);
}

static void tell_transaction(struct reload *reload)
{
	const struct transaction *transaction = &reload->transaction;
	struct daemon *daemon = reload->daemon;
	uint64_t version = daemon->objects.head;
	yyjson_mut_doc *doc = admin_doc_new();
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);

	yyjson_mut_obj_add_str(doc, root, "result",
		reload->how.dry_run         ? "valid"
		: transaction->is_unchanged ? "unchanged"
					    : "applied");
	yyjson_mut_obj_add_uint(doc, root, "version", version);
	yyjson_mut_obj_add_uint(doc, root, "generation", daemon->build->generation);
	put_changes(doc, transaction->about.changes ? transaction->about.changes : "[]");
	set_etag(reload, version);
	admin_reply_finish(reload->reply, 200, doc);
}

/* In force, but a restart would not know: worse than a refusal, and said so. */
static void tell_not_kept(struct reload *reload)
{
	log_error("version %" PRIu64
		  " is in force, but a restart will bring back the one before: %s",
		reload->daemon->objects.head, reload->commit_err.text);
	admin_reply_error(reload->reply, 500, "not_kept",
		"the change is in force, but a restart would bring back what was before: %s",
		reload->commit_err.text);
}

/* No refusal: whoever believed that would send it again. */
static void tell_lists_not_changed(struct reload *reload)
{
	yyjson_mut_val *root, *error;
	yyjson_mut_doc *doc;
	struct err text;

	err_set(&text, 0,
		"everything is in force but the deny and allow lists, which are as before and "
		"will be tried again: %s",
		reload->lists_text);
	log_error("%s", text.text);
	if (!reload->request)
		note_result(reload->daemon, false, text.text);
	if (!reload->reply)
		return;
	doc = admin_doc_new();
	root = yyjson_mut_doc_get_root(doc);
	error = yyjson_mut_obj_add_obj(doc, root, "error");
	yyjson_mut_obj_add_str(doc, error, "code", "lists_not_changed");
	yyjson_mut_obj_add_strcpy(doc, error, "message", text.text);
	if (reload->request) {
		yyjson_mut_obj_add_uint(doc, root, "version", reload->daemon->objects.head);
		set_etag(reload, reload->daemon->objects.head);
	}
	yyjson_mut_obj_add_uint(doc, root, "generation", reload->daemon->build->generation);
	admin_reply_finish(reload->reply, 500, doc);
}

static void log_version(const struct reload *reload)
{
	const struct transaction *transaction = &reload->transaction;

	char who[VERSION_WHO_BYTES];

	snprintf(
		who, sizeof(who), "uid %u, pid %d", transaction->about.uid, transaction->about.pid);
	log_info("version %" PRIu64 " of the objects is in force (generation %llu), asked for by "
		 "%s: %.400s",
		reload->daemon->objects.head, (unsigned long long)reload->daemon->build->generation,
		transaction->about.who[0] ? transaction->about.who : who,
		transaction->about.changes);
}

static void tell_change_done(struct reload *reload)
{
	bool is_kept = !reload->commit_err.text[0];

	if (!reload->how.dry_run && !reload->transaction.is_unchanged)
		log_version(reload);
	if (!is_kept)
		tell_not_kept(reload);
	else if (reload->lists_code < 0)
		tell_lists_not_changed(reload);
	else
		tell_transaction(reload);
}

/* --- both */

void reload_tell_done(struct reload *reload)
{
	struct daemon *daemon = reload->daemon;

	if (reload->request) {
		tell_change_done(reload);
		return;
	}
	if (!reload->how.dry_run) {
		note_result(daemon, false, NULL);
		log_info("generation %llu is in force",
			(unsigned long long)daemon->build->generation);
	}
	if (reload->lists_code < 0)
		tell_lists_not_changed(reload);
	else if (reload->reply)
		admin_reply_reloaded(reload->reply, reload->how.dry_run, daemon->build->generation);
}
