/* Two versions line by line. */
#include "control/render.h"
#include "core/mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void assert_rendered(const char *json, const char *wanted)
{
	yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	struct render_look look = {0};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(doc);
	render_diff(yyjson_doc_get_root(doc), &look, out);
	fclose(out);
	yyjson_doc_free(doc);
	assert_string_equal(text, wanted);
	free(text);
}

static void what_comes_and_goes_is_whole(void **state)
{
	assert_rendered(
		"{\"from\": 0, \"to\": 2, \"changes\": ["
		"{\"op\": \"add\", \"kind\": \"rules\", \"name\": \"web/a\", \"before\": null, "
		"\"after\": {\"priority\": 5}},"
		"{\"op\": \"delete\", \"kind\": \"k\", \"name\": \"n\\u001b\", \"after\": null, "
		"\"before\": {}}]}",
		"from version 0 to version 2:\n"
		"add rules/web/a\n"
		"+{\n"
		"+  \"priority\": 5\n"
		"+}\n"
		"delete k/n?\n"
		"-{}\n");
	assert_rendered("{\"from\": 2, \"to\": 2, \"changes\": []}",
		"from version 2 to version 2: no difference\n");
}

static void lines_that_stay_give_the_context(void **state)
{
	assert_rendered(
		"{\"from\": 1, \"to\": 2, \"changes\": [{\"op\": \"change\", \"kind\": \"k\", "
		"\"name\": \"n\", \"before\": {\"l\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}, "
		"\"after\": {\"l\": [1, 2, 3, 4, 5, 10, 6, 7, 9]}}]}",
		"from version 1 to version 2:\n"
		"change k/n\n"
		" ...\n"
		"     3,\n"
		"     4,\n"
		"     5,\n"
		"+    10,\n"
		"     6,\n"
		"     7,\n"
		"-    8,\n"
		"     9\n"
		"   ]\n"
		" }\n");
}

/* Too many lines to find what they have in common: all of them are shown. */
static void what_is_too_long_is_shown_as_a_whole(void **state)
{
	char *json = mem_alloc(200000), *to = json;

	to += sprintf(to, "{\"changes\": [{\"op\": \"change\", \"before\": {\"l\": [");
	for (int i = 0; i < 5000; i++)
		to += sprintf(to, "%d,", i);
	to += sprintf(to, "0]}, \"after\": {\"l\": [");
	for (int i = 0; i < 5000; i++)
		to += sprintf(to, "%d,", i + 1);
	sprintf(to, "1]}}]}");
	yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	struct render_look look = {0};
	char *text = NULL;
	size_t len, minus = 0, plus = 0;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(doc);
	render_diff(yyjson_doc_get_root(doc), &look, out);
	fclose(out);
	for (const char *line = text; line; line = strchr(line + 1, '\n')) {
		minus += strncmp(line, "\n-", 2) == 0;
		plus += strncmp(line, "\n+", 2) == 0;
	}
	assert_int_equal(minus, 5001);
	assert_int_equal(plus, 5001);
	yyjson_doc_free(doc);
	free(text);
	free(json);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_comes_and_goes_is_whole),
		cmocka_unit_test(lines_that_stay_give_the_context),
		cmocka_unit_test(what_is_too_long_is_shown_as_a_whole),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
