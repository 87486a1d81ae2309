/* docs/policies.md and docs/man/sluice-policies.7 are what the table of policies says. With two
 * arguments the program writes them to those files instead (tools/gen-man). */
#include "control/policy_doc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

typedef void write_function(FILE *out);

static char *made(write_function *write)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	write(out);
	fclose(out);
	return text;
}

static void expect_fresh(write_function *write, const char *path)
{
	char *expected = made(write), *found = NULL;
	size_t room = 0;
	FILE *in = fopen(path, "r");

	if (!in || getdelim(&found, &room, '\0', in) < 0 || strcmp(expected, found) != 0)
		fail_msg("%s is missing or stale: run tools/gen-man from the top folder", path);
	fclose(in);
	free(expected);
	free(found);
}

static void documents_are_fresh(void **state)
{
	expect_fresh(policy_doc_write_markdown, "docs/policies.md");
	expect_fresh(policy_doc_write_man, "docs/man/sluice-policies.7");
}

static void documents_say_what_counts(void **state)
{
	static const char *const parts[] = {
		"| `sluice-default-2026-11` | 1.2, 1.3 | yes | yes | no | `default` |\n",
		"| `ELBSecurityPolicy-2016-08` | 1.0, 1.1, 1.2 | no | no | no | `ELB",
		"\n### ELBSecurityPolicy-TLS13-1-2-RFC9151-INTEROP1-FIPS-2023-07\n\n- TLS 1.2, 1.3\n",
		"- Groups: `secp384r1`, and if the client has none of these: `secp256r1` `secp521r1`\n",
	};
	char *text = made(policy_doc_write_markdown);

	for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
		if (!strstr(text, parts[i]))
			fail_msg("not in the document:\n%s", parts[i]);
	free(text);
}

static int write_file(write_function *write, const char *path)
{
	FILE *out = fopen(path, "w");

	if (out)
		write(out);
	if (!out || fclose(out) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(documents_are_fresh),
		cmocka_unit_test(documents_say_what_counts),
	};

	if (argc > 2)
		return write_file(policy_doc_write_markdown, argv[1]) ||
		       write_file(policy_doc_write_man, argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
