/* Errors as problem details: what is told apart of a line. */
#include "control/admin_problem.h"
#include "core/attr.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static void completes(const char *error, unsigned int status, const char *wanted)
{
	yyjson_doc *read = yyjson_read(error, strlen(error), 0);
	yyjson_mut_doc *doc = yyjson_doc_mut_copy(read, NULL);
	char *text;

	assert_true(admin_problem_complete(doc, status));
	yyjson_mut_obj_remove_key(yyjson_mut_doc_get_root(doc), "error");
	text = yyjson_mut_write(doc, 0, NULL);
	assert_string_equal(text, wanted);
	free(text);
	yyjson_mut_doc_free(doc);
	yyjson_doc_free(read);
}

static void an_error_is_a_problem(void **state)
{
	completes("{\"error\": {\"code\": \"not_found\", \"message\": \"there is no such thing\"}}",
		404,
		"{\"type\":\"about:blank\",\"title\":\"Not Found\",\"status\":404,"
		"\"detail\":\"there is no such thing\",\"code\":\"not_found\"}");
}

static const struct {
	const char *line, *wanted;
} lines[] = {
	{"object listeners/web:3:15: listeners[web].tls.policy: there is none",
		"{\"detail\":\"there is none\",\"field\":\"listeners[web].tls.policy\","
		"\"source\":\"object listeners/web\",\"line\":3,\"column\":15}"},
	{"object targets/web/127.0.0.1:1:2:3: must be settings",
		"{\"detail\":\"must be settings\",\"source\":\"object targets/web/127.0.0.1:1\","
		"\"line\":2,\"column\":3}"},
	{"/etc/a: b:c.yaml: cannot read the file: no",
		"{\"detail\":\"/etc/a: b:c.yaml: cannot read the "
		"file: no\"}"},
	{"t.yaml:1:1: x: y: z",
		"{\"detail\":\"y: z\",\"field\":\"x\",\"source\":\"t.yaml\",\"line\":1,"
		"\"column\":1}"},
	{"t:1:1:", "{\"detail\":\"t:1:1:\"}"},
	{"a:", "{\"detail\":\"a:\"}"},
	{"", "{}"},
};

static void lines_are_taken_apart(void **state)
{
	for (size_t i = 0; i < array_len(lines); i++) {
		char error[512], wanted[512];

		snprintf(error, sizeof(error),
			"{\"error\": {\"code\": \"c\", \"message\": \"m\", \"errors\": [\"%s\"]}}",
			lines[i].line);
		snprintf(wanted, sizeof(wanted),
			"{\"type\":\"about:blank\",\"title\":\"Unprocessable Content\",\"status\":422,"
			"\"detail\":\"m\",\"code\":\"c\",\"errors\":[%s]}",
			lines[i].wanted);
		completes(error, 422, wanted);
	}
}

static void what_is_no_error_stays_as_it_is(void **state)
{
	static const char *const texts[] = {
		"{}", "{\"error\": \"x\"}", "{\"error\": {\"code\": \"c\"}}"};

	for (size_t i = 0; i < array_len(texts); i++) {
		yyjson_doc *read = yyjson_read(texts[i], strlen(texts[i]), 0);
		yyjson_mut_doc *doc = yyjson_doc_mut_copy(read, NULL);

		assert_false(admin_problem_complete(doc, 500));
		yyjson_mut_doc_free(doc);
		yyjson_doc_free(read);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(an_error_is_a_problem),
		cmocka_unit_test(lines_are_taken_apart),
		cmocka_unit_test(what_is_no_error_stays_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
