/* What is wrong with a file before any setting is looked at: YAML itself, its encoding, bounds. */
#include "config_case.h"

#define AT(place, text) "/etc/sluice/t.yaml:" place ": " text "\n"

static void empty_file_is_refused(void **state)
{
	case_refused("", AT("1:1", "the file is empty: nothing is configured"));
	case_refused("# nothing\n", AT("1:1", "the file is empty: nothing is configured"));
	case_refused("~\n", AT("1:1", "the file is empty: nothing is configured"));
}

static void syntax_errors_have_their_place(void **state)
{
	case_refused("log:\n  level: info: x\n",
		AT("2:14", "not valid YAML: mapping values are not allowed in this context"));
	case_refused("deny: [10.0.0.0/8\nworkers: 1\n",
		AT("2:8", "not valid YAML: did not find expected ',' or ']' (while parsing a flow "
			  "sequence that begins in line 1)"));
}

static void tabs_are_named(void **state)
{
	case_refused("log:\n\tlevel: info\n",
		AT("2:1", "not valid YAML: a tab cannot be used for indentation, use spaces"));
}

static void other_encodings_are_refused(void **state)
{
	static const char utf16[] = "\xff\xfe"
				    "l\0o\0g\0";

	case_refused("log:\n  level: \"caf\xe9\"\n",
		AT("2:15",
			"not valid UTF-8: the file must be text in UTF-8 (invalid trailing UTF-8 "
			"octet)"));
	case_refused_bytes(utf16, sizeof(utf16) - 1,
		AT("1:1", "not valid UTF-8: the file must be text in UTF-8 (invalid leading UTF-8 "
			  "octet)"));
	case_refused("log: \x01\n", AT("1:6", "a control character (code 1) is not allowed"));
	case_refused_bytes("a: \0b\n", 6, AT("1:4", "a control character (code 0) is not allowed"));
}

static void byte_order_mark_is_no_column(void **state)
{
	case_refused("\xef\xbb\xbf"
		     "wrkers: 1\n",
		AT("1:1", "unknown setting \"wrkers\" (did you mean \"workers\"?)"));
}

static void columns_count_characters(void **state)
{
	case_refused("admin: {socket: \"/\xc3\xa4\xc3\xb6\", sock: x}\n",
		AT("1:24", "admin: unknown setting \"sock\" (did you mean \"socket\"?)"));
}

static void aliases_and_merge_keys_work(void **state)
{
	struct config *config = case_accepted(CASE_CERTIFICATE CASE_GROUPS
		"listeners:\n"
		"  - &base {name: a, protocol: http, address: 0.0.0.0:80, target_group: web,\n"
		"      timeouts: &slow {idle: 2m}}\n"
		"  - {<<: *base, name: b, address: 0.0.0.0:81}\n"
		"  - {name: c, protocol: tcp, address: 0.0.0.0:82, target_group: raw, timeouts: "
		"*slow}\n");

	assert_int_equal(config->listeners_count, 3);
	assert_string_equal(config->listeners[1].name, "b");
	assert_int_equal(config->listeners[1].address[0].port, 81);
	assert_int_equal(config->listeners[1].timeouts.idle_ms, 120000);
	assert_int_equal(config->listeners[2].timeouts.idle_ms, 120000);
	config_free(config);
}

static void broken_aliases_are_refused(void **state)
{
	case_refused("log: *x\n", AT("1:6", "there is no anchor \"&x\" before this"));
	case_refused("log: &a {level: *a}\n", AT("1:17", "\"*a\" contains itself"));
	case_refused("log: {<<: info}\n", AT("1:11", "log: << must name a mapping"));
}

static void nesting_is_bounded(void **state)
{
	char text[256] = "deny: ";

	memset(text + 6, '[', 200);
	case_refused(text, AT("1:38", "nested too deeply: at most 32 levels are allowed"));
}

/* Mappings merged ten times in each of `level` levels. */
static void put_bomb(FILE *out, int level)
{
	if (level == 0) {
		fputs("&a0 {level: info}", out);
		return;
	}
	fprintf(out, "&a%d {<<: [", level);
	put_bomb(out, level - 1);
	for (int i = 0; i < 9; i++)
		fprintf(out, ", *a%d", level - 1);
	fputs("]}", out);
}

/* 10^14 values if nothing stopped it. */
static void alias_bomb_is_bounded(void **state)
{
	struct config *config = NULL;
	struct config_errors errors;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("log: ", out);
	put_bomb(out, 14);
	fclose(out);
	config_errors_init(&errors);
	assert_true(config_parse(text, len, "t", &config, &errors) < 0);
	free(text);
	assert_int_equal(config_errors_total(&errors), 1);
	text = case_errors_text(&errors);
	assert_non_null(strstr(text,
		": too many values once aliases are followed: at most 4000000 are allowed\n"));
	free(text);
	config_errors_fini(&errors);
}

static void anchors_are_bounded(void **state)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	fputs("deny:\n", out);
	for (int i = 0; i < 1001; i++)
		fprintf(out, "- &a%d 10.%d.%d.0/24\n", i, i / 256, i % 256);
	fclose(out);
	case_refused_bytes(text, len, AT("1002:3", "too many anchors: at most 1000 are allowed"));
	free(text);
}

static void large_file_is_refused(void **state)
{
	size_t len = (64 << 20) + 1;
	char *text = malloc(len);

	assert_non_null(text);
	memset(text, '#', len);
	case_refused_bytes(
		text, len, AT("1:1", "the file is too large: at most 64 MiB are allowed"));
	free(text);
}

static void only_one_document(void **state)
{
	case_refused("workers: 1\n---\nworkers: 2\n",
		AT("2:1", "a second YAML document begins here: the file must contain one"));
}

static void foreign_tags_are_refused(void **state)
{
	case_refused(
		"log: !include log.yaml\n", AT("1:6", "the tag \"!include\" is not supported"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(empty_file_is_refused),
		cmocka_unit_test(syntax_errors_have_their_place),
		cmocka_unit_test(tabs_are_named),
		cmocka_unit_test(other_encodings_are_refused),
		cmocka_unit_test(byte_order_mark_is_no_column),
		cmocka_unit_test(columns_count_characters),
		cmocka_unit_test(aliases_and_merge_keys_work),
		cmocka_unit_test(broken_aliases_are_refused),
		cmocka_unit_test(nesting_is_bounded),
		cmocka_unit_test(alias_bomb_is_bounded),
		cmocka_unit_test(anchors_are_bounded),
		cmocka_unit_test(large_file_is_refused),
		cmocka_unit_test(only_one_document),
		cmocka_unit_test(foreign_tags_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
