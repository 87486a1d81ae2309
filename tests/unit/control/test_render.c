/* What sluicectl prints, from JSON texts: tables of several widths, views, YAML. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "control/render.h"
#include "control/render_table.h"

#include <stdlib.h>
#include <string.h>

typedef void render_function(yyjson_val *root, const struct render_look *look, FILE *out);

static const int64_t now_unix_s = 1000000;

/* The caller frees. */
static char *rendered(render_function *render, const char *json, const struct render_look *look)
{
	yyjson_doc *doc = yyjson_read(json, strlen(json), 0);
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(doc);
	assert_non_null(out);
	render(yyjson_doc_get_root(doc), look, out);
	fclose(out);
	yyjson_doc_free(doc);
	return text;
}

static void assert_rendered(render_function *render, const char *json,
	const struct render_look *look, const char *wanted)
{
	char *text = rendered(render, json, look);

	assert_string_equal(text, wanted);
	free(text);
}

static void yaml_of(yyjson_val *root, const struct render_look *look, FILE *out)
{
	render_yaml(root, out);
}

/* --- YAML */

static void assert_yaml(const char *json, const char *wanted)
{
	assert_rendered(yaml_of, json, NULL, wanted);
}

static void test_yaml_shapes(void **state)
{
	assert_yaml("{\"a\":1,\"b\":{\"c\":[1,-2,true,null,1.5]},\"d\":[],\"e\":{}}",
		"a: 1\nb:\n  c:\n    - 1\n    - -2\n    - true\n    - null\n    - 1.5\nd: []\ne: {}\n");
	assert_yaml("[{\"a\":1,\"b\":2},[3,[4]],{\"c\":{\"d\":\"e\"}}]",
		"- a: 1\n  b: 2\n- - 3\n  - - 4\n- c:\n    d: e\n");
	assert_yaml("[1e300,-2.5e-10,18446744073709551615]",
		"- 1.0e+300\n- -2.5e-10\n- 18446744073709551615\n");
	assert_yaml("\"x\"", "x\n");
}

/* A string stays a string for every reader, whatever it looks like. */
static void test_yaml_quoting(void **state)
{
	static const char *const quoted[] = {"", "1", "1.5", "0x1f", "1e3", "1_000", "-1", "+1",
		".5", ".inf", "-.INF", ".NaN", "true", "False", "YES", "no", "on", "Off", "y", "N",
		"null", "Null", "~", "12:30:45", "2027-01-31", "10.0.0.1:80", "a: b", "a #b", "#a",
		"- a", "-", "?", "? a", "a:", "[a]", "{a", "a}", "*a", "&a", "!a", "|", ">", "@a",
		"`a", "%a", "\'a", " a", "a ", "=", "<<", "[::1]:443", "*.example.com", "a\\\\b",
		"a\\\"b", "a\\tb"};
	static const char *const plain[] = {"a", "web", "a b", "/etc/sluice/a.pem", "x.example.com",
		"ECDSA P-256", "n/a", "nothing", "least_outstanding", "a-b", "up, all of it"};
	char json[64], wanted[64];

	for (size_t i = 0; i < array_len(quoted); i++) {
		snprintf(json, sizeof(json), "{\"k\":\"%s\"}", quoted[i]);
		snprintf(wanted, sizeof(wanted), "k: \"%s\"\n", quoted[i]);
		assert_yaml(json, wanted);
	}
	for (size_t i = 0; i < array_len(plain); i++) {
		snprintf(json, sizeof(json), "{\"k\":\"%s\"}", plain[i]);
		snprintf(wanted, sizeof(wanted), "k: %s\n", plain[i]);
		assert_yaml(json, wanted);
	}
	assert_yaml("{\"on\":1,\"a b\":2,\"1\":3}", "\"on\": 1\na b: 2\n\"1\": 3\n");
}

static void test_yaml_texts_of_several_lines(void **state)
{
	assert_yaml("{\"k\":\"a: 1\\n  b: 2\\n\"}", "k: |\n  a: 1\n    b: 2\n");
	assert_yaml("{\"k\":\"a\\nb\"}", "k: |-\n  a\n  b\n");
	assert_yaml("{\"k\":\"a\\n\\nb\\n\\n\"}", "k: |+\n  a\n\n  b\n\n");
	assert_yaml("[\"a\\nb\\n\",\"c\"]", "- |\n  a\n  b\n- c\n");
	assert_yaml("{\"k\":{\"l\":\"a\\nb\\n\"}}", "k:\n  l: |\n    a\n    b\n");
	/* what a block cannot carry */
	assert_yaml("{\"k\":\" a\\nb\"}", "k: \" a\\nb\"\n");
	assert_yaml("{\"k\":\"\\na\"}", "k: \"\\na\"\n");
	assert_yaml("{\"k\":\"a \\nb\"}", "k: \"a \\nb\"\n");
	assert_yaml("{\"k\":\"a\\u001bb\\nc\"}", "k: \"a\\x1bb\\nc\"\n");
	assert_yaml("{\"k\":\"\\u2028\\u0085\\ufeff\"}", "k: \"\\u2028\\x85\\ufeff\"\n");
}

/* --- tables */

static const struct render_column columns[] = {{"NAME", RENDER_TEXT}, {"N", RENDER_NUMBER},
	{"EMPTY", RENDER_TEXT}, {"WHY", RENDER_FLEXIBLE}};

static void assert_table(uint32_t width, const char *const cells[], uint32_t n, const char *wanted)
{
	struct render_table table;
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	assert_non_null(out);
	render_table_init(&table, columns, array_len(columns));
	for (uint32_t i = 0; i < n; i++)
		render_table_cell(&table, "%s", cells[i]);
	render_table_print(&table, width, out);
	fclose(out);
	render_table_fini(&table);
	assert_string_equal(text, wanted);
	free(text);
}

static void test_table_aligns(void **state)
{
	static const char *const cells[] = {"a", "100", "", "first", "long name", "2", "", "x"};

	assert_table(
		0, cells, 8, "NAME         N  WHY\na          100  first\nlong name    2  x\n");
	assert_table(0, cells, 0, "");
}

static void test_table_cuts_only_what_is_flexible(void **state)
{
	static const char *const cells[] = {"a name", "1", "", "why it is as it is, at length"};

	assert_table(30, cells, 4, "NAME    N  WHY\na name  1  why it is as it is\xe2\x80\xa6\n");
	assert_table(40, cells, 4, "NAME    N  WHY\na name  1  why it is as it is, at length\n");
	assert_table(3, cells, 4, "NAME    N  WHY\na name  1  why it \xe2\x80\xa6\n");
}

static void test_table_counts_characters_not_bytes(void **state)
{
	static const char *const cells[] = {"m\xc3\xbcller", "1", "", "x", "mueller", "2", "", "y"};

	assert_table(0, cells, 8, "NAME     N  WHY\nm\xc3\xbcller   1  x\nmueller  2  y\n");
}

/* Texts come from targets and clients: none may steer the terminal. */
static void test_table_disarms_escapes(void **state)
{
	static const char *const cells[] = {
		"a\033[2Jb", "1", "", "x\xc2\x9b y\nz\xff", "\xe2\x82", "2", "", "\x7f"};

	assert_table(0, cells, 8, "NAME    N  WHY\na?[2Jb  1  x? y?z?\n??      2  ?\n");
}

/* --- views */

static void test_drops(void **state)
{
	static const char json[] =
		"{\"drops\":[{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":30,"
		"\"help\":\"on the deny list\"},{\"where\":\"user\",\"reason\":"
		"\"no_name\",\"count\":0,\"help\":\"unknown\"}]}";
	static const char before[] =
		"{\"drops\":[{\"where\":\"user\",\"reason\":\"denied\",\"count\":1},"
		"{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":20}]}";
	static const char restarted[] =
		"{\"drops\":[{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":999}]}";
	struct render_look look = {.now_unix_s = now_unix_s};
	yyjson_doc *doc;

	assert_rendered(render_drops, json, &look,
		"WHERE  REASON  COUNT  WHAT IT MEANS\nxdp    denied     30  on the deny list\n");
	look.all = true;
	assert_rendered(render_drops, json, &look,
		"WHERE  REASON   COUNT  WHAT IT MEANS\n"
		"xdp    denied      30  on the deny list\nuser   no_name      0  unknown\n");
	look = (struct render_look){.elapsed_s = 4};
	doc = yyjson_read(before, sizeof(before) - 1, 0);
	look.previous = yyjson_doc_get_root(doc);
	assert_rendered(render_drops, json, &look,
		"WHERE  REASON  COUNT  PER SECOND  WHAT IT MEANS\n"
		"xdp    denied     30         2.5  on the deny list\n");
	yyjson_doc_free(doc);
	doc = yyjson_read(restarted, sizeof(restarted) - 1, 0);
	look.previous = yyjson_doc_get_root(doc);
	assert_rendered(render_drops, json, &look,
		"WHERE  REASON  COUNT  PER SECOND  WHAT IT MEANS\n"
		"xdp    denied     30         7.5  on the deny list\n");
	yyjson_doc_free(doc);
	look = (struct render_look){0};
	assert_rendered(render_drops, "{\"drops\":[]}", &look, "nothing was dropped\n");
}

static void test_targets(void **state)
{
	static const char json[] =
		"{\"targets\":[{\"group\":\"web\",\"name\":\"10.0.0.1:80\",\"address\":"
		"\"10.0.0.1:80\",\"weight\":1,\"state\":\"healthy\",\"reason\":null,\"since\":999808,"
		"\"last_check\":{\"at\":1,\"ok\":true,\"latency_us\":1340,\"detail\":\"200\"},"
		"\"outstanding\":3,\"connections\":4,\"requests\":99,\"failures\":0},"
		"{\"group\":\"web\",\"name\":\"b\",\"address\":\"[fd00::1]:80\",\"weight\":2,"
		"\"state\":\"unhealthy\",\"reason\":\"refused\",\"since\":null,\"last_check\":null,"
		"\"outstanding\":0,\"connections\":0,\"requests\":0,\"failures\":7}]}";
	struct render_look look = {.now_unix_s = now_unix_s};

	assert_rendered(render_targets, json, &look,
		"GROUP  TARGET  ADDRESS       WEIGHT  STATE      SINCE  CHECK  ACTIVE  CONNS  "
		"REQUESTS  FAILURES  REASON\n"
		"web            10.0.0.1:80        1  healthy    3m12s  1.3ms       3      4  "
		"      99         0  200\n"
		"web    b       [fd00::1]:80       2  unhealthy      -      -       0      0  "
		"       0         7  refused\n");
}

static void test_listeners(void **state)
{
	static const char json[] =
		"{\"listeners\":[{\"name\":\"web\",\"protocol\":\"https\",\"addresses\":"
		"[\"0.0.0.0:443\",\"[::]:443\"],\"target_group\":\"g\",\"certificates\":2,\"open\":5,"
		"\"accepted\":10,\"requests\":20,\"refused\":1,\"bytes_in\":1023,\"bytes_out\":1610612736,"
		"\"state\":\"listening\"}]}";
	struct render_look look = {0};

	assert_rendered(render_listeners, json, &look,
		"LISTENER  PROTOCOL  ADDRESS                STATE      OPEN  ACCEPTED  REQUESTS  "
		"REFUSED     IN   OUT  CERTS  GROUP\n"
		"web       https     0.0.0.0:443, [::]:443  listening     5        10        20  "
		"      1  1023B  1.5G      2  g\n");
}

static void test_groups_and_certs(void **state)
{
	struct render_look look = {.now_unix_s = now_unix_s};

	assert_rendered(render_groups,
		"{\"target_groups\":[{\"name\":\"web\",\"protocol\":\"http\",\"algorithm\":"
		"\"round_robin\",\"failing_open\":true,\"targets\":{\"healthy\":0,\"unhealthy\":2},"
		"\"listeners\":[\"a\",\"b\"]}]}",
		&look,
		"GROUP  PROTOCOL  ALGORITHM    HEALTHY  UNHEALTHY  INITIAL  DRAINING  UNUSED  "
		"FAILING OPEN  LISTENERS\n"
		"web    http      round_robin        0          2        -         -       -  "
		"yes           a, b\n");
	assert_rendered(render_certs,
		"{\"certificates\":[{\"name\":\"www\",\"names\":[\"a.test\",\"*.a.test\"],"
		"\"key_type\":\"RSA 2048\",\"not_after\":1800000000,\"days_left\":12,"
		"\"listeners\":[\"web\"],\"default_for\":[],\"issuer\":\"CA\",\"serial\":\"0A\"},"
		"{\"name\":\"old\",\"names\":[],\"key_type\":\"P-256\",\"not_after\":0,"
		"\"days_left\":-3,\"issuer\":\"CA\",\"serial\":\"0B\"}]}",
		&look,
		"CERTIFICATE  NAMES             KEY       EXPIRES        LEFT  LISTENERS  ISSUER  "
		"SERIAL\n"
		"www          a.test, *.a.test  RSA 2048  2027-01-15      12d  web        CA      0A\n"
		"old          -                 P-256     1970-01-01  EXPIRED  -          CA      0B\n");
}

static void test_status(void **state)
{
	static const char json[] =
		"{\"version\":\"0.1\",\"pid\":42,\"uptime_s\":93784,\"config\":{\"path\":\"/etc/s.yaml\","
		"\"loaded_at\":999990,\"generation\":2,\"last_reload\":{\"at\":999995,\"result\":"
		"\"refused\",\"error\":\"s.yaml:1:1: x: bad\"}},\"connections_open\":1,"
		"\"accepted_total\":2,\"requests_total\":3,\"handshakes\":{\"full\":4,\"resumed\":5,"
		"\"failed\":6},\"memory\":{\"rss_bytes\":10485760},\"workers\":[{\"id\":0,\"cpu\":0,"
		"\"heartbeat_age_ms\":12,\"connections\":1,\"accepted\":2,\"requests\":3,"
		"\"busy_percent\":7.25},{\"id\":1,\"cpu\":null,\"heartbeat_age_ms\":5000}],"
		"\"xdp\":{\"interfaces\":[{\"name\":\"eth0\",\"mode\":\"generic\",\"reason\":\"no "
		"driver support\",\"prog_id\":9}]},\"capabilities\":[{\"name\":\"ktls\",\"state\":"
		"\"fallback\",\"using\":\"user space\",\"reason\":\"no tls module\"}]}";
	struct render_look look = {.now_unix_s = now_unix_s};

	assert_rendered(render_status, json, &look,
		"sluiced       0.1, pid 42, up 1d2h\n"
		"configuration /etc/s.yaml, generation 2, loaded 10s ago\n"
		"last reload   refused 5s ago: s.yaml:1:1: x: bad\n"
		"connections   1 open, 2 accepted\n"
		"requests      3\n"
		"handshakes    4 full, 5 resumed, 6 failed\n"
		"memory        10.0M resident\n"
		"\n"
		"WORKER  CPU  HEARTBEAT  OPEN  ACCEPTED  REQUESTS  BUSY%  STATE\n"
		"     0    0       12ms     1         2         3    7.2  alive\n"
		"     1    -     5000ms     -         -         -      -  HUNG\n"
		"\n"
		"INTERFACE  XDP      PROGRAM  REASON\n"
		"eth0       generic        9  no driver support\n"
		"\n"
		"CAPABILITY  STATE     USING       REASON\n"
		"ktls        fallback  user space  no tls module\n");
}

/* Another version may send less, or other types. */
static void test_views_stand_foreign_answers(void **state)
{
	static render_function *const views[] = {render_status, render_listeners, render_targets,
		render_groups, render_certs, render_drops, render_config, render_reload};
	static const char *const answers[] = {"{}",
		"{\"listeners\":[{}],\"targets\":[{}],"
		"\"target_groups\":[{}],\"certificates\":[{}],"
		"\"drops\":[{}],\"yaml\":1,\"workers\":[1]}",
		"{\"listeners\":7,\"targets\":[null],\"certificates\":{\"a\":1},\"drops\":[[]]}",
		"{\"config\":[],\"workers\":{},\"xdp\":1,\"capabilities\":[[1]]}"};
	struct render_look look = {.width = 40, .all = true};

	for (size_t i = 0; i < array_len(views); i++) {
		for (size_t j = 0; j < array_len(answers); j++)
			free(rendered(views[i], answers[j], &look));
	}
}

static void test_config_and_reload(void **state)
{
	struct render_look look = {0};

	assert_rendered(
		render_config, "{\"yaml\":\"a: 1\\nb: \\u001b\\n\"}", &look, "a: 1\nb: ?\n");
	assert_rendered(render_reload, "{\"result\":\"applied\",\"generation\":3}", &look,
		"the configuration was applied (generation 3)\n");
	assert_rendered(render_reload, "{\"result\":\"valid\",\"generation\":2}", &look,
		"the configuration is valid; nothing was changed (generation 2)\n");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_yaml_shapes),
		cmocka_unit_test(test_yaml_quoting),
		cmocka_unit_test(test_yaml_texts_of_several_lines),
		cmocka_unit_test(test_table_aligns),
		cmocka_unit_test(test_table_cuts_only_what_is_flexible),
		cmocka_unit_test(test_table_counts_characters_not_bytes),
		cmocka_unit_test(test_table_disarms_escapes),
		cmocka_unit_test(test_drops),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_groups_and_certs),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_views_stand_foreign_answers),
		cmocka_unit_test(test_config_and_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
