/* From the YAML tree to the fields of struct config, row by row of the table of settings: see
 * config_read.h. Knows the shape of a configuration, not its meaning. */
#include "control/config_read.h"

#include "core/mem.h"

#include <errno.h>
#include <stdlib.h>

static void read_section(struct config_reader *reader, enum setting_section section,
	const struct tree_node *node, void *base);

/* Of a list of values: words. */
static void set_default_list(
	const struct config_reader *reader, const struct setting *row, void *base)
{
	const char *words = row->def;
	uint32_t *count = config_field_count(row, base);
	char *items = config_store_alloc(reader->config->store, row->size * (strlen(words) + 1));
	struct slice word;
	struct err err;

	*(void **)config_field(row, base) = items;
	for (*count = 0; config_word_next(&words, &word); ++*count)
		if (scalar_read(row, word, &reader->place, items + (size_t)row->size * *count,
			    &err) < 0)
			abort(); /* a row of settings.def contradicts itself */
}

static void set_defaults(
	const struct config_reader *reader, enum setting_section section, void *base)
{
	const struct setting *row;
	struct err err;

	for_each_setting(row, section)
	{
		void *field = config_field(row, base);

		if (row->list && row->def)
			set_default_list(reader, row, base);
		if (row->list)
			continue;
		if (row->type == SETTING_SECTION)
			set_defaults(reader, row->child, field);
		else if (row->type == SETTING_ENUM && !row->def)
			*(uint32_t *)field = PROTOCOL_UNKNOWN;
		else if (row->def &&
			 scalar_read(row, slice_of(row->def), &reader->place, field, &err) < 0)
			abort(); /* a row of settings.def contradicts itself */
	}
}

static void add_error(struct config_reader *reader, const struct tree_node *node, const char *text)
{
	config_errors_add(reader->errors, node->mark, reader->path.text, "%s", text);
}

/* False once following aliases has grown beyond all measure. */
static bool may_visit(struct config_reader *reader, const struct tree_node *node)
{
	if (reader->visits > TREE_NODES_MAX)
		return false;
	if (reader->visits++ < TREE_NODES_MAX)
		return true;
	config_errors_add(reader->errors, node->mark, NULL,
		"too many values once aliases are followed: at most %d are allowed",
		TREE_NODES_MAX);
	return false;
}

static const char *kind_text(const struct tree_node *node)
{
	if (tree_is_null(node))
		return "nothing";
	return node->kind == TREE_SCALAR ? "one value"
	       : node->kind == TREE_LIST ? "a list"
					 : "a mapping";
}

static void add_ref(struct config_reader *reader, const struct setting *row, void *field,
	const struct tree_node *node)
{
	struct config_store *store = reader->config->store;

	if (reader->refs_count == reader->refs_room) {
		reader->refs_room = reader->refs_room ? 2 * reader->refs_room : 16;
		reader->refs =
			mem_realloc(reader->refs, reader->refs_room * sizeof(reader->refs[0]));
	}
	reader->refs[reader->refs_count++] = (struct config_ref){
		.row = row,
		.field = field,
		.mark = node->mark,
		.name = config_store_strndup(store, node->text.ptr, node->text.len),
		.path = config_store_strndup(store, reader->path.text, reader->path.len),
	};
}

/* False, with an error added, if the node cannot be the value. */
static bool read_scalar(struct config_reader *reader, const struct setting *row,
	const struct tree_node *node, void *field)
{
	struct err err;

	if (node->kind != TREE_SCALAR)
		err_set(&err, 0, "must be one value, not %s", kind_text(node));
	else if (tree_is_null(node))
		err_set(&err, 0, "has no value");
	else if (row->type == SETTING_REF && memchr(node->text.ptr, '\0', node->text.len))
		err_set(&err, 0, "is not a name");
	else if (row->type == SETTING_REF ||
		 scalar_read(row, node->text, &reader->place, field, &err) == 0)
		return true;
	add_error(reader, node, err.text);
	return false;
}

static void read_value(struct config_reader *reader, const struct setting *row,
	const struct tree_node *node, void *field)
{
	if (row->type == SETTING_ENUM)
		*(uint32_t *)field = PROTOCOL_UNKNOWN; /* until read */
	if (!read_scalar(reader, row, node, field)) {
		config_store_mark_bad(reader->config->store, field);
		return;
	}
	config_store_mark(reader->config->store, field, node->mark);
	if (row->type == SETTING_REF)
		add_ref(reader, row, field, node);
}

/* What an item of a list of sections is called in messages; NULL if it has no usable name. */
static const char *item_name(const struct tree_node *node, char *buf, size_t len)
{
	if (node->kind != TREE_MAPPING)
		return NULL;
	for (uint32_t i = 0; i + 1 < node->child_count; i += 2) {
		const struct tree_node *key = node->child[i], *value = node->child[i + 1];

		if (key->kind != TREE_SCALAR || value->kind != TREE_SCALAR ||
			!slice_eq(key->text, SLICE("name")))
			continue;
		if (value->text.len == 0 || value->text.len >= len)
			return NULL;
		for (size_t j = 0; j < value->text.len; j++) {
			buf[j] = value->text.ptr[j];
			if (buf[j] <= ' ' || buf[j] >= 0x7f)
				return NULL;
		}
		buf[value->text.len] = '\0';
		return buf;
	}
	return NULL;
}

static void read_item(struct config_reader *reader, const struct setting *row,
	const struct tree_node *node, uint32_t number, void *item)
{
	char name[CONFIG_NAME_MAX + 1];
	size_t before;

	if (row->type == SETTING_SECTION) {
		before = config_path_item(
			&reader->path, item_name(node, name, sizeof(name)), number);
		set_defaults(reader, row->child, item);
		read_section(reader, row->child, node, item);
	} else {
		before = config_path_item(&reader->path, NULL, number);
		read_value(reader, row, node, item);
	}
	config_path_cut(&reader->path, before);
}

static void check_names(struct config_reader *reader, const struct setting *row, const void *base)
{
	const struct setting *name = config_setting_find(row->child, SLICE("name"));
	struct name_index index;

	if (!name)
		return;
	config_refs_index_init(&index, row, base);
	for (uint32_t i = 1; i < index.count; i++) {
		const struct name_entry *first = &index.entry[i - 1], *again = &index.entry[i];
		const struct config_mark *mark = first->object;
		size_t before;

		if (strcmp(first->name, again->name) != 0)
			continue;
		before = config_path_item(&reader->path, again->name, 0);
		config_path_enter(&reader->path, "name");
		config_errors_add(reader->errors, *(struct config_mark *)again->object,
			reader->path.text, "the name is already used in line %u", mark->line);
		config_path_cut(&reader->path, before);
	}
	config_refs_index_fini(&index);
}

static bool accept_length(
	struct config_reader *reader, const struct setting *row, const struct tree_node *node)
{
	uint32_t count = node->child_count;

	if (row->required && count == 0)
		add_error(reader, node, "must not be empty");
	if (!row->max_items || count <= row->max_items)
		return count > 0;
	config_errors_add(reader->errors, node->child[row->max_items]->mark, reader->path.text,
		"has %u entries: at most %u are allowed", count, row->max_items);
	return false;
}

static void read_list(struct config_reader *reader, const struct setting *row,
	const struct tree_node *node, void *base)
{
	struct tree_node *alone[1] = {(struct tree_node *)node};
	struct tree_node as_list = {.mark = node->mark, .child = alone, .child_count = 1};
	bool sections = row->type == SETTING_SECTION;
	char *items;

	config_store_mark(reader->config->store, config_field(row, base), node->mark);
	if (tree_is_null(node))
		as_list.child_count = 0;
	else if (node->kind == TREE_LIST)
		as_list = *node;
	else if (sections || node->kind == TREE_MAPPING) {
		config_errors_add(reader->errors, node->mark, reader->path.text,
			"must be a list, not %s (begin each item with \"- \")", kind_text(node));
		return;
	}
	*config_field_count(row, base) = 0; /* none of the default ones */
	if (!accept_length(reader, row, &as_list))
		return;
	items = config_store_alloc(reader->config->store, (size_t)row->size * as_list.child_count);
	*(void **)config_field(row, base) = items;
	*config_field_count(row, base) = as_list.child_count;
	for (uint32_t i = 0; i < as_list.child_count; i++) {
		if (!may_visit(reader, as_list.child[i]))
			break;
		if (node->kind == TREE_SCALAR)
			read_value(reader, row, node, items);
		else
			read_item(reader, row, as_list.child[i], i, items + (size_t)row->size * i);
	}
	if (sections)
		check_names(reader, row, base);
}

static void read_setting(struct config_reader *reader, const struct setting *row,
	const struct tree_node *node, void *base)
{
	size_t before = config_path_enter(&reader->path, row->name);

	if (row->list)
		read_list(reader, row, node, base);
	else if (row->type != SETTING_SECTION)
		read_value(reader, row, node, config_field(row, base));
	else if (!tree_is_null(node))
		read_section(reader, row->child, node, config_field(row, base));
	config_path_cut(&reader->path, before);
}

/* A mapping that is being read, and where each of its settings was found so far. */
struct open_section {
	enum setting_section section;
	void *base;
	struct config_mark seen[SETTING_ROWS_MAX];
};

static struct config_mark *seen_mark(struct open_section *open, const struct setting *row)
{
	return &open->seen[row - &config_settings[config_sections[open->section].first]];
}

/* ' (a setting of "log")' when there is one of that very name elsewhere, else "". */
static const char *home_text(struct slice name, char *buf, size_t len)
{
	for (enum setting_section section = 0; section < SECTION_COUNT; section++) {
		const char *path = config_sections[section].path;

		if (!config_setting_find(section, name))
			continue;
		snprintf(buf, len, " (a setting of %s%s%s)", path[0] ? "\"" : "the top level", path,
			path[0] ? "\"" : "");
		return buf;
	}
	return "";
}

static void refuse_unknown(
	struct config_reader *reader, const struct tree_node *key, enum setting_section section)
{
	char quoted[QUOTED_BYTES], maybe[NEAREST_TEXT_BYTES];
	const struct setting *row;
	struct nearest nearest;
	const char *hint;

	nearest_init(&nearest, key->text);
	for_each_setting(row, section) nearest_offer(&nearest, slice_of(row->name));
	hint = nearest_text(&nearest, maybe, sizeof(maybe));
	if (!hint[0])
		hint = home_text(key->text, maybe, sizeof(maybe));
	config_errors_add(reader->errors, key->mark, reader->path.text, "unknown setting %s%s",
		scalar_quote(key->text, quoted), hint);
}

static bool is_merge_key(const struct tree_node *key)
{
	return key->kind == TREE_SCALAR && key->plain && slice_eq(key->text, SLICE("<<"));
}

static void read_pair(struct config_reader *reader, struct open_section *open,
	const struct tree_node *key, const struct tree_node *value, bool merged)
{
	const struct setting *row;
	struct config_mark *seen;
	size_t before;

	if (key->kind != TREE_SCALAR) {
		add_error(reader, key, "the name of a setting must be a word");
		return;
	}
	row = config_setting_find(open->section, key->text);
	if (!row) {
		refuse_unknown(reader, key, open->section);
		return;
	}
	seen = seen_mark(open, row);
	if (!seen->line) {
		*seen = key->mark;
		read_setting(reader, row, value, open->base);
	} else if (!merged) {
		before = config_path_enter(&reader->path, row->name);
		config_errors_add(reader->errors, key->mark, reader->path.text,
			"is set twice (first in line %u)", seen->line);
		config_path_cut(&reader->path, before);
	}
}

static void read_pairs(struct config_reader *reader, struct open_section *open,
	const struct tree_node *node, bool merged);

/* "<<: *other": the settings of another mapping where this one has none of its own. */
static void read_merge(
	struct config_reader *reader, struct open_section *open, const struct tree_node *node)
{
	if (node->kind == TREE_MAPPING) {
		read_pairs(reader, open, node, true);
	} else if (node->kind == TREE_LIST) {
		for (uint32_t i = 0; i < node->child_count; i++) {
			if (node->child[i]->kind == TREE_MAPPING)
				read_pairs(reader, open, node->child[i], true);
			else
				add_error(reader, node->child[i], "<< must name a mapping");
		}
	} else {
		add_error(reader, node, "<< must name a mapping");
	}
}

static void read_pairs(struct config_reader *reader, struct open_section *open,
	const struct tree_node *node, bool merged)
{
	if (!may_visit(reader, node))
		return;
	for (uint32_t i = 0; i + 1 < node->child_count; i += 2) {
		if (!is_merge_key(node->child[i]) && may_visit(reader, node->child[i]))
			read_pair(reader, open, node->child[i], node->child[i + 1], merged);
	}
	for (uint32_t i = 0; i + 1 < node->child_count; i += 2) {
		if (is_merge_key(node->child[i]))
			read_merge(reader, open, node->child[i + 1]);
	}
}

static void require_settings(
	struct config_reader *reader, struct open_section *open, const struct tree_node *node)
{
	const struct setting *row;
	size_t before;

	for_each_setting(row, open->section)
	{
		if (!row->required || seen_mark(open, row)->line)
			continue;
		before = config_path_enter(&reader->path, row->name);
		add_error(reader, node, "is required");
		config_path_cut(&reader->path, before);
	}
}

static void read_section(struct config_reader *reader, enum setting_section section,
	const struct tree_node *node, void *base)
{
	struct open_section open = {.section = section, .base = base};

	/* Every struct of a section begins with its mark. */
	*(struct config_mark *)base = node->mark;
	if (node->kind != TREE_MAPPING) {
		config_errors_add(reader->errors, node->mark, reader->path.text,
			"must be settings (\"%s: ...\"), not %s",
			config_settings[config_sections[section].first].name, kind_text(node));
		return;
	}
	read_pairs(reader, &open, node, false);
	require_settings(reader, &open, node);
}

void config_read_tree(struct config_reader *reader, const struct tree_node *root)
{
	set_defaults(reader, SECTION_config, reader->config);
	if (!root || tree_is_null(root))
		config_errors_add(reader->errors, (struct config_mark){1, 1}, NULL,
			"the file is empty: nothing is configured");
	else
		read_section(reader, SECTION_config, root, reader->config);
}
