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

static const char drops_json[] =
	"{\"drops\":[{\"where\":\"xdp\",\"reason\":\"denied\",\"verdict\":\"drop\",\"count\":30,"
	"\"rate_per_s\":1.5,\"last_seen_at\":999940,\"help\":\"on the deny list\"},"
	"{\"where\":\"gate\",\"reason\":\"no_name\",\"count\":0,\"rate_per_s\":0.0,"
	"\"last_seen_at\":null,\"help\":\"unknown\"},"
	"{\"where\":\"user\",\"reason\":\"limit\",\"verdict\":\"refuse\",\"count\":4,"
	"\"rate_per_s\":2.0,\"last_seen_at\":1000000,\"help\":\"too many\"}]}";

/* What rises fastest comes first; zeros only with --all. */
static void test_drops(void **state)
{
	struct render_look look = {.now_unix_s = now_unix_s};

	assert_rendered(render_drops, drops_json, &look,
		"WHERE  REASON  COUNT  PER SECOND  LAST SEEN  WHAT IT MEANS\n"
		"user   limit       4         2.0     0s ago  too many\n"
		"xdp    denied     30         1.5  1m00s ago  on the deny list\n");
	look.all = true;
	assert_rendered(render_drops, drops_json, &look,
		"WHERE  REASON   COUNT  PER SECOND  LAST SEEN  WHAT IT MEANS\n"
		"user   limit        4         2.0     0s ago  too many\n"
		"xdp    denied      30         1.5  1m00s ago  on the deny list\n"
		"gate   no_name      0         0.0             unknown\n");
	look.all = false;
	assert_rendered(render_drops, "{\"drops\":[]}", &look, "nothing was dropped\n");
	/* Of a daemon that has not measured yet. */
	assert_rendered(render_drops,
		"{\"drops\":[{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":3,\"rate_per_s\":null,"
		"\"last_seen_at\":null,\"help\":\"x\"}]}",
		&look, "WHERE  REASON  COUNT  WHAT IT MEANS\nxdp    denied      3  x\n");
}

/* Watching: the rate is that between two looks. */
static void test_drops_watched(void **state)
{
	static const char before[] =
		"{\"drops\":[{\"where\":\"user\",\"reason\":\"denied\",\"count\":1},"
		"{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":20},"
		"{\"where\":\"user\",\"reason\":\"limit\",\"count\":4}]}";
	static const char restarted[] =
		"{\"drops\":[{\"where\":\"xdp\",\"reason\":\"denied\",\"count\":999},"
		"{\"where\":\"user\",\"reason\":\"limit\",\"count\":4}]}";
	struct render_look look = {.now_unix_s = now_unix_s, .elapsed_s = 4};
	yyjson_doc *doc = yyjson_read(before, sizeof(before) - 1, 0);

	look.previous = yyjson_doc_get_root(doc);
	assert_rendered(render_drops, drops_json, &look,
		"WHERE  REASON  COUNT  PER SECOND  LAST SEEN  WHAT IT MEANS\n"
		"xdp    denied     30         2.5  1m00s ago  on the deny list\n"
		"user   limit       4         0.0     0s ago  too many\n");
	yyjson_doc_free(doc);
	doc = yyjson_read(restarted, sizeof(restarted) - 1, 0);
	look.previous = yyjson_doc_get_root(doc);
	assert_rendered(render_drops, drops_json, &look,
		"WHERE  REASON  COUNT  PER SECOND  LAST SEEN  WHAT IT MEANS\n"
		"xdp    denied     30         7.5  1m00s ago  on the deny list\n"
		"user   limit       4         0.0     0s ago  too many\n");
	yyjson_doc_free(doc);
}

static void test_counters(void **state)
{
	struct render_look look = {.now_unix_s = now_unix_s};

	assert_rendered(render_counters,
		"{\"counters\":[{\"where\":\"xdp\",\"reason\":\"syn_cookie\",\"verdict\":\"tx\","
		"\"count\":7,\"rate_per_s\":0.0,\"last_seen_at\":999999,\"help\":\"answered\"}]}",
		&look,
		"WHERE  REASON      COUNT  PER SECOND  LAST SEEN  VERDICT  WHAT IT MEANS\n"
		"xdp    syn_cookie      7         0.0     1s ago  tx       answered\n");
	assert_rendered(render_counters, "{\"counters\":[]}", &look, "nothing was counted\n");
}

static void test_top(void **state)
{
	struct render_look look = {0};

	assert_rendered(render_top,
		"{\"kind\":\"sources\",\"rows\":[{\"key\":\"192.0.2.1\",\"released\":1,\"refused\":2,"
		"\"dropped\":300,\"error\":0},{\"key\":\"2001:db8::1\",\"released\":5,\"refused\":0,"
		"\"dropped\":0,\"error\":4}]}",
		&look,
		"SOURCE       RELEASED  REFUSED  DROPPED  AT MOST TOO MUCH\n"
		"192.0.2.1           1        2      300                  \n"
		"2001:db8::1         5        0        0                 4\n");
	assert_rendered(render_top,
		"{\"kind\":\"names\",\"rows\":[{\"key\":\"a.test\",\"released\":1,\"refused\":2,"
		"\"dropped\":0,\"error\":0}]}",
		&look, "SERVER NAME  RELEASED  REFUSED\na.test              1        2\n");
	assert_rendered(render_top, "{\"kind\":\"ja4\",\"rows\":[]}", &look,
		"nobody has connected in the last minutes\n");
}

static void test_list(void **state)
{
	static const char json[] =
		"{\"list\":\"deny\",\"counts\":{\"config\":1,\"file\":0,\"api\":2},"
		"\"hits_counted\":%s,\"changed_at\":999990,\"changing\":false,\"error\":null,"
		"\"entries\":[{\"prefix\":\"192.0.2.0/24\",\"source\":\"config\",\"expires_at\":null,"
		"\"hits\":%s},{\"prefix\":\"198.51.100.7\",\"source\":\"api\",\"expires_at\":1003600,"
		"\"hits\":%s},{\"prefix\":\"2001:db8::/32\",\"source\":\"api\",\"expires_at\":null,"
		"\"hits\":%s}]}";
	struct render_look look = {.now_unix_s = now_unix_s};
	char text[1024];

	snprintf(text, sizeof(text), json, "false", "null", "null", "null");
	assert_rendered(render_list, text, &look,
		"deny list: 1 from the configuration, 0 from a file, 2 added at run time; "
		"changed 10s ago\n"
		"PREFIX         FROM    EXPIRES IN\n"
		"192.0.2.0/24   config            \n"
		"198.51.100.7   api          1h00m\n"
		"2001:db8::/32  api               \n");
	/* Those that are hit most first. */
	snprintf(text, sizeof(text), json, "true", "0", "7", "30");
	assert_rendered(render_list, text, &look,
		"deny list: 1 from the configuration, 0 from a file, 2 added at run time; "
		"changed 10s ago\n"
		"PREFIX         FROM    EXPIRES IN  HITS\n"
		"2001:db8::/32  api                   30\n"
		"198.51.100.7   api          1h00m     7\n"
		"192.0.2.0/24   config                 0\n");
	assert_rendered(render_list_change,
		"{\"result\":\"applied\",\"list\":\"allow\",\"added\":2,\"deleted\":1}", &look,
		"allow list: 2 added, 1 deleted\n");
	assert_rendered(render_list_change,
		"{\"result\":\"applied\",\"list\":\"deny\",\"entries\":1000000}", &look,
		"deny list: 1000000 entries in force, imported\n");
}

static void watch_line_of(yyjson_val *root, const struct render_look *look, FILE *out)
{
	render_watch_line(root, out);
}

static void test_watch_line(void **state)
{
	static const char drop[] =
		"{\"at\":1000000.25,\"where\":\"xdp\",\"reason\":\"deny_v6\",\"source\":\"2001:db8::1\","
		"\"source_port\":999,\"destination\":\"2001:db8::2\",\"destination_port\":443,"
		"\"interface\":\"eth0\",\"length_bytes\":74,\"weight\":12,\"tcp_flags\":\"SYN\","
		"\"server_name\":null,\"ja4\":null,\"listener\":\"web\"}";
	static const char refusal[] =
		"{\"at\":1000000,\"where\":\"gate\",\"reason\":\"name_unknown\",\"source\":\"192.0.2.1\","
		"\"source_port\":999,\"destination\":null,\"destination_port\":null,\"weight\":1,"
		"\"server_name\":\"a\\u001b[2J.test\",\"ja4\":\"t13d\",\"tcp_flags\":null}";

	setenv("TZ", "UTC", 1);
	assert_rendered(watch_line_of, drop, NULL,
		"13:46:40.250  xdp     deny_v6                   [2001:db8::1]:999       "
		"[2001:db8::2]:443           12  listener web, eth0, SYN, 74 bytes\n");
	assert_rendered(watch_line_of, refusal, NULL,
		"13:46:40.000  gate    name_unknown              192.0.2.1:999           "
		"-                            1  name a?[2J.test, t13d\n");
	assert_rendered(watch_line_of, "{\"lost\":17}", NULL,
		"... 17 lines were lost: this reader is too slow\n");
	free(rendered(watch_line_of, "{}", NULL));
	free(rendered(watch_line_of, "[1]", NULL));
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
	look.all = true; /* what the packet plane did for it too */
	assert_rendered(render_listeners,
		"{\"listeners\":[{\"name\":\"web\",\"gated\":true,\"syn_cookies\":\"always\",\"syns\":1,"
		"\"cookies\":22,\"gate_frames\":21,\"released\":20,\"dropped\":3,\"syns_refused\":4}]}",
		&look,
		"LISTENER  PROTOCOL  STATE  OPEN  ACCEPTED  REQUESTS  REFUSED  IN  OUT  CERTS  GROUP\n"
		"web       -         -         -         -         -        -   -    -      -  -\n"
		"\n"
		"LISTENER  GATED  SYN COOKIES  COOKIES  SYNS PASSED  SYNS REFUSED  GATE FRAMES  "
		"RELEASED  DROPPED\n"
		"web       yes    always            22            1             4           21  "
		"      20        3\n");
}

static void test_counts_of_groups(void **state)
{
	struct render_look wide = {.now_unix_s = now_unix_s, .wide = true};

	assert_rendered(render_groups,
		"{\"target_groups\":[{\"name\":\"web\",\"protocol\":\"http\",\"algorithm\":"
		"\"round_robin\",\"failing_open\":false,\"targets\":{\"healthy\":2},"
		"\"limited\":5,\"retries\":17,\"retries_refused\":3,\"listeners\":[]}]}",
		&wide,
		"GROUP  PROTOCOL  ALGORITHM    HEALTHY  UNHEALTHY  INITIAL  DRAINING  UNUSED  "
		"FAILING OPEN  LISTENERS\n"
		"web    http      round_robin        2          -        -         -       -  "
		"no            -\n"
		"\n"
		"GROUP  OVER LIMITS  RETRIES  OVER THE BUDGET\n"
		"web              5       17                3\n");
}

/* Why it is out comes before what its last check said. */
static void test_target_that_is_out(void **state)
{
	struct render_look look = {.now_unix_s = now_unix_s};
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);
	const char *json =
		"{\"targets\":[{\"group\":\"web\",\"name\":\"t\",\"address\":\"1.2.3.4:5\","
		"\"state\":\"unhealthy\",\"reason\":\"anomaly\","
		"\"ejected\":{\"cause\":\"latency\",\"detail\":\"answers late\"},"
		"\"last_check\":{\"ok\":true,\"detail\":\"status 200\"}}]}";
	yyjson_doc *doc = yyjson_read(json, strlen(json), 0);

	assert_non_null(out);
	render_targets(yyjson_doc_get_root(doc), &look, out);
	fclose(out);
	assert_non_null(strstr(text, "anomaly: answers late\n"));
	assert_null(strstr(text, "status 200"));
	free(text);
	yyjson_doc_free(doc);
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

static const char connections_json[] =
	"{\"connections\":[{\"id\":129,\"worker\":1,\"listener\":\"web\",\"state\":\"request\","
	"\"client\":\"192.0.2.7:99\",\"local\":\"0.0.0.0:443\",\"age_ms\":61500,\"idle_ms\":12,"
	"\"bytes_in\":1536,\"bytes_out\":7,\"requests\":2,\"server_name\":\"a.test\",\"ja4\":null,"
	"\"tls\":{\"version\":\"TLSv1.3\",\"cipher\":\"C1\",\"alpn\":\"http/1.1\",\"rx\":{\"place\":"
	"\"cipher\",\"reason\":\"not this one\"},\"tx\":{\"place\":\"kernel\",\"reason\":null}},"
	"\"target_group\":\"g\",\"target\":\"t1\",\"target_tls\":null},"
	"{\"id\":130,\"worker\":2,\"listener\":\"raw\",\"state\":\"peek\",\"client\":\"[::1]:5\","
	"\"age_ms\":0,\"idle_ms\":0,\"bytes_in\":0,\"bytes_out\":0,\"tls\":null}],"
	"\"has_more\":true,\"next\":130}";

static void test_connections(void **state)
{
	struct render_look look = {0}, wide = {.wide = true};

	assert_rendered(render_connections, connections_json, &look,
		" ID  LISTENER  STATE    CLIENT          AGE  IDLE    IN  OUT  TARGET  TLS      NAME\n"
		"129  web       request  192.0.2.7:99  1m01s    0s  1.5K   7B  t1      TLSv1.3  a.test\n"
		"130  raw       peek     [::1]:5          0s    0s    0B   0B                   \n"
		"\nthere are more: these are the first 2 (--limit)\n");
	assert_rendered(render_connections, connections_json, &wide,
		" ID  LISTENER  STATE    CLIENT          AGE  IDLE    IN  OUT  TARGET  TLS      NAME    "
		"RX      TX      CIPHER  ALPN      REQUESTS  LOCAL        GROUP  WORKER\n"
		"129  web       request  192.0.2.7:99  1m01s    0s  1.5K   7B  t1      TLSv1.3  a.test  "
		"cipher  kernel  C1      http/1.1         2  0.0.0.0:443  g           1\n"
		"130  raw       peek     [::1]:5          0s    0s    0B   0B                         "
		"                                                                       2\n"
		"\nthere are more: these are the first 2 (--limit)\n"
		"\ncipher: not this one\n");
	assert_rendered(render_connections, "{\"connections\":[]}", &look, "no connections\n");
}

#define PLACES "\"rx\":{\"kernel\":12,\"off\":0,\"cipher\":3},\"tx\":{\"kernel\":0}}}]}"
#define KTLS   "{\"setting\":\"auto\"," PLACES

/* With -o wide, of what has TLS: what is not zero. */
static void test_who_had_the_records(void **state)
{
	static const struct {
		void (*render)(yyjson_val *root, const struct render_look *look, FILE *out);
		const char *json, *expected;
	} cases[] = {
		{render_listeners,
			"{\"listeners\":[{\"name\":\"plain\",\"ktls\":null},"
			"{\"name\":\"web\",\"ktls\":" KTLS,
			"\n\nLISTENER  KTLS  RECORDS RECEIVED\n"
			"web       auto  kernel 12, cipher 3\n"},
		{render_groups,
			"{\"target_groups\":[{\"name\":\"plain\",\"ktls\":null},"
			"{\"name\":\"web\",\"ktls\":" KTLS,
			"\n\nGROUP  KTLS  RECORDS RECEIVED\n"
			"web    auto  kernel 12, cipher 3\n"},
		{render_targets,
			"{\"targets\":[{\"group\":\"plain\",\"address\":\"[::1]:9\",\"ktls\":null},"
			"{\"group\":\"web\",\"address\":\"[::1]:9\",\"ktls\":{" PLACES,
			"\n\nGROUP  ADDRESS  RECORDS RECEIVED\n"
			"web    [::1]:9  kernel 12, cipher 3\n"},
	};
	struct render_look look = {.wide = true};
	char *text;
	size_t i;

	for (i = 0; i < array_len(cases); i++) {
		look.wide = true;
		text = rendered(cases[i].render, cases[i].json, &look);
		assert_non_null(strstr(text, cases[i].expected));
		free(text);
		look.wide = false;
		text = rendered(cases[i].render, cases[i].json, &look);
		assert_null(strstr(text, "RECORDS"));
		free(text);
	}
}

static void test_status(void **state)
{
	static const char json[] =
		"{\"version\":\"0.1\",\"pid\":42,\"uptime_s\":93784,\"config\":{\"path\":\"/etc/s.yaml\","
		"\"loaded_at\":999990,\"generation\":2,\"last_reload\":{\"at\":999995,\"result\":"
		"\"refused\",\"error\":\"s.yaml:1:1: x: bad\"}},\"connections_open\":1,"
		"\"accepted_total\":2,\"requests_total\":3,\"handshakes\":{\"full\":4,\"resumed\":5,"
		"\"failed\":6,\"ticket_refused\":7},\"handover\":{\"mode\":\"own_cookies\",\"reason\":null},"
		"\"gate\":{\"active\":true,\"reason\":\"queue 1: busy\",\"device\":\"sluice0\","
		"\"sockets\":2,\"zero_copy\":0,\"frames\":9,\"flights_open\":1},\"memory\":{\"rss_bytes\":10485760,\"idle_connection_bytes\":500,"
		"\"idle_tls_connection_bytes\":1400},\"access_logs\":[{\"path\":\"/var/a.log\","
		"\"open\":true,\"lines\":7,\"dropped_full\":1,\"dropped_error\":2,"
		"\"error\":\"cannot write: full\"}],\"workers\":[{\"id\":0,\"cpu\":0,"
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
		"handshakes    4 full, 5 resumed, 6 failed, 7 tickets refused\n"
		"memory        10.0M resident, an idle connection 500 bytes, with TLS 1400\n"
		"handover      own_cookies\n"
		"gate          on sluice0, AF_XDP sockets: 2 (0 without copying), 9 frames, "
		"1 flights incomplete: queue 1: busy\n"
		"log file      /var/a.log: 7 lines, 1 dropped since they came too fast, 2 not "
		"taken; cannot write: full\n"
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
		render_groups, render_certs, render_drops, render_counters, render_top, render_list,
		render_list_change, render_connections, render_hits, render_rotated, render_config,
		render_reload};
	static const char *const answers[] = {"{}",
		"{\"listeners\":[{}],\"targets\":[{}],"
		"\"target_groups\":[{}],\"certificates\":[{}],"
		"\"drops\":[{}],\"yaml\":1,\"workers\":[1],\"counters\":[{}],\"rows\":[{}],"
		"\"entries\":[{}],\"connections\":[{}],\"gate\":{},\"handover\":{}}",
		"{\"listeners\":7,\"targets\":[null],\"certificates\":{\"a\":1},\"drops\":[[]]}",
		"{\"config\":[],\"workers\":{},\"xdp\":1,\"capabilities\":[[1]]}"};
	struct render_look look = {.width = 40, .all = true, .wide = true};

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
		cmocka_unit_test(test_drops_watched),
		cmocka_unit_test(test_counters),
		cmocka_unit_test(test_top),
		cmocka_unit_test(test_list),
		cmocka_unit_test(test_watch_line),
		cmocka_unit_test(test_targets),
		cmocka_unit_test(test_listeners),
		cmocka_unit_test(test_groups_and_certs),
		cmocka_unit_test(test_counts_of_groups),
		cmocka_unit_test(test_target_that_is_out),
		cmocka_unit_test(test_connections),
		cmocka_unit_test(test_who_had_the_records),
		cmocka_unit_test(test_status),
		cmocka_unit_test(test_views_stand_foreign_answers),
		cmocka_unit_test(test_config_and_reload),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
