/* Changes at run time: what is refused at once, and what waits to be put in force. Control thread. */
#include "control/lists_parts.h"
#include "core/clock.h"
#include "core/mem.h"

#include <errno.h>

static struct lists_op *op_add(struct lists *lists)
{
	struct lists_ops *ops = &lists->ops;

	if (ops->count == ops->room) {
		ops->room = ops->room ? ops->room * 2 : 16;
		ops->rows = mem_realloc(ops->rows, ops->room * sizeof(*ops->rows));
	}
	ops->rows[ops->count] = (struct lists_op){};
	return &ops->rows[ops->count++];
}

enum pending { PENDING_NOTHING, PENDING_ADD, PENDING_DEL, PENDING_IMPORT };

/* What the newest change on its way does to the entry. */
static enum pending ops_find(const struct lists_ops *ops, const struct lists_change *change)
{
	for (size_t i = ops->count; i-- > 0;) {
		const struct lists_op *op = &ops->rows[i];

		if (op->kind != change->kind)
			continue;
		if (op->text)
			return PENDING_IMPORT;
		if (dp_prefix_compare(&op->change.prefix, &change->prefix) == 0)
			return op->change.del ? PENDING_DEL : PENDING_ADD;
	}
	return PENDING_NOTHING;
}

static bool is_configured(const struct lists_config *config, const struct lists_change *change)
{
	return lists_entries_find(&config->config[change->kind], &change->prefix) ||
	       lists_entries_find(&config->file[change->kind], &change->prefix);
}

static int del_check(const struct lists *lists, const struct lists_change *change, struct err *err)
{
	enum pending pending = ops_find(&lists->ops, change);
	char text[DP_PREFIX_TEXT_BYTES];

	if (pending == PENDING_NOTHING && lists->ops_going)
		pending = ops_find(lists->ops_going, change);
	if (pending == PENDING_NOTHING &&
		lists_entries_find(&lists->view->api[change->kind], &change->prefix))
		pending = PENDING_ADD;
	dp_prefix_print(&change->prefix, text);
	if (pending == PENDING_ADD)
		return 0;
	if (pending == PENDING_IMPORT)
		return err_set(err, -EAGAIN, "an import is under way: try again when it is done");
	if (is_configured(lists->view->config, change))
		return err_set(err, -EPERM,
			"%s is on the %s list by the configuration (%s or %s_file): delete it there",
			text, lists_kind_name(change->kind), lists_kind_name(change->kind),
			lists_kind_name(change->kind));
	return err_set(
		err, -ENOENT, "%s is not on the %s list", text, lists_kind_name(change->kind));
}

static int change_check(
	const struct lists *lists, const struct lists_change *change, struct err *err)
{
	if (change->del)
		return del_check(lists, change, err);
	if (change->expires_unix_s && change->expires_unix_s <= clock_unix_s())
		return err_set(err, -EINVAL, "the expiry lies in the past");
	return 0;
}

int lists_change(struct lists *lists, const struct lists_change *changes, size_t count,
	struct lists_request *request, struct err *err)
{
	int code = 0;

	if (!count)
		return err_set(err, -EINVAL, "nothing to add or delete");
	if (lists->ops.count + count > LISTS_MAX_CHANGES)
		return err_set(err, -EAGAIN,
			"more than %d changes a second: import them as a whole list",
			LISTS_MAX_CHANGES);
	for (size_t i = 0; i < count && !code; i++)
		code = change_check(lists, &changes[i], err);
	if (code)
		return code;
	for (size_t i = 0; i < count; i++) {
		struct lists_op *op = op_add(lists);

		op->kind = changes[i].kind;
		op->change = changes[i];
		op->request = i == count - 1 ? request : NULL;
	}
	lists->is_due = true;
	lists_poke(lists);
	return 0;
}

void lists_import(struct lists *lists, enum list_kind kind, char *text, size_t len,
	struct lists_request *request)
{
	struct lists_op *op = op_add(lists);

	op->kind = kind;
	op->text = text;
	op->text_len = len;
	op->request = request;
	lists->is_due = true;
	lists_poke(lists);
}
