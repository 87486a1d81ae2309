/* Contents of a change (certificates, keys, CAs) on their way to disk: see transaction.h. Loader thread. */
#include "control/transaction.h"

#include "core/base64.h"
#include "core/mem.h"

#include <errno.h>
#include <string.h>

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

yyjson_mut_val *transaction_contents(
	struct transaction *transaction, const struct change *change, yyjson_mut_doc *doc)
{
	struct keeping keeping = {transaction, doc, change->kind, change->name};

	return keep(&keeping, change->settings, 0);
}
