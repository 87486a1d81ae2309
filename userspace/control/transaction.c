/* A change of objects, all or nothing: see transaction.h. */
#define LOG_MODULE "objects"
#include "control/transaction.h"

#include "core/clock.h"
#include "core/log.h"
#include "core/mem.h"
#include "tls/cert.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHANGES_TOLD_MAX = 100 };

struct change_request *change_request_new(void)
{
	return mem_zalloc(sizeof(struct change_request));
}

struct change *change_request_add(
	struct change_request *request, enum change_op op, const char *kind, const char *name)
{
	struct change *change;

	request->changes =
		mem_realloc(request->changes, (request->n + 1) * sizeof(request->changes[0]));
	change = &request->changes[request->n++];
	*change = (struct change){.op = op, .kind = mem_strdup(kind), .name = mem_strdup(name)};
	return change;
}

void change_request_free(struct change_request *request)
{
	if (!request)
		return;
	for (size_t i = 0; i < request->n; i++) {
		free(request->changes[i].kind);
		free(request->changes[i].name);
		free(request->changes[i].if_match);
	}
	free(request->changes);
	yyjson_doc_free(request->doc);
	if (request->received) {
		explicit_bzero(request->received, request->received_bytes);
		free(request->received);
	}
	if (request->body)
		mem_secret_free(request->body, request->body_bytes);
	free(request->if_match);
	free(request);
}

bool transaction_refuse(struct transaction *transaction, unsigned int http_status, const char *code,
	const char *format, ...)
{
	struct change_refusal *refusal = &transaction->refusal;
	va_list args;

	refusal->http_status = http_status;
	refusal->code = code;
	va_start(args, format);
	vsnprintf(refusal->text.text, sizeof(refusal->text.text), format, args);
	va_end(args);
	return false;
}

/* --- making it */

/* Before the first version there was the file alone. */
static bool find_target(struct transaction *transaction)
{
	const struct version *list;
	uint64_t head = versions_head(transaction->store->versions);
	size_t n;

	transaction->rollback_to = transaction->request->rollback_to;
	if (!transaction->request->to_previous)
		return true;
	list = versions_list(transaction->store->versions, &n);
	if (n < 2 && head > 1)
		return transaction_refuse(transaction, 404, "not_found",
			"there is no version before %" PRIu64 " (any more): say which one (0: the "
			"file alone)",
			head);
	transaction->rollback_to = n < 2 ? 0 : list[n - 2].number;
	return true;
}

static bool roll_back(struct transaction *transaction)
{
	struct object_set old = {0};
	struct err err;
	uint64_t to;
	int r;

	if (!find_target(transaction))
		return false;
	to = transaction->rollback_to;
	r = to ? versions_read(transaction->store->versions, to, &old, &err) : 0;
	if (r < 0)
		return transaction_refuse(transaction, r == -ENOENT ? 404 : 500,
			r == -ENOENT ? "not_found" : "damaged", "%s", err.text);
	object_set_fini(&transaction->set);
	transaction->set = old;
	return true;
}

static bool is_expected_version(struct transaction *transaction)
{
	char etag[32];

	snprintf(etag, sizeof(etag), "v%" PRIu64, versions_head(transaction->store->versions));
	if (!transaction->request->if_match || strcmp(transaction->request->if_match, "*") == 0 ||
		strcmp(transaction->request->if_match, etag) == 0)
		return true;
	return transaction_refuse(transaction, 412, "precondition_failed",
		"version %" PRIu64 " is in force meanwhile",
		versions_head(transaction->store->versions));
}

bool transaction_make(struct transaction *transaction)
{
	const struct change_request *request = transaction->request;
	bool goes_on;

	object_set_copy(&transaction->set, &transaction->store->set);
	goes_on = is_expected_version(transaction);
	if (goes_on && request->is_rollback)
		goes_on = roll_back(transaction);
	for (size_t i = 0; i < request->n && goes_on; i++)
		goes_on = transaction_change(transaction, &request->changes[i]);
	if (goes_on && transaction->set.n > OBJECTS_MAX)
		goes_on = transaction_refuse(transaction, 422, "too_many",
			"more than %d objects: certificates may lie in a directory instead",
			OBJECTS_MAX);
	transaction->is_unchanged =
		goes_on && object_set_eq(&transaction->set, &transaction->store->set);
	return goes_on;
}

/* --- what is told about it */

static void put_fingerprint(
	yyjson_mut_doc *doc, yyjson_mut_val *row, const struct build *build, const char *name)
{
	struct cert_description texts;

	for (uint32_t i = 0; i < build->config->certificates_count; i++) {
		if (strcmp(build->config->certificates[i].name, name) != 0 || !build->certs[i].cert)
			continue;
		cert_describe(build->certs[i].cert, &texts);
		yyjson_mut_obj_add_strcpy(doc, row, "fingerprint", texts.fingerprint_sha256);
		cert_description_fini(&texts);
	}
}

static void put_row(yyjson_mut_doc *doc, yyjson_mut_val *list, const char *op,
	const struct object *object, const struct build *build)
{
	yyjson_mut_val *row;

	if (yyjson_mut_arr_size(list) == CHANGES_TOLD_MAX)
		return;
	row = yyjson_mut_arr_add_obj(doc, list);
	yyjson_mut_obj_add_str(doc, row, "op", op);
	yyjson_mut_obj_add_strcpy(doc, row, "kind", object->kind);
	yyjson_mut_obj_add_strcpy(doc, row, "name", object->name);
	if (strcmp(object->kind, "certificates") == 0)
		put_fingerprint(doc, row, build, object->name);
}

static int compare(const struct object *a, const struct object *b)
{
	int order = strcmp(a->kind, b->kind);

	return order ? order : strcmp(a->name, b->name);
}

/* Both sets are sorted alike. */
static char *list_differences(
	const struct object_set *old, const struct object_set *new, const struct build *build)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *list = yyjson_mut_arr(doc);
	size_t i = 0, j = 0;
	char *text;

	while (i < old->n || j < new->n) {
		int order = i == old->n   ? 1
			    : j == new->n ? -1
					  : compare(&old->items[i], &new->items[j]);

		if (order < 0)
			put_row(doc, list, "delete", &old->items[i++], build);
		else if (order > 0)
			put_row(doc, list, "add", &new->items[j++], build);
		else if (strcmp(old->items[i++].text, new->items[j++].text) != 0)
			put_row(doc, list, "change", &new->items[j - 1], build);
	}
	text = yyjson_mut_val_write(list, 0, NULL);
	yyjson_mut_doc_free(doc);
	return text ? text : mem_strdup("[]");
}

bool transaction_keep(struct transaction *transaction, const struct build *build)
{
	const struct change_request *request = transaction->request;
	struct err err;
	int r;

	transaction->about = (struct version){
		.at_unix_s = clock_unix_s(),
		.uid = request->uid,
		.pid = request->pid,
		.is_rollback = request->is_rollback,
		.rollback_to = transaction->rollback_to,
		.changes = list_differences(&transaction->store->set, &transaction->set, build),
	};
	snprintf(transaction->about.who, sizeof(transaction->about.who), "%s", request->who);
	if (request->how.dry_run)
		return true;
	r = versions_prepare(
		transaction->store->versions, &transaction->about, &transaction->set, &err);
	if (r == 0)
		return true;
	return transaction_refuse(transaction, r == -EBUSY ? 409 : 507, "not_kept",
		"%s: nothing was changed", err.text);
}

void transaction_abandon(struct transaction *transaction)
{
	versions_abandon(transaction->store->versions);
}

void transaction_fini(struct transaction *transaction)
{
	object_set_fini(&transaction->set);
	free(transaction->about.changes);
}
