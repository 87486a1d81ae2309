/* One change after the other of a transaction: see transaction.h. Loader thread. */
#include "control/transaction.h"

#include "control/object_kinds.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- conditions */

static bool is_as_expected(struct transaction *transaction, const struct change *change)
{
	const struct object_row *row =
		object_rows_find(&transaction->store->rows, change->kind, change->name);

	if (change->is_new && row)
		return transaction_refuse(transaction, 412, "precondition_failed",
			"object %s/%s is there already", change->kind, change->name);
	if (change->if_match && !row)
		return transaction_refuse(transaction, 412, "precondition_failed",
			"there is no object %s/%s", change->kind, change->name);
	if (change->if_match && strcmp(change->if_match, "*") != 0 &&
		strcmp(change->if_match, row->etag) != 0)
		return transaction_refuse(transaction, 412, "precondition_failed",
			"object %s/%s has been changed: its ETag is \"%s\" now", change->kind,
			change->name, row->etag);
	return true;
}

/* --- operations */

static bool put_settings(
	struct transaction *transaction, const struct change *change, yyjson_mut_val *settings)
{
	const struct object_kind *kind = object_kind_find(change->kind);
	yyjson_mut_val *name = kind->is_section ? NULL : yyjson_mut_obj_get(settings, "name");

	if (name && !yyjson_mut_equals_str(name, object_kind_last(kind, change->name)))
		return transaction_refuse(transaction, 422, "object_invalid",
			"object %s/%s: its name in the settings is another", change->kind,
			change->name);
	if (name)
		yyjson_mut_obj_remove_key(settings, "name");
	object_set_put(&transaction->set, change->kind, change->name, object_text(settings));
	return true;
}

static bool put(struct transaction *transaction, const struct change *change)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *settings = transaction_contents(transaction, change, doc);
	bool done = settings && put_settings(transaction, change, settings);

	yyjson_mut_doc_free(doc);
	return done;
}

static yyjson_mut_val *read_text(yyjson_mut_doc *doc, const char *text)
{
	yyjson_doc *old = yyjson_read(text, strlen(text), 0);
	yyjson_mut_val *settings = yyjson_val_mut_copy(doc, yyjson_doc_get_root(old));

	yyjson_doc_free(old);
	return settings;
}

static yyjson_mut_val *settings_now(
	yyjson_mut_doc *doc, const struct object_set *set, const char *kind, const char *name)
{
	const struct object *object = object_set_find(set, kind, name);

	return object ? read_text(doc, object->text) : NULL;
}

/* A patch of a patch: `null` stays, as it takes away what the file says. */
static void merge_patches(yyjson_mut_doc *doc, yyjson_mut_val *old, yyjson_mut_val *new)
{
	yyjson_mut_val *key, *value, *target;
	size_t i, n;

	yyjson_mut_obj_foreach(new, i, n, key, value)
	{
		target = yyjson_mut_obj_getn(old, yyjson_mut_get_str(key), yyjson_mut_get_len(key));
		if (yyjson_mut_is_obj(target) && yyjson_mut_is_obj(value))
			merge_patches(doc, target, value);
		else
			yyjson_mut_obj_put(old, yyjson_mut_val_mut_copy(doc, key),
				yyjson_mut_val_mut_copy(doc, value));
	}
}

/* An object of some kinds is a patch itself, of the file's: see object_kinds.h. */
static yyjson_mut_val *merge(
	yyjson_mut_doc *doc, const char *kind, yyjson_mut_val *old, yyjson_mut_val *new)
{
	if (!old)
		return new;
	if (!object_kind_find(kind)->is_patch)
		return yyjson_mut_merge_patch(doc, old, new);
	merge_patches(doc, old, new);
	return old;
}

/* What a patch is one of: what the API made; else, where that would take the place of the file's, all
 * that the file says. NULL: there is nothing. */
static yyjson_mut_val *patched_settings(
	const struct transaction *transaction, const struct change *change, yyjson_mut_doc *doc)
{
	yyjson_mut_val *old = settings_now(doc, &transaction->set, change->kind, change->name);
	const struct object_row *row;

	if (old || object_kind_find(change->kind)->is_patch)
		return old;
	row = object_rows_find(&transaction->store->rows, change->kind, change->name);
	if (!row || row->origin == OBJECT_FROM_API)
		return NULL;
	return read_text(doc, row->alone ? row->alone : row->text);
}

static bool patch(struct transaction *transaction, const struct change *change)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *old = patched_settings(transaction, change, doc);
	yyjson_mut_val *new = transaction_contents(transaction, change, doc);
	bool done = false;

	if (!old && !object_kind_find(change->kind)->is_patch)
		transaction_refuse(transaction, 404, "not_found",
			"there is no object %s/%s: put it whole", change->kind, change->name);
	else if (new)
		done = put_settings(transaction, change, merge(doc, change->kind, old, new));
	yyjson_mut_doc_free(doc);
	return done;
}

/* What was made below an object goes with it, unless the file has one of its name, too. */
static void delete_children(struct transaction *transaction, const struct change *change)
{
	const struct object_row *row =
		object_rows_find(&transaction->store->rows, change->kind, change->name);
	struct object_set *set = &transaction->set;
	size_t len = strlen(change->name), i = 0;

	if (row && row->origin != OBJECT_FROM_API)
		return;
	while (i < set->n) {
		const struct object_kind *kind = object_kind_find(set->items[i].kind);

		if (kind && kind->parent && strcmp(kind->parent, change->kind) == 0 &&
			strncmp(set->items[i].name, change->name, len) == 0 &&
			set->items[i].name[len] == '/')
			object_set_remove(set, kind->name, set->items[i].name);
		else
			i++;
	}
}

static bool delete(struct transaction *transaction, const struct change *change)
{
	const struct object_row *row;

	if (object_set_remove(&transaction->set, change->kind, change->name)) {
		delete_children(transaction, change);
		return true;
	}
	row = object_rows_find(&transaction->store->rows, change->kind, change->name);
	if (row && row->origin == OBJECT_FROM_PARENT)
		return transaction_refuse(transaction, 409, "in_parent",
			"%s/%s is in the settings of the object it belongs to: change that",
			change->kind, change->name);
	if (row)
		return transaction_refuse(transaction, 409, "from_file",
			"object %s/%s is from %s: delete it there, and reload", change->kind,
			change->name, transaction->store->text.name);
	return transaction_refuse(transaction, 404, "not_found", "there is no object %s/%s",
		change->kind, change->name);
}

/* --- the certificates of a listener */

struct names {
	const char **item;
	size_t n;
};

static bool find_name(const struct names *names, const char *name, size_t *ret_at)
{
	for (*ret_at = 0; *ret_at < names->n; ++*ret_at)
		if (strcmp(names->item[*ret_at], name) == 0)
			return true;
	return false;
}

static void remove_at(struct names *names, size_t at)
{
	names->n--;
	memmove(&names->item[at], &names->item[at + 1], (names->n - at) * sizeof(names->item[0]));
}

/* Room for all that are there and all that may be added. */
static struct names names_of(const struct config_listener *listener, size_t more)
{
	struct names names = {
		.item = mem_alloc((listener->certificates_count + more + 2) * sizeof(char *))};

	for (uint32_t i = 0; i < listener->certificates_count; i++)
		names.item[names.n++] = listener->certificates[i]->name;
	return names;
}

static bool remove_names(struct transaction *transaction, const struct change *change,
	struct names *names, const char *preferred)
{
	yyjson_val *list = yyjson_obj_get(change->settings, "remove"), *item;
	size_t i, n, at;

	yyjson_arr_foreach(list, i, n, item)
	{
		const char *name = yyjson_get_str(item);

		if (!find_name(names, name, &at))
			return transaction_refuse(transaction, 404, "not_found",
				"listener %s has no certificate %s", change->name, name);
		if (at == 0 && (!preferred || strcmp(preferred, name) == 0))
			return transaction_refuse(transaction, 409, "is_default",
				"certificate %s is the default of listener %s: name another one "
				"as its default first",
				name, change->name);
		remove_at(names, at);
	}
	return true;
}

/* The default is the first one. */
static bool change_names(
	struct transaction *transaction, const struct change *change, struct names *names)
{
	const char *preferred = yyjson_get_str(yyjson_obj_get(change->settings, "default"));
	yyjson_val *list = yyjson_obj_get(change->settings, "add"), *item;
	size_t i, n, at;

	if (!remove_names(transaction, change, names, preferred))
		return false;
	yyjson_arr_foreach(list, i, n, item) if (!find_name(names, yyjson_get_str(item), &at))
		names->item[names->n++] = yyjson_get_str(item);
	if (!preferred)
		return true;
	if (find_name(names, preferred, &at))
		remove_at(names, at);
	memmove(&names->item[1], &names->item[0], names->n * sizeof(names->item[0]));
	names->item[0] = preferred;
	names->n++;
	return true;
}

static const struct config_listener *find_listener(const struct config *config, const char *name)
{
	for (uint32_t i = 0; i < config->listeners_count; i++)
		if (strcmp(config->listeners[i].name, name) == 0)
			return &config->listeners[i];
	return NULL;
}

/* As a patch of the listener that has nothing but the whole list. */
static bool use(struct transaction *transaction, const struct change *change)
{
	const struct config_listener *listener =
		find_listener(transaction->before->config, change->name);
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *settings, *list;
	struct names names;
	bool done;

	if (!listener) {
		yyjson_mut_doc_free(doc);
		return transaction_refuse(
			transaction, 404, "not_found", "there is no listener %s", change->name);
	}
	names = names_of(listener, yyjson_arr_size(yyjson_obj_get(change->settings, "add")));
	done = change_names(transaction, change, &names);
	settings = settings_now(doc, &transaction->set, change->kind, change->name);
	if (!settings)
		settings = yyjson_mut_obj(doc);
	list = yyjson_mut_arr(doc);
	for (size_t i = 0; i < names.n; i++)
		yyjson_mut_arr_add_strcpy(doc, list, names.item[i]);
	yyjson_mut_obj_put(settings, yyjson_mut_str(doc, "certificates"), list);
	if (done)
		done = put_settings(transaction, change, settings);
	free(names.item);
	yyjson_mut_doc_free(doc);
	return done;
}

/* Whether there can be an object of that kind and name. */
static bool is_possible(struct transaction *transaction, const struct change *change)
{
	const struct object_kind *kind = object_kind_find(change->kind);

	if (!kind)
		return transaction_refuse(transaction, 404, "not_found",
			"there are no objects of kind \"%s\"; there is: %s", change->kind,
			object_kinds());
	if (!object_kind_last(kind, change->name))
		return transaction_refuse(transaction, 404, "not_found",
			"\"%s\": the name of one of %s is needed in front of it, and a /",
			change->name, kind->parent);
	if (kind->is_section && !object_kind_section(slice_of(change->name)) &&
		strcmp(change->name, OBJECT_GLOBAL) != 0)
		return transaction_refuse(transaction, 404, "not_found",
			"there are no settings \"%s\"; there is: %s", change->name,
			object_kind_sections());
	return true;
}

bool transaction_change(struct transaction *transaction, const struct change *change)
{
	if (!is_possible(transaction, change) || !is_as_expected(transaction, change))
		return false;
	switch (change->op) {
	case CHANGE_PUT:
		return put(transaction, change);
	case CHANGE_PATCH:
		return patch(transaction, change);
	case CHANGE_DELETE:
		return delete (transaction, change);
	case CHANGE_MOVE:
		return transaction_move(transaction, change);
	case CHANGE_USE:
		break;
	}
	return use(transaction, change);
}
