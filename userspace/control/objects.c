/* Sets of objects made through the admin API: see objects.h. */
#include "control/objects.h"

#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static void object_fini(struct object *object)
{
	free(object->kind);
	free(object->name);
	free(object->text);
}

void object_set_fini(struct object_set *set)
{
	for (size_t i = 0; i < set->n; i++)
		object_fini(&set->items[i]);
	free(set->items);
	*set = (struct object_set){0};
}

void object_set_copy(struct object_set *ret_set, const struct object_set *set)
{
	*ret_set = (struct object_set){.n = set->n, .room = set->n + 1};
	ret_set->items = mem_alloc(ret_set->room * sizeof(ret_set->items[0]));
	for (size_t i = 0; i < set->n; i++)
		ret_set->items[i] = (struct object){mem_strdup(set->items[i].kind),
			mem_strdup(set->items[i].name), mem_strdup(set->items[i].text)};
}

static int compare(const struct object *object, const char *kind, const char *name)
{
	int order = strcmp(object->kind, kind);

	return order ? order : strcmp(object->name, name);
}

bool object_set_eq(const struct object_set *a, const struct object_set *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (compare(&a->items[i], b->items[i].kind, b->items[i].name) != 0 ||
			strcmp(a->items[i].text, b->items[i].text) != 0)
			return false;
	return true;
}

/* Where it is (true), or where it would have to be. */
static bool find(const struct object_set *set, const char *kind, const char *name, size_t *ret_at)
{
	size_t low = 0, high = set->n, middle;
	int order;

	while (low < high) {
		middle = low + (high - low) / 2;
		order = compare(&set->items[middle], kind, name);
		if (order == 0) {
			*ret_at = middle;
			return true;
		}
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	*ret_at = low;
	return false;
}

const struct object *object_set_find(
	const struct object_set *set, const char *kind, const char *name)
{
	size_t at;

	return find(set, kind, name, &at) ? &set->items[at] : NULL;
}

void object_set_put(struct object_set *set, const char *kind, const char *name, char *text)
{
	size_t at;

	if (find(set, kind, name, &at)) {
		free(set->items[at].text);
		set->items[at].text = text;
		return;
	}
	if (set->n == set->room) {
		set->room = set->room ? 2 * set->room : 16;
		set->items = mem_realloc(set->items, set->room * sizeof(set->items[0]));
	}
	memmove(&set->items[at + 1], &set->items[at], (set->n - at) * sizeof(set->items[0]));
	set->items[at] = (struct object){mem_strdup(kind), mem_strdup(name), text};
	set->n++;
}

bool object_set_remove(struct object_set *set, const char *kind, const char *name)
{
	size_t at;

	if (!find(set, kind, name, &at))
		return false;
	object_fini(&set->items[at]);
	set->n--;
	memmove(&set->items[at], &set->items[at + 1], (set->n - at) * sizeof(set->items[0]));
	return true;
}

/* --- as JSON */

char *object_text(const yyjson_mut_val *settings)
{
	char *text = yyjson_mut_val_write(settings, YYJSON_WRITE_PRETTY_TWO_SPACES, NULL);

	if (!text)
		return mem_strdup("{}");
	return text;
}

char *object_set_write(const struct object_set *set, size_t *ret_len)
{
	yyjson_mut_doc *doc = yyjson_mut_doc_new(NULL);
	yyjson_mut_val *list = yyjson_mut_arr(doc), *row;
	char *text;

	yyjson_mut_doc_set_root(doc, list);
	for (size_t i = 0; i < set->n; i++) {
		row = yyjson_mut_arr_add_obj(doc, list);
		yyjson_mut_obj_add_str(doc, row, "kind", set->items[i].kind);
		yyjson_mut_obj_add_str(doc, row, "name", set->items[i].name);
		yyjson_mut_obj_add_str(doc, row, "text", set->items[i].text);
	}
	text = yyjson_mut_write(doc, 0, ret_len);
	yyjson_mut_doc_free(doc);
	if (!text)
		abort(); /* out of memory: all texts are UTF-8 */
	return text;
}

static int read_row(struct object_set *set, yyjson_val *row, struct err *err)
{
	const char *kind = yyjson_get_str(yyjson_obj_get(row, "kind"));
	const char *name = yyjson_get_str(yyjson_obj_get(row, "name"));
	const char *text = yyjson_get_str(yyjson_obj_get(row, "text"));

	if (!kind || !name || !text)
		return err_set(err, -EINVAL, "an object has no kind, name or text");
	object_set_put(set, kind, name, mem_strdup(text));
	return 0;
}

int object_set_read(struct object_set *ret_set, const char *text, size_t len, struct err *err)
{
	yyjson_doc *doc = yyjson_read(text, len, 0);
	yyjson_val *root = yyjson_doc_get_root(doc), *row;
	size_t i, n;
	int r = 0;

	*ret_set = (struct object_set){0};
	if (!yyjson_is_arr(root))
		r = err_set(err, -EINVAL, "there is no list of objects");
	else
		yyjson_arr_foreach(root, i, n, row) if (r == 0) r = read_row(ret_set, row, err);
	yyjson_doc_free(doc);
	if (r < 0)
		object_set_fini(ret_set);
	return r;
}

/* --- contents */

void blob_list_add(struct blob_list *list, const char *hex)
{
	if (list->n == list->room) {
		list->room = list->room ? 2 * list->room : 16;
		list->hex = mem_realloc(list->hex, list->room * sizeof(list->hex[0]));
	}
	memcpy(list->hex[list->n++], hex, DIGEST_HEX_BYTES);
}

static int compare_hex(const void *a, const void *b)
{
	return memcmp(a, b, DIGEST_HEX_BYTES);
}

void blob_list_sort(struct blob_list *list)
{
	size_t i, n = 0;

	if (list->n == 0)
		return;
	qsort(list->hex, list->n, sizeof(list->hex[0]), compare_hex);
	for (i = 1; i < list->n; i++)
		if (compare_hex(list->hex[n], list->hex[i]) != 0)
			memmove(list->hex[++n], list->hex[i], DIGEST_HEX_BYTES);
	list->n = n + 1;
}

bool blob_list_has(const struct blob_list *list, const char *hex)
{
	return list->n && bsearch(hex, list->hex, list->n, sizeof(list->hex[0]), compare_hex);
}

void blob_list_fini(struct blob_list *list)
{
	free(list->hex);
	*list = (struct blob_list){0};
}

bool blob_list_is_name(const char *text)
{
	return strlen(text) == DIGEST_HEX_BYTES - 1 &&
	       strspn(text, "0123456789abcdef") == DIGEST_HEX_BYTES - 1;
}

static void find_blobs(yyjson_val *value, struct blob_list *list)
{
	const char *hex = yyjson_get_str(yyjson_obj_get(value, "blob"));
	yyjson_val *key, *child;
	size_t i, n;

	if (hex && blob_list_is_name(hex))
		blob_list_add(list, hex);
	if (!value)
		return; /* no JSON at all */
	yyjson_obj_foreach(value, i, n, key, child) find_blobs(child, list);
	yyjson_arr_foreach(value, i, n, child) find_blobs(child, list);
}

void object_set_blobs(const struct object_set *set, struct blob_list *ret_list)
{
	yyjson_doc *doc;

	*ret_list = (struct blob_list){0};
	for (size_t i = 0; i < set->n; i++) {
		if (!strstr(set->items[i].text, "\"blob\""))
			continue;
		doc = yyjson_read(set->items[i].text, strlen(set->items[i].text), 0);
		find_blobs(yyjson_doc_get_root(doc), ret_list);
		yyjson_doc_free(doc);
	}
	blob_list_sort(ret_list);
}
