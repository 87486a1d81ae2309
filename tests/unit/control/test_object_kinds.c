/* Kinds of objects: none is missing, and what names of them mean. */
#include "control/object_kinds.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <string.h>

/* Whatever the configuration calls by a name at its top level is an object, or a section of one. */
static void every_list_with_names_has_a_kind(void **state)
{
	const struct setting *row;

	for_each_setting(row, SECTION_config)
	{
		const struct object_kind *kind = object_kind_find(row->name);

		if (row->list && row->type == SETTING_SECTION) {
			assert_non_null(config_setting_find(row->child, SLICE("name")));
			assert_non_null(kind);
			assert_int_equal(kind->section, row->child);
			assert_null(kind->parent);
		} else {
			assert_null(kind);
			assert_true((object_kind_section(slice_of(row->name)) != NULL) !=
				    object_kind_is_global(row));
		}
	}
}

static void children_are_lists_of_their_parents(void **state)
{
	for (const struct object_kind *kind = object_kind_rows; kind->name; kind++) {
		const struct object_kind *parent =
			kind->parent ? object_kind_find(kind->parent) : NULL;
		const struct setting *row;

		assert_true(!kind[1].name || strcmp(kind->name, kind[1].name) < 0);
		if (!kind->parent)
			continue;
		assert_non_null(parent);
		assert_true(strcmp(parent->name, kind->name) < 0); /* merged in this order */
		row = config_setting_find(parent->section, slice_of(kind->name));
		assert_non_null(row);
		assert_int_equal(row->child, kind->section);
	}
}

static void names_of_children_have_two_parts(void **state)
{
	const struct object_kind *rules = object_kind_find("rules");
	static const char *const bad[] = {"canary", "/canary", "web/", "/", ""};

	assert_string_equal(object_kind_last(rules, "web/canary"), "canary");
	for (size_t i = 0; i < array_len(bad); i++)
		assert_null(object_kind_last(rules, bad[i]));
	assert_string_equal(object_kind_last(object_kind_find("listeners"), "web"), "web");
	assert_null(object_kind_find("rule"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_list_with_names_has_a_kind),
		cmocka_unit_test(children_are_lists_of_their_parents),
		cmocka_unit_test(names_of_children_have_two_parts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
