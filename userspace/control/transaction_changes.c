/* One change after the other of a transaction: see transaction.h. Loader thread. */
#include "control/transaction.h"

#include "core/base64.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* --- contents */

struct keeping {
	struct transaction *transaction;
	yyjson_mut_doc *doc;
	const char *kind, *name;
};

static yyjson_mut_val *keep(struct keeping *keeping, yyjson_val *value, unsigned int depth);

static yyjson_mut_val *blob_value(struct keeping *keeping, const char *hex)
{
	yyjson_mut_val *object = yyjson_mut_obj(keeping->doc);

	yyjson_mut_obj_add_strcpy(keeping->doc, object, "blob", hex);
	return object;
}

static yyjson_mut_val *refuse(struct keeping *keeping, const char *text)
{
	transaction_refuse(keeping->transaction, 422, "object_invalid", "object %s/%s: %s",
		keeping->kind, keeping->name, text);
	return NULL;
}

/* Bytes go to disk, {"blob": SHA-256} stands for them. */
static yyjson_mut_val *keep_bytes(struct keeping *keeping, const void *bytes, size_t len)
{
	char hex[DIGEST_HEX_BYTES];
	struct err err;
	int r;

	r = versions_put_blob(keeping->transaction->store->versions, bytes, len, hex, &err);
	if (r < 0) {
		transaction_refuse(keeping->transaction, r == -EBUSY ? 409 : 507, "not_kept",
			"%s: nothing was changed", err.text);
		return NULL;
	}
	return blob_value(keeping, hex);
}

/* {"content": TEXT} */
static yyjson_mut_val *keep_content(struct keeping *keeping, yyjson_val *content)
{
	if (!yyjson_is_str(content))
		return refuse(keeping, "\"content\" is a text");
	return keep_bytes(keeping, yyjson_get_str(content), yyjson_get_len(content));
}

/* {"base64": TEXT}: what is no text, as PKCS#12. */
static yyjson_mut_val *keep_base64(struct keeping *keeping, yyjson_val *text)
{
	size_t len = yyjson_get_len(text), size = base64_decoded_max(len), decoded;
	yyjson_mut_val *kept = NULL;
	uint8_t *bytes;

	if (!yyjson_is_str(text))
		return refuse(keeping, "\"base64\" is a text");
	bytes = mem_secret_alloc(size);
	if (base64_decode(yyjson_get_str(text), len, bytes, &decoded) == 0)
		kept = keep_bytes(keeping, bytes, decoded);
	else
		refuse(keeping, "\"base64\" is no base64 (RFC 4648)");
	mem_secret_free(bytes, size);
	return kept;
}

static yyjson_mut_val *keep_blob(struct keeping *keeping, const char *hex)
{
	if (!hex || !versions_has_blob(keeping->transaction->store->versions, hex))
		return refuse(keeping, "\"blob\" is the SHA-256 of a content that is there");
	return blob_value(keeping, hex);
}

/* The path of a content is no setting: nobody would know that it is needed. */
static yyjson_mut_val *keep_text(struct keeping *keeping, yyjson_val *value)
{
	const char *path = versions_blob_path(keeping->transaction->store->versions);
	const char *text = yyjson_get_str(value);
	size_t len = strlen(path);

	if (strncmp(text, path, len) == 0 && text[len] == '/')
		return keep_blob(keeping, text + len + 1);
	return yyjson_val_mut_copy(keeping->doc, value);
}

static yyjson_mut_val *keep_object(struct keeping *keeping, yyjson_val *value, unsigned int depth)
{
	yyjson_mut_val *object, *child;
	yyjson_val *key, *item;
	size_t i, n;

	if (yyjson_obj_size(value) == 1 && yyjson_obj_get(value, "content"))
		return keep_content(keeping, yyjson_obj_get(value, "content"));
	if (yyjson_obj_size(value) == 1 && yyjson_obj_get(value, "base64"))
		return keep_base64(keeping, yyjson_obj_get(value, "base64"));
	if (yyjson_obj_size(value) == 1 && yyjson_obj_get(value, "blob"))
		return keep_blob(keeping, yyjson_get_str(yyjson_obj_get(value, "blob")));
	object = yyjson_mut_obj(keeping->doc);
	yyjson_obj_foreach(value, i, n, key, item)
	{
		child = keep(keeping, item, depth + 1);
		if (!child)
			return NULL;
		yyjson_mut_obj_add(object, yyjson_val_mut_copy(keeping->doc, key), child);
	}
	return object;
}

/* The settings as they are kept. NULL: refused. */
static yyjson_mut_val *keep(struct keeping *keeping, yyjson_val *value, unsigned int depth)
{
	yyjson_mut_val *list, *child;
	yyjson_val *item;
	size_t i, n;

	if (depth == TREE_DEPTH_MAX)
		return refuse(keeping, "nested too deeply");
	if (yyjson_is_obj(value))
		return keep_object(keeping, value, depth);
	if (yyjson_is_str(value))
		return keep_text(keeping, value);
	if (!yyjson_is_arr(value))
		return yyjson_val_mut_copy(keeping->doc, value);
	list = yyjson_mut_arr(keeping->doc);
	yyjson_arr_foreach(value, i, n, item)
	{
		child = keep(keeping, item, depth + 1);
		if (!child)
			return NULL;
		yyjson_mut_arr_append(list, child);
	}
	return list;
}

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
	yyjson_mut_val *name = yyjson_mut_obj_get(settings, "name");

	if (name && !yyjson_mut_equals_str(name, change->name))
		return transaction_refuse(transaction, 422, "object_invalid",
			"object %s/%s: its name in the settings is another", change->kind,
			change->name);
	yyjson_mut_obj_remove_key(settings, "name");
	object_set_put(&transaction->set, change->kind, change->name, object_text(settings));
	return true;
}

static bool put(struct transaction *transaction, const struct change *change)
{
	struct keeping keeping = {
		transaction, yyjson_mut_doc_new(NULL), change->kind, change->name};
	yyjson_mut_val *settings = keep(&keeping, change->settings, 0);
	bool done = settings && put_settings(transaction, change, settings);

	yyjson_mut_doc_free(keeping.doc);
	return done;
}

static yyjson_mut_val *settings_now(
	yyjson_mut_doc *doc, const struct object_set *set, const char *kind, const char *name)
{
	const struct object *object = object_set_find(set, kind, name);
	yyjson_mut_val *settings = NULL;
	yyjson_doc *old;

	if (object) {
		old = yyjson_read(object->text, strlen(object->text), 0);
		settings = yyjson_val_mut_copy(doc, yyjson_doc_get_root(old));
		yyjson_doc_free(old);
	}
	return settings;
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

/* A listener of the API is a patch itself, of the file's: see config_merge.h. */
static yyjson_mut_val *merge(
	yyjson_mut_doc *doc, const char *kind, yyjson_mut_val *old, yyjson_mut_val *new)
{
	if (!old)
		return new;
	if (strcmp(kind, "listeners") != 0)
		return yyjson_mut_merge_patch(doc, old, new);
	merge_patches(doc, old, new);
	return old;
}

static bool patch(struct transaction *transaction, const struct change *change)
{
	struct keeping keeping = {
		transaction, yyjson_mut_doc_new(NULL), change->kind, change->name};
	yyjson_mut_val *old =
		settings_now(keeping.doc, &transaction->set, change->kind, change->name);
	yyjson_mut_val *new = keep(&keeping, change->settings, 0);
	bool done = false;

	/* Of a listener that the API has not touched yet, the file's settings are changed anyway. */
	if (!old && strcmp(change->kind, "listeners") != 0)
		transaction_refuse(transaction, 404, "not_found",
			"object %s/%s was not made through the API: put it whole", change->kind,
			change->name);
	else if (new)
		done = put_settings(
			transaction, change, merge(keeping.doc, change->kind, old, new));
	yyjson_mut_doc_free(keeping.doc);
	return done;
}

static bool delete(struct transaction *transaction, const struct change *change)
{
	if (object_set_remove(&transaction->set, change->kind, change->name))
		return true;
	if (object_rows_find(&transaction->store->rows, change->kind, change->name))
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

bool transaction_change(struct transaction *transaction, const struct change *change)
{
	if (!object_kind_is_known(change->kind))
		return transaction_refuse(transaction, 404, "not_found",
			"there are no objects of kind \"%s\"; there is: %s", change->kind,
			object_kinds());
	if (!is_as_expected(transaction, change))
		return false;
	switch (change->op) {
	case CHANGE_PUT:
		return put(transaction, change);
	case CHANGE_PATCH:
		return patch(transaction, change);
	case CHANGE_DELETE:
		return delete (transaction, change);
	case CHANGE_USE:
		break;
	}
	return use(transaction, change);
}
