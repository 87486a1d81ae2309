/*
 * Moving a rule of a listener to another priority: those in its way go on by one, as far as they stand
 * without a gap. See transaction.h. Loader thread.
 */
#include "control/transaction.h"

#include "control/object_kinds.h"
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

enum { PRIORITY_MAX = 50000 };

struct rule {
	const char *name; /* "web/canary"; of the row or the object */
	uint64_t priority;
};

/* The rules of one listener as the changes before this one have left them. */
struct rules {
	struct rule *item;
	size_t n;
};

static bool is_of(const char *kind, const char *name, const char *listener, size_t len)
{
	return strcmp(kind, "rules") == 0 && strncmp(name, listener, len) == 0;
}

static void add(struct rules *rules, const char *name, const char *text)
{
	yyjson_doc *doc = yyjson_read(text, strlen(text), 0);
	yyjson_val *priority = yyjson_obj_get(yyjson_doc_get_root(doc), "priority");

	rules->item[rules->n++] = (struct rule){name, yyjson_get_uint(priority)};
	yyjson_doc_free(doc);
}

/* `prefix` is the listener with the '/' behind it. */
static struct rules rules_of(const struct transaction *transaction, const char *prefix)
{
	const struct object_rows *rows = &transaction->store->rows;
	const struct object_set *set = &transaction->set;
	struct rules rules = {mem_alloc((rows->n + set->n + 1) * sizeof(struct rule)), 0};
	size_t len = strlen(prefix), i;

	for (i = 0; i < set->n; i++)
		if (is_of(set->items[i].kind, set->items[i].name, prefix, len))
			add(&rules, set->items[i].name, set->items[i].text);
	for (i = 0; i < rows->n; i++)
		if (is_of(rows->items[i].kind, rows->items[i].name, prefix, len) &&
			rows->items[i].origin == OBJECT_FROM_FILE &&
			!object_set_find(set, "rules", rows->items[i].name))
			add(&rules, rows->items[i].name, rows->items[i].text);
	return rules;
}

static int compare(const void *a, const void *b)
{
	const struct rule *x = a, *y = b;

	return x->priority < y->priority ? -1 : x->priority > y->priority;
}

/* Of a rule that is in `transaction->set`, or in the file. */
static void set_priority(struct transaction *transaction, const char *name, uint64_t priority)
{
	const struct object *own = object_set_find(&transaction->set, "rules", name);
	const struct object_row *row = object_rows_find(&transaction->store->rows, "rules", name);
	const char *text = own ? own->text : row->text;
	yyjson_doc *old = yyjson_read(text, strlen(text), 0);
	yyjson_mut_doc *doc = yyjson_doc_mut_copy(old, NULL);
	yyjson_mut_val *root = yyjson_mut_doc_get_root(doc);
	char *copy = mem_strdup(name); /* may be the object's that is replaced */

	yyjson_mut_obj_put(root, yyjson_mut_str(doc, "priority"), yyjson_mut_uint(doc, priority));
	object_set_put(&transaction->set, "rules", copy, object_text(root));
	free(copy);
	yyjson_mut_doc_free(doc);
	yyjson_doc_free(old);
}

/* Of a rule without a name its priority is the name. */
static bool may_move(struct transaction *transaction, const char *name)
{
	const char *last = object_kind_last(object_kind_find("rules"), name);

	if (strncmp(last, "rule-", 5) != 0 || last[5 + strspn(last + 5, "0123456789")])
		return true;
	return transaction_refuse(transaction, 409, "no_name",
		"rule %s cannot move: it has no name of its own", name);
}

static bool make_way(struct transaction *transaction, const struct rules *rules, const char *moved,
	uint64_t priority)
{
	for (size_t i = 0; i < rules->n; i++) {
		const struct rule *rule = &rules->item[i];

		if (rule->priority != priority || strcmp(rule->name, moved) == 0)
			continue;
		if (priority == PRIORITY_MAX)
			return transaction_refuse(transaction, 409, "no_room",
				"no priority is free behind that of rule %s", rule->name);
		if (!may_move(transaction, rule->name))
			return false;
		set_priority(transaction, rule->name, ++priority);
	}
	return true;
}

static bool is_there(const struct rules *rules, const char *name)
{
	for (size_t i = 0; i < rules->n; i++)
		if (strcmp(rules->item[i].name, name) == 0)
			return true;
	return false;
}

/* Names of rules are those of rows or of the set, which changes: they are copied first. */
static void own_names(struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		rules->item[i].name = mem_strdup(rules->item[i].name);
}

static void forget(struct rules *rules)
{
	for (size_t i = 0; i < rules->n; i++)
		free((char *)rules->item[i].name);
	free(rules->item);
}

bool transaction_move(struct transaction *transaction, const struct change *change)
{
	uint64_t priority = yyjson_get_uint(yyjson_obj_get(change->settings, "priority"));
	const char *last = object_kind_last(object_kind_find("rules"), change->name);
	char *prefix = mem_strndup(change->name, (size_t)(last - change->name));
	struct rules rules = rules_of(transaction, prefix);
	bool done;

	own_names(&rules);
	if (rules.n)
		qsort(rules.item, rules.n, sizeof(rules.item[0]), compare);
	if (!is_there(&rules, change->name))
		done = transaction_refuse(transaction, 404, "not_found", "there is no object %s/%s",
			change->kind, change->name);
	else
		done = may_move(transaction, change->name) &&
		       make_way(transaction, &rules, change->name, priority);
	if (done)
		set_priority(transaction, change->name, priority);
	forget(&rules);
	free(prefix);
	return done;
}
