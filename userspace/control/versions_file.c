/* The file of a version as text: see versions_parts.h. Pure. */
#include "control/versions_parts.h"

#include "core/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[] = "sluice objects 1 ";

enum { MAGIC_BYTES = sizeof(magic) - 1, FIRST_LINE_BYTES = MAGIC_BYTES + DIGEST_HEX_BYTES };

/* Numbers sort as names do. */
void version_name(uint64_t number, char ret_name[static VERSION_NAME_BYTES])
{
	snprintf(ret_name, VERSION_NAME_BYTES, "%010" PRIu64, number);
}

static char *write_about(const struct version_row *row, size_t *ret_len)
{
	const struct version *about = &row->about;
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *root = yyjson_mut_obj(doc), *list;
	yyjson_doc *changes = yyjson_read(about->changes, strlen(about->changes), 0);
	char *text;

	yyjson_mut_doc_set_root(doc, root);
	yyjson_mut_obj_add_uint(doc, root, "version", about->number);
	yyjson_mut_obj_add_sint(doc, root, "at", about->at_unix_s);
	yyjson_mut_obj_add_uint(doc, root, "uid", about->uid);
	yyjson_mut_obj_add_sint(doc, root, "pid", about->pid);
	if (about->who[0])
		yyjson_mut_obj_add_str(doc, root, "who", about->who);
	if (about->is_rollback)
		yyjson_mut_obj_add_uint(doc, root, "rollback_to", about->rollback_to);
	yyjson_mut_obj_add_uint(doc, root, "objects", about->n_objects);
	yyjson_mut_obj_add_val(
		doc, root, "changes", yyjson_val_mut_copy(doc, yyjson_doc_get_root(changes)));
	list = yyjson_mut_obj_add_arr(doc, root, "dropped");
	for (size_t i = 0; i < row->dropped.n; i++)
		yyjson_mut_arr_add_str(doc, list, row->dropped.hex[i]);
	text = yyjson_mut_write(doc, 0, ret_len);
	yyjson_doc_free(changes);
	yyjson_mut_doc_free(doc);
	if (!text)
		abort(); /* out of memory */
	return text;
}

char *version_write(const struct version_row *row, const struct object_set *set, size_t *ret_len)
{
	size_t about_len, objects_len, rest_len;
	char *about = write_about(row, &about_len);
	char *objects = object_set_write(set, &objects_len), *text, *rest;

	rest_len = about_len + 1 + objects_len + 1;
	text = mem_alloc(FIRST_LINE_BYTES + rest_len);
	rest = text + FIRST_LINE_BYTES;
	memcpy(rest, about, about_len);
	rest[about_len] = '\n';
	memcpy(rest + about_len + 1, objects, objects_len);
	rest[rest_len - 1] = '\n';
	memcpy(text, magic, MAGIC_BYTES);
	digest_hex(rest, rest_len, text + MAGIC_BYTES);
	text[FIRST_LINE_BYTES - 1] = '\n';
	*ret_len = FIRST_LINE_BYTES + rest_len;
	free(objects);
	free(about);
	return text;
}

static int damaged(struct err *err, const char *what)
{
	return err_set(err, -EBADMSG, "it is damaged (%s)", what);
}

static int read_dropped(yyjson_val *list, struct blob_list *dropped)
{
	yyjson_val *item;
	size_t i, n;

	if (!yyjson_is_arr(list))
		return -EBADMSG;
	yyjson_arr_foreach(list, i, n, item)
	{
		if (!yyjson_is_str(item) || !blob_list_is_name(yyjson_get_str(item)))
			return -EBADMSG;
		blob_list_add(dropped, yyjson_get_str(item));
	}
	return 0;
}

static int read_about(const char *line, size_t len, struct version_row *row)
{
	yyjson_doc *doc = yyjson_read(line, len, 0);
	yyjson_val *root = yyjson_doc_get_root(doc);
	yyjson_val *changes = yyjson_obj_get(root, "changes");
	int r = -EBADMSG;

	if (yyjson_is_arr(changes) && yyjson_is_uint(yyjson_obj_get(root, "version")) &&
		(row->about.changes = yyjson_val_write(changes, 0, NULL))) {
		row->about.number = yyjson_get_uint(yyjson_obj_get(root, "version"));
		row->about.at_unix_s = yyjson_get_sint(yyjson_obj_get(root, "at"));
		row->about.uid = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "uid"));
		row->about.pid = (int32_t)yyjson_get_sint(yyjson_obj_get(root, "pid"));
		snprintf(row->about.who, sizeof(row->about.who), "%s",
			yyjson_get_str(yyjson_obj_get(root, "who")) ?: "");
		row->about.is_rollback = yyjson_obj_get(root, "rollback_to");
		row->about.rollback_to = yyjson_get_uint(yyjson_obj_get(root, "rollback_to"));
		row->about.n_objects = (uint32_t)yyjson_get_uint(yyjson_obj_get(root, "objects"));
		r = read_dropped(yyjson_obj_get(root, "dropped"), &row->dropped);
	}
	yyjson_doc_free(doc);
	return r;
}

static int check_digest(const char *text, size_t len, struct err *err)
{
	char hex[DIGEST_HEX_BYTES];

	digest_hex(text + FIRST_LINE_BYTES, len - FIRST_LINE_BYTES, hex);
	if (memcmp(hex, text + MAGIC_BYTES, DIGEST_HEX_BYTES - 1) != 0)
		return damaged(err, "its digest is another");
	return 0;
}

int version_parse(const char *text, size_t len, bool is_whole, struct version_row *ret_row,
	struct object_set *ret_set, struct err *err)
{
	const char *about = text + FIRST_LINE_BYTES, *end;
	size_t objects_len;

	*ret_row = (struct version_row){0};
	if (len < FIRST_LINE_BYTES || memcmp(text, magic, MAGIC_BYTES) != 0 ||
		text[FIRST_LINE_BYTES - 1] != '\n')
		return damaged(err, "it does not begin as it should");
	if (is_whole && check_digest(text, len, err) < 0)
		return -EBADMSG;
	end = memchr(about, '\n', len - FIRST_LINE_BYTES);
	if (!end || read_about(about, (size_t)(end - about), ret_row) < 0)
		return damaged(err, "what is told about it cannot be read");
	objects_len = len - (size_t)(end + 1 - text);
	if (is_whole && object_set_read(ret_set, end + 1, objects_len, err) < 0)
		return damaged(err, "its objects cannot be read");
	return 0;
}
