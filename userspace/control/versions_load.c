/* Versions of objects as a start finds them: see versions_parts.h. */
#define LOG_MODULE "objects"
#include "control/versions_parts.h"

#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { BLOB_BYTES_MAX = 1 << 28, HEAD_BYTES_MAX = 32 };

int versions_check_blob(struct versions *versions, const char *hex, struct err *err)
{
	char *bytes, found[DIGEST_HEX_BYTES];
	size_t len;
	int r = disk_read(&versions->blobs, hex, BLOB_BYTES_MAX, &bytes, &len, err);

	if (r < 0)
		return r;
	digest_hex(bytes, len, found);
	explicit_bzero(bytes, len);
	free(bytes);
	if (strcmp(found, hex) != 0)
		return err_set(
			err, -EBADMSG, "the content %s/%s is damaged", versions->blob_path, hex);
	return 0;
}

static int check_blobs(struct versions *versions, const struct object_set *set, struct err *err)
{
	struct blob_list list;
	int r = 0;

	object_set_blobs(set, &list);
	for (size_t i = 0; i < list.n && r == 0; i++)
		r = versions_check_blob(versions, list.hex[i], err);
	blob_list_fini(&list);
	return r < 0 ? -EBADMSG : 0;
}

static void clear_row(struct version_row *row)
{
	free(row->about.changes);
	blob_list_fini(&row->dropped);
	*row = (struct version_row){0};
}

int version_load(struct versions *versions, uint64_t number, bool is_whole,
	struct version_row *ret_row, struct object_set *ret_set, struct err *err)
{
	char name[VERSION_NAME_BYTES], *text;
	size_t len;
	int r;

	*ret_row = (struct version_row){0};
	version_name(number, name);
	r = disk_read(&versions->versions, name, VERSION_BYTES_MAX, &text, &len, err);
	if (r < 0)
		return r;
	r = version_parse(text, len, is_whole, ret_row, ret_set, err);
	free(text);
	if (r == 0 && ret_row->about.number != number) {
		r = err_set(err, -EBADMSG, "it is damaged (it has another number)");
		if (is_whole)
			object_set_fini(ret_set);
	}
	if (r == 0 && is_whole && check_blobs(versions, ret_set, err) < 0) {
		r = -EBADMSG;
		object_set_fini(ret_set);
	}
	if (r < 0) {
		clear_row(ret_row);
		err_context(err, r, "version %" PRIu64, number);
	}
	return r;
}

/* --- what is there */

struct numbers {
	struct versions *versions;
	uint64_t *item;
	size_t n;
};

static void add_number(void *arg, const char *name)
{
	struct numbers *numbers = arg;
	char again[VERSION_NAME_BYTES], *end;
	uint64_t number = strtoull(name, &end, 10);

	version_name(number, again);
	if (number > 0 && strcmp(end, ".new") == 0 && !numbers->versions->is_peek)
		disk_remove(&numbers->versions->versions, name); /* half written */
	if (number == 0 || strcmp(again, name) != 0)
		return; /* or a stranger's */
	numbers->item = mem_realloc(numbers->item, (numbers->n + 1) * sizeof(uint64_t));
	numbers->item[numbers->n++] = number;
}

static int compare_numbers(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return x < y ? -1 : x > y;
}

static int list_numbers(struct versions *versions, struct numbers *ret_numbers, struct err *err)
{
	int r = disk_list(&versions->versions, add_number, ret_numbers, err);

	if (r == 0 && ret_numbers->n)
		qsort(ret_numbers->item, ret_numbers->n, sizeof(uint64_t), compare_numbers);
	return r;
}

/* What HEAD says; 0: there is none. UINT64_MAX: it cannot be read. */
static uint64_t read_head(struct versions *versions)
{
	char *text, *end;
	uint64_t number;
	struct err err;
	size_t len;
	int r = disk_read(&versions->top, "HEAD", HEAD_BYTES_MAX, &text, &len, &err);

	if (r == -ENOENT)
		return 0;
	if (r < 0)
		return UINT64_MAX;
	number = strtoull(text, &end, 10);
	if (end == text || strcmp(end, "\n") != 0 || number == 0)
		number = UINT64_MAX;
	free(text);
	return number;
}

static void remove_version(struct versions *versions, uint64_t number)
{
	char name[VERSION_NAME_BYTES];

	version_name(number, name);
	disk_remove(&versions->versions, name);
}

/* The newest that is whole, from `wanted` down; those it passed over go to the warning. 0: none. */
static uint64_t find_whole(struct versions *versions, const struct numbers *numbers,
	uint64_t wanted, struct object_set *ret_set, struct err *ret_warning)
{
	struct version_row row;
	struct err err;

	for (size_t i = numbers->n; i > 0; i--) {
		uint64_t number = numbers->item[i - 1];

		if (number > wanted)
			continue;
		if (version_load(versions, number, true, &row, ret_set, &err) == 0) {
			clear_row(&row);
			return number;
		}
		if (!ret_warning->text[0])
			*ret_warning = err;
	}
	return 0;
}

/* False: one between others cannot be read, and what those before it have cannot be told. */
static bool add_rows(struct versions *versions, const struct numbers *numbers)
{
	struct version_row row;
	bool is_whole = true;
	struct err err;

	for (size_t i = 0; i < numbers->n && numbers->item[i] <= versions->head; i++) {
		if (version_load(versions, numbers->item[i], false, &row, NULL, &err) == 0) {
			versions_add_row(versions, &row);
			continue;
		}
		log_warn("%s: it is not in the history", err.text);
		if (versions->n_rows)
			is_whole = false;
	}
	return is_whole;
}

/* --- contents that nobody has */

bool versions_needs_blob(const struct versions *versions, const char *hex)
{
	if (blob_list_has(&versions->in_force, hex))
		return true;
	for (size_t i = 0; i < versions->n_rows; i++)
		for (size_t j = 0; j < versions->rows[i].dropped.n; j++)
			if (strcmp(versions->rows[i].dropped.hex[j], hex) == 0)
				return true;
	return false;
}

void versions_remove_blobs(struct versions *versions, struct blob_list *list)
{
	for (size_t i = 0; i < list->n; i++)
		if (!versions_needs_blob(versions, list->hex[i]))
			disk_remove(&versions->blobs, list->hex[i]);
	blob_list_fini(list);
}

struct sweep {
	struct versions *versions;
	struct blob_list orphans;
};

static void look_at_blob(void *arg, const char *name)
{
	struct sweep *sweep = arg;
	char whole[DIGEST_HEX_BYTES + 4];

	if (blob_list_is_name(name)) {
		blob_list_add(&sweep->orphans, name);
		return;
	}
	snprintf(whole, sizeof(whole), "%.64s", name);
	if (blob_list_is_name(whole) && strcmp(name + DIGEST_HEX_BYTES - 1, ".new") == 0)
		disk_remove(&sweep->versions->blobs, name);
}

/* --- loading */

static int choose(struct versions *versions, const struct numbers *numbers,
	struct object_set *ret_set, struct err *ret_warning, struct err *err)
{
	uint64_t wanted = read_head(versions);

	if (numbers->n == 0 && wanted == 0)
		return 0;
	/* The first change of all did not come to its end. */
	if (wanted == 0 && numbers->n == 1 && numbers->item[0] == 1)
		return 0;
	if (wanted == 0 || wanted == UINT64_MAX) {
		err_set(ret_warning, 0, "HEAD is missing or damaged");
		wanted = UINT64_MAX;
	}
	versions->head = find_whole(versions, numbers, wanted, ret_set, ret_warning);
	/* Or what came after it: it is better than nothing at all. */
	if (versions->head == 0)
		versions->head = find_whole(versions, numbers, UINT64_MAX, ret_set, ret_warning);
	if (versions->head == 0)
		return err_set(err, -EBADMSG,
			"%s: no version of the objects is whole (%s): bring the folder back, or "
			"move it away to start without them",
			versions->top.path, ret_warning->text);
	if (versions->head != wanted && !ret_warning->text[0])
		err_set(ret_warning, 0, "version %" PRIu64 " is not there", wanted);
	if (versions->head > wanted)
		err_context(ret_warning, 0,
			"version %" PRIu64 " is in force instead of the one that HEAD names",
			versions->head);
	else if (versions->head != wanted)
		err_context(ret_warning, 0, "version %" PRIu64 " is in force instead of the newest",
			versions->head);
	return 0;
}

int versions_choose(struct versions *versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err)
{
	struct numbers numbers = {.versions = versions};
	int r = list_numbers(versions, &numbers, err);

	if (r == 0)
		r = choose(versions, &numbers, ret_set, ret_warning, err);
	free(numbers.item);
	return r;
}

int versions_load(struct versions *versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err)
{
	struct sweep sweep = {.versions = versions};
	struct numbers numbers = {.versions = versions};
	int r = list_numbers(versions, &numbers, err);
	bool is_whole;

	if (r == 0)
		r = choose(versions, &numbers, ret_set, ret_warning, err);
	if (r == 0) {
		object_set_blobs(ret_set, &versions->in_force);
		is_whole = add_rows(versions, &numbers);
		/* A change that did not come to its end; or damaged ones, which are of no use. */
		for (size_t i = 0; i < numbers.n; i++)
			if (numbers.item[i] > versions->head && !ret_warning->text[0])
				remove_version(versions, numbers.item[i]);
		if (ret_warning->text[0] && numbers.n)
			versions->number_max = numbers.item[numbers.n - 1];
		if (is_whole && !ret_warning->text[0] &&
			disk_list(&versions->blobs, look_at_blob, &sweep, err) == 0)
			versions_remove_blobs(versions, &sweep.orphans);
		blob_list_fini(&sweep.orphans);
	}
	free(numbers.item);
	return r;
}
