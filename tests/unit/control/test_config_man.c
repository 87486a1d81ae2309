/* docs/man/sluice.yaml.5 is what the table of settings says. With an argument the program writes
 * the page to that file instead (tools/gen-man). */
#include "config_case.h"

#define PAGE "docs/man/sluice.yaml.5"

static char *page_from_table(void)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	config_man_write(out);
	fclose(out);
	return text;
}

static char *page_from_file(void)
{
	char *text = NULL;
	size_t room = 0;
	FILE *in = fopen(PAGE, "r");

	if (!in)
		fail_msg("%s is missing: run tools/gen-man from the top folder", PAGE);
	if (getdelim(&text, &room, '\0', in) < 0)
		fail_msg("%s is empty: run tools/gen-man", PAGE);
	fclose(in);
	return text;
}

static void page_is_fresh(void **state)
{
	char *expected = page_from_table(), *found = page_from_file();

	if (strcmp(expected, found) != 0)
		fail_msg("%s is stale: run tools/gen-man", PAGE);
	free(expected);
	free(found);
}

/* A section's settings are all there, with range, default and what needs a restart. */
static void page_says_what_counts(void **state)
{
	static const char *const parts[] = {
		".Ss listeners[].timeouts\\&\n",
		(".It Ic keep_alive\nFrom one request to the next.\n.br\n.Em Value :\n"
		 "duration, 100ms to 7d.\n.Em Default :\n.Li 75s .\n"
		 ".Em Only for protocol\nhttp, https.\n"),
		(".It Ic workers\nWorker threads; auto starts one per CPU.\n.br\n.Em Value :\n"
		 "number of threads, 1 to 64, or auto.\n.Em Default :\n.Li auto .\n.Em Restart .\n"),
	};
	char *page = page_from_table();

	for (size_t i = 0; i < array_len(parts); i++) {
		if (!strstr(page, parts[i]))
			fail_msg("not in the page:\n%s", parts[i]);
	}
	free(page);
}

static int write_page(const char *path)
{
	FILE *out = fopen(path, "w");

	if (!out) {
		perror(path);
		return 1;
	}
	config_man_write(out);
	if (fclose(out) != 0) {
		perror(path);
		return 1;
	}
	return 0;
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(page_is_fresh),
		cmocka_unit_test(page_says_what_counts),
	};

	if (argc > 1)
		return write_page(argv[1]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
