/* Entries in force and changes become the next entries: see lists_parts.h. The loader thread. */
#include "control/lists_parts.h"
#include "control/lists_text.h"
#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>

void lists_ops_free(struct lists_ops *ops)
{
	for (size_t i = 0; i < ops->count; i++)
		free(ops->rows[i].text);
	free(ops->rows);
	*ops = (struct lists_ops){};
}

/* What the last import that can be read makes of the list; the index behind it, 0: none. */
static size_t merge_imports(
	struct lists_ops *ops, enum list_kind kind, struct lists_entries *ret_entries)
{
	const struct lists_text_spec spec = {.name = "import",
		.kind = kind,
		.source = LIST_FROM_API,
		.expires = true,
		.max = LISTS_MAX_ENTRIES};
	size_t behind = 0;

	for (size_t i = 0; i < ops->count; i++) {
		struct lists_op *op = &ops->rows[i];
		struct lists_entries entries;

		if (!op->text || op->kind != kind)
			continue;
		op->code = lists_text_parse(
			(struct slice){op->text, op->text_len}, &spec, &entries, &op->err);
		if (op->code)
			continue;
		lists_entries_free(ret_entries);
		*ret_entries = entries;
		behind = i + 1;
	}
	return behind;
}

struct indexed {
	const struct lists_change *change;
	size_t place;
};

static int indexed_compare(const void *a, const void *b)
{
	const struct indexed *left = a, *right = b;
	int order = dp_prefix_compare(&left->change->prefix, &right->change->prefix);

	return order ? order : (left->place > right->place) - (left->place < right->place);
}

/* The changes of one list, by prefix; of those of one prefix the last. */
static size_t sort_changes(
	const struct lists_ops *ops, size_t first, enum list_kind kind, struct indexed *sorted)
{
	size_t count = 0, kept = 0;

	for (size_t i = first; i < ops->count; i++)
		if (!ops->rows[i].text && ops->rows[i].kind == kind)
			sorted[count++] = (struct indexed){&ops->rows[i].change, i};
	qsort(sorted, count, sizeof(*sorted), indexed_compare);
	for (size_t i = 0; i < count; i++) {
		if (kept && dp_prefix_compare(&sorted[kept - 1].change->prefix,
				    &sorted[i].change->prefix) == 0)
			kept--;
		sorted[kept++] = sorted[i];
	}
	return kept;
}

static void keep(struct lists_entries *after, const struct lists_entry *entry, int64_t now_unix_s)
{
	if (!entry->expires_unix_s || entry->expires_unix_s > now_unix_s)
		after->rows[after->count++] = *entry;
}

static void keep_change(
	struct lists_entries *after, const struct lists_change *change, int64_t now_unix_s)
{
	struct lists_entry entry = {.prefix = change->prefix,
		.kind = (uint8_t)change->kind,
		.source = LIST_FROM_API,
		.expires_unix_s = change->expires_unix_s};

	if (!change->del)
		keep(after, &entry, now_unix_s);
}

static void merge_sorted(const struct lists_entries *before, const struct indexed *changes,
	size_t n_changes, int64_t now_unix_s, struct lists_entries *after)
{
	size_t i = 0, j = 0;

	while (i < before->count || j < n_changes) {
		int order;

		if (i == before->count)
			order = 1;
		else if (j == n_changes)
			order = -1;
		else
			order = dp_prefix_compare(
				&before->rows[i].prefix, &changes[j].change->prefix);
		if (order < 0)
			keep(after, &before->rows[i], now_unix_s);
		else
			keep_change(after, changes[j].change, now_unix_s);
		i += order <= 0;
		j += order >= 0;
	}
}

int lists_merge(const struct lists_entries *before, struct lists_ops *ops, enum list_kind kind,
	int64_t now_unix_s, struct lists_entries *ret_after, struct err *err)
{
	struct lists_entries imported = {}, after = {};
	struct indexed *changes = mem_alloc((ops->count + 1) * sizeof(*changes));
	size_t first = merge_imports(ops, kind, &imported), n_changes;
	int code = 0;

	if (first)
		before = &imported;
	n_changes = sort_changes(ops, first, kind, changes);
	after.rows = mem_alloc((before->count + n_changes + 1) * sizeof(*after.rows));
	merge_sorted(before, changes, n_changes, now_unix_s, &after);
	if (after.count > LISTS_MAX_ENTRIES) {
		lists_entries_free(&after);
		code = err_set(err, -E2BIG, "%s list: more than %d entries at run time",
			lists_kind_name(kind), LISTS_MAX_ENTRIES);
	} else {
		*ret_after = after;
	}
	lists_entries_free(&imported);
	free(changes);
	return code;
}
