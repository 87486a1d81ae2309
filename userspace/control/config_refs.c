/* Names of objects and references to them: see config_read.h. */
#include "control/config_read.h"

#include "core/mem.h"

#include <stdlib.h>

/* Equal names stay in the order of the file: items of one array. */
static int compare_entries(const void *a, const void *b)
{
	const struct name_entry *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	if (order)
		return order;
	return x->object < y->object ? -1 : x->object > y->object;
}

void config_refs_index_init(struct name_index *index, const struct setting *row, const void *base)
{
	const struct setting *name_row = config_setting_find(row->child, SLICE("name"));
	uint32_t count = *config_field_count(row, base);
	char *items = *(char **)config_field(row, base);

	index->entry = mem_alloc(count * sizeof(index->entry[0]));
	index->count = 0;
	for (uint32_t i = 0; i < count; i++) {
		char *item = items + (size_t)row->size * i;
		const char *name = *(char **)config_field(name_row, item);

		if (name)
			index->entry[index->count++] = (struct name_entry){name, item};
	}
	if (index->count > 1)
		qsort(index->entry, index->count, sizeof(index->entry[0]), compare_entries);
}

void config_refs_index_fini(struct name_index *index)
{
	free(index->entry);
	*index = (struct name_index){0};
}

static int compare_name(const void *name, const void *entry)
{
	return strcmp(name, ((const struct name_entry *)entry)->name);
}

/* The list at the top level that holds the objects of a section. */
static const struct setting *home_of(enum setting_section section)
{
	const struct setting *row;

	for_each_setting(row, SECTION_config)
	{
		if (row->list && row->type == SETTING_SECTION && row->child == section)
			return row;
	}
	abort(); /* a REF of settings.def names a section that is no list */
}

static void refuse_ref(
	struct config_reader *reader, const struct config_ref *ref, const struct name_index *index)
{
	char quoted[QUOTED_BYTES], maybe[NEAREST_TEXT_BYTES];
	struct nearest nearest;

	nearest_init(&nearest, slice_of(ref->name));
	for (uint32_t i = 0; i < index->count && !config_errors_full(reader->errors); i++)
		nearest_offer(&nearest, slice_of(index->entry[i].name));
	config_errors_add(reader->errors, ref->mark, ref->path, "there is no %s in %s%s",
		scalar_quote(slice_of(ref->name), quoted), home_of(ref->row->child)->name,
		nearest_text(&nearest, maybe, sizeof(maybe)));
}

void config_resolve_refs(struct config_reader *reader)
{
	struct name_index indexes[SECTION_COUNT] = {0};

	for (uint32_t i = 0; i < reader->refs_count; i++) {
		const struct config_ref *ref = &reader->refs[i];
		struct name_index *index = &indexes[ref->row->child];
		const struct name_entry *found;

		if (!index->entry)
			config_refs_index_init(index, home_of(ref->row->child), reader->config);
		found = bsearch(ref->name, index->entry, index->count, sizeof(index->entry[0]),
			compare_name);
		if (found)
			*ref->field = found->object;
		else
			refuse_ref(reader, ref, index);
	}
	for (uint32_t i = 0; i < SECTION_COUNT; i++)
		config_refs_index_fini(&indexes[i]);
	free(reader->refs);
	reader->refs = NULL;
	reader->refs_count = 0;
}
