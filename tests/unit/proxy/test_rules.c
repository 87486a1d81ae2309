/* Which rule a request is for: patterns, conditions, priorities; and, over random rules and requests,
 * that the index finds what looking at every rule in turn finds. */
#include "proxy/group.h"
#include "proxy/rules.h"
#include "proxy/rules_pattern.h"
#include "proxy/rules_regex.h"
#include "proxy/rules_template.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum { RULES_MAX = 300, TESTS_MAX = 3, VALUES_MAX = 3 };

/* --- patterns */
static const struct {
	const char *pattern, *text;
	bool any_case;
	int fits;
	const char *captures; /* with | between them */
} pattern_rows[] = {
	{"/a", "/a", false, 1, ""},
	{"/a", "/A", false, 0, NULL},
	{"/a", "/A", true, 1, ""},
	{"/a", "/ab", false, 0, NULL},
	{"", "", false, 1, ""},
	{"*", "", false, 1, ""},
	{"/a/*", "/a/", false, 1, ""},
	{"/a/*", "/a/b/c", false, 1, "b/c"},
	{"/a/*", "/a", false, 0, NULL},
	{"/*/x/*", "/1/x/2/x/3", false, 1, "1|2/x/3"},
	{"*.html", "/a.html.html", false, 1, "/a.html"},
	{"*.html", "/a.htm", false, 0, NULL},
	{"a?c", "abc", false, 1, ""},
	{"a?c", "ac", false, 0, NULL},
	{"a*b*c", "axbxbxc", false, 1, "x|xbx"},
	{"a*b*c", "abc", false, 1, "|"},
	{"a*b*c", "ab", false, 0, NULL},
	{"*a*b", "aab", false, 1, "|a"},
	{"*a*b", "b", false, 0, NULL},
	{"*ab*ab", "ab", false, 0, NULL},
	{"*ab*ab", "xabab", false, 1, "x|"},
	{"*?b", "b", false, 0, NULL},
	{"*.PHP", "/x.php", true, 1, "/x"},
	{"a\\*b", "a*b", false, 1, ""},
	{"a\\*b", "axb", false, 0, NULL},
	{"a\\?", "a?", false, 1, ""},
	{"a\\\\*", "a\\x", false, 1, "x"},
	{"a\\b", "a\\b", false, 1, ""},
	{"*.Example.com", "WWW.eXample.COM", true, 1, "WWW"},
	{"regex:/v([0-9]+)/(.*)", "/v12/x/y", false, 1, "12|x/y"},
	{"regex:/v[0-9]", "/v12", false, 0, NULL},
	{"regex:v[0-9]+", "/v12", false, 0, NULL},
	{"regex:^/a$", "/a", false, 1, ""},
	{"regex:/a|/b", "/b", false, 1, ""},
	{"regex:/a|/b", "/bc", false, 0, NULL},
	{"regex:A+", "aa", true, 1, ""},
	{"regex:A+", "aa", false, 0, NULL},
	{"regex:(x)?(a)", "a", false, 1, "|a"},
};

static void test_patterns(void **state)
{
	struct rules_regex_scratch *scratch = rules_regex_scratch_new();
	size_t i;

	for (i = 0; i < array_len(pattern_rows); i++) {
		struct slice captures[RULES_CAPTURES_MAX] = {{NULL, 0}};
		struct rules_pattern pattern;
		char got[256] = "";
		uint32_t n;
		int fits;

		assert_int_equal(rules_pattern_init(&pattern, pattern_rows[i].pattern,
					 pattern_rows[i].any_case, false, NULL),
			0);
		fits = rules_pattern_fits(
			&pattern, slice_of(pattern_rows[i].text), scratch, captures);
		if (fits != pattern_rows[i].fits)
			fail_msg("%s, %s: %d", pattern_rows[i].pattern, pattern_rows[i].text, fits);
		for (n = 0; fits && n < pattern.n_captures; n++)
			sprintf(got + strlen(got), "%s%.*s", n ? "|" : "", (int)captures[n].len,
				captures[n].ptr);
		if (fits)
			assert_string_equal(got, pattern_rows[i].captures);
		rules_pattern_fini(&pattern);
	}
	rules_regex_scratch_free(scratch);
}

static void test_bad_patterns(void **state)
{
	struct err err = {""};
	uint32_t captures;

	assert_true(rules_pattern_check(RULES_PATH, "regex:(a", &captures, &err) < 0);
	assert_non_null(strstr(err.text, "is no regular expression"));
	assert_true(rules_pattern_check(RULES_PATH, "***********", &captures, &err) < 0);
	assert_non_null(strstr(err.text, "at most 10 are allowed"));
	assert_int_equal(rules_pattern_check(RULES_PATH, "/*/*", &captures, &err), 0);
	assert_int_equal(captures, 2);
}

/* An expression that would take for ever is given up, and soon. */
static void test_endless_expression(void **state)
{
	struct rules_regex_scratch *scratch = rules_regex_scratch_new();
	struct rules_pattern pattern;
	static char text[65536];

	memset(text, 'a', sizeof(text));
	text[sizeof(text) - 2] = 'b';
	text[sizeof(text) - 1] = 'c';
	assert_int_equal(rules_pattern_init(&pattern, "regex:(a+)+c", false, false, NULL), 0);
	assert_true(rules_pattern_fits(
			    &pattern, (struct slice){text, sizeof(text)}, scratch, NULL) < 0);
	rules_pattern_fini(&pattern);
	rules_regex_scratch_free(scratch);
}

/* What is long and sane fits: there is memory for it. */
static void test_long_texts(void **state)
{
	struct rules_regex_scratch *scratch = rules_regex_scratch_new();
	struct rules_pattern pattern;
	char text[12000] = "/admin";
	size_t i;

	for (i = 6; i < sizeof(text); i += 2)
		memcpy(text + i, "/x", 2);
	assert_int_equal(
		rules_pattern_init(&pattern, "regex:/admin(/[^/]*)*", false, false, NULL), 0);
	assert_int_equal(
		rules_pattern_fits(&pattern, (struct slice){text, sizeof(text)}, scratch, NULL), 1);
	rules_pattern_fini(&pattern);
	rules_regex_scratch_free(scratch);
}

/* --- templates */
static void test_templates(void **state)
{
	static const struct {
		const char *source, *filled; /* NULL: refused */
	} rows[] = {
		{"", ""},
		{"/x", "/x"},
		{"/#{path}?#{query}", "/p?q"},
		{"#{protocol}://#{host}:#{port}", "https://h:1"},
		{"#{path.1}-#{host.2}-#{path.9}", "one-two-"},
		{"a#b", "a#b"},
		{"#{nothing}", NULL},
		{"#{query.1}", NULL},
		{"#{path", NULL},
		{"#{path.0}", NULL},
	};
	struct rules_captures captures = {
		.host = {{"x", 1}, {"two", 3}}, .n_host = 2, .path = {{"one", 3}}, .n_path = 1};
	struct rules_values values = {.captures = &captures,
		.whole = {[RULES_VAR_PROTOCOL] = {"https", 5},
			[RULES_VAR_HOST] = {"h", 1},
			[RULES_VAR_PORT] = {"1", 1},
			[RULES_VAR_PATH] = {"p", 1},
			[RULES_VAR_QUERY] = {"q", 1}}};
	struct rules_template template;
	char out[64];
	size_t i;
	int len;

	for (i = 0; i < array_len(rows); i++) {
		int r = rules_template_init(&template, rows[i].source, NULL);

		assert_int_equal(r < 0, !rows[i].filled);
		if (r < 0)
			continue;
		len = rules_template_fill(&template, &values, out, sizeof(out));
		assert_int_equal(len, strlen(rows[i].filled));
		assert_memory_equal(out, rows[i].filled, (size_t)len);
		if (len)
			assert_true(
				rules_template_fill(&template, &values, out, (size_t)len - 1) < 0);
		rules_template_fini(&template);
	}
}

/* --- rules */
struct made {
	struct rules_rule_spec rules[RULES_MAX];
	struct rules_condition_spec conditions[RULES_MAX][TESTS_MAX];
	struct rules_test_spec tests[RULES_MAX][TESTS_MAX];
	const char *values[RULES_MAX][TESTS_MAX][VALUES_MAX], *keys[RULES_MAX][TESTS_MAX];
	char names[RULES_MAX][16];
	struct rules_rule_spec otherwise;
	struct rules_spec spec;
	uint32_t n;
	struct rules_stats *stats;
	struct rules *compiled;
};

static void made_init(struct made *made)
{
	memset(made, 0, sizeof(*made));
	made->stats = rules_stats_new(1);
	made->otherwise = (struct rules_rule_spec){.name = "default",
		.action = {.action = RULES_FIXED, .status = 404},
		.stats = made->stats};
	made->spec = (struct rules_spec){.listener = "web",
		.rules = made->rules,
		.otherwise = &made->otherwise,
		.n_workers = 1};
}

static struct rules_rule_spec *made_rule(struct made *made, uint32_t priority)
{
	uint32_t at = made->n++;

	snprintf(made->names[at], sizeof(made->names[at]), "%u", priority);
	made->rules[at] = (struct rules_rule_spec){.name = made->names[at],
		.priority = priority,
		.conditions = made->conditions[at],
		.action = {.action = RULES_FIXED, .status = 200},
		.stats = made->stats};
	return &made->rules[at];
}

/* One more condition of the last rule, ended by NULL values. */
static void made_test(struct made *made, enum rules_field field, const char *name, bool negated,
	const char *const values[VALUES_MAX])
{
	uint32_t at = made->n - 1, test = made->rules[at].n_conditions++;

	made->tests[at][test] = (struct rules_test_spec){
		.field = field, .name = name, .values = made->values[at][test]};
	while (made->tests[at][test].n_values < VALUES_MAX &&
		values[made->tests[at][test].n_values]) {
		uint32_t value = made->tests[at][test].n_values++;

		made->values[at][test][value] = values[value];
	}
	made->conditions[at][test] = (struct rules_condition_spec){
		.negated = negated, .tests = &made->tests[at][test], .n_tests = 1};
}

static void made_compile(struct made *made)
{
	struct err err = {""};

	made->spec.n_rules = made->n;
	if (rules_new(&made->spec, &made->compiled, &err) < 0)
		fail_msg("%s", err.text);
}

static void made_fini(struct made *made)
{
	rules_free(made->compiled);
	assert_int_equal(atomic_load(&made->stats->shared.refs), 1);
	shared_put(&made->stats->shared);
	free(made);
}

struct asked {
	struct http_request request;
	struct http_header items[8];
	union addr client;
};

static void asked_init(struct asked *asked, const char *host, const char *path, const char *query)
{
	memset(asked, 0, sizeof(*asked));
	asked->request = (struct http_request){.method = HTTP_METHOD_GET,
		.method_text = SLICE("GET"),
		.host = slice_of(host),
		.path = slice_of(path)};
	if (query)
		asked->request.query = slice_of(query);
	http_headers_lend(&asked->request.headers, asked->items, array_len(asked->items));
	assert_int_equal(addr_parse("192.0.2.7:5", &asked->client), 0);
}

static void asked_header(struct asked *asked, const char *name, const char *value)
{
	assert_int_equal(
		http_headers_add(&asked->request.headers, slice_of(name), slice_of(value)), 0);
}

/* Which rule of those that were made; made->n: none of them. */
static uint32_t matched(const struct made *made, const struct asked *asked)
{
	struct rules_match match;
	struct rules_stats_row before = made->stats->workers[0];
	uint32_t i;
	const char *name;

	rules_match(made->compiled, &asked->request, &asked->client, 0, &match);
	assert_int_equal(made->stats->workers[0].hits, before.hits + 1);
	name = rules_name(match.rule);
	for (i = 0; i < made->n; i++)
		if (strcmp(made->names[i], name) == 0)
			return i;
	assert_string_equal(name, "default");
	return made->n;
}

#define VALUES(...) ((const char *const[VALUES_MAX]){__VA_ARGS__})

static void test_conditions(void **state)
{
	static const struct {
		enum rules_field field;
		const char *name, *value;
		bool negated, fits;
	} rows[] = {
		{RULES_HOST, NULL, "a.test", false, true},
		{RULES_HOST, NULL, "A.TEST", false, true},
		{RULES_HOST, NULL, "*.test", false, true},
		{RULES_HOST, NULL, "b.test", false, false},
		{RULES_HOST, NULL, "b.test", true, true},
		{RULES_PATH, NULL, "/Path/*", false, true},
		{RULES_PATH, NULL, "/path/*", false, false},
		{RULES_METHOD, NULL, "GET", false, true},
		{RULES_METHOD, NULL, "get", false, false},
		{RULES_HEADER, "x-one", "VALUE", false, true},
		{RULES_HEADER, "X-ONE", "second*", false, true},
		{RULES_HEADER, "User-Agent", "*chrome*", false, true},
		{RULES_HEADER, "X-One", NULL, false, true},
		{RULES_HEADER, "X-Two", NULL, false, false},
		{RULES_HEADER, "X-Two", NULL, true, true},
		{RULES_QUERY, "k", "v", false, true},
		{RULES_QUERY, "K", "V", false, true},
		{RULES_QUERY, NULL, "v", false, true},
		{RULES_QUERY, "v", "k", false, false},
		{RULES_QUERY, "flag", "", false, true},
		{RULES_QUERY, "flag", NULL, false, true},
		{RULES_QUERY, "gone", NULL, false, false},
		{RULES_COOKIE, "beta", "1", false, true},
		{RULES_COOKIE, "Beta", "1", false, false},
		{RULES_COOKIE, "beta", "2", false, false},
		{RULES_COOKIE, "other", "x=y", false, true},
		{RULES_COOKIE, "third", NULL, false, true},
		{RULES_COOKIE, "eta", NULL, false, false},
	};
	size_t i;

	for (i = 0; i < array_len(rows); i++) {
		struct made *made = malloc(sizeof(*made));
		struct asked asked;

		made_init(made);
		made_rule(made, 1);
		made_test(
			made, rows[i].field, rows[i].name, rows[i].negated, VALUES(rows[i].value));
		if (rows[i].field == RULES_QUERY) {
			made->tests[0][0].name = NULL;
			made->keys[0][0] = rows[i].name;
			made->tests[0][0].keys = &made->keys[0][0];
			made->tests[0][0].n_values = 1;
		}
		made_compile(made);
		asked_init(&asked, "a.Test", "/Path/x", "k=v&flag");
		asked_header(&asked, "X-One", "value");
		asked_header(&asked, "X-One", "second value");
		asked_header(&asked, "User-Agent", "Chrome/1");
		asked_header(&asked, "Cookie", "beta=1; other=x=y");
		asked_header(&asked, "Cookie", "third=");
		if ((matched(made, &asked) == 0) != rows[i].fits)
			fail_msg("row %zu", i);
		made_fini(made);
	}
}

static void test_sources(void **state)
{
	static const struct {
		const char *client;
		bool fits;
	} rows[] = {{"10.1.2.3:1", true}, {"10.2.0.0:1", false}, {"[2001:db8::1]:1", true},
		{"[2001:db9::1]:1", false}, {"[::ffff:10.1.0.9]:1", true}};
	static const struct rules_prefix any_v6 = {{0}, 0};
	struct rules_prefix prefixes[] = {
		{{0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 10, 1}, 96 + 15},
		{{0x20, 0x01, 0x0d, 0xb8}, 32}};
	struct made *made = malloc(sizeof(*made));
	struct asked asked;
	size_t i;

	prefixes[0].len_bits = 96 + 16;
	made_init(made);
	made_rule(made, 1);
	made_test(made, RULES_SOURCE, NULL, false, VALUES(NULL));
	made->tests[0][0].prefixes = prefixes;
	made->tests[0][0].n_prefixes = 2;
	made_compile(made);
	for (i = 0; i < array_len(rows); i++) {
		asked_init(&asked, "a", "/", NULL);
		assert_int_equal(addr_parse(rows[i].client, &asked.client), 0);
		assert_int_equal(matched(made, &asked) == 0, rows[i].fits);
	}
	made_fini(made);

	made = malloc(sizeof(*made));
	made_init(made);
	made_rule(made, 1);
	made_test(made, RULES_SOURCE, NULL, false, VALUES(NULL));
	made->tests[0][0].prefixes = &any_v6; /* ::/0 is nobody's of IPv4 */
	made->tests[0][0].n_prefixes = 1;
	made_compile(made);
	for (i = 0; i < array_len(rows); i++) {
		asked_init(&asked, "a", "/", NULL);
		assert_int_equal(addr_parse(rows[i].client, &asked.client), 0);
		assert_int_equal(matched(made, &asked) == 0, i == 2 || i == 3);
	}
	made_fini(made);
}

static void test_the_least_priority_wins(void **state)
{
	struct made *made = malloc(sizeof(*made));
	struct asked asked;

	made_init(made);
	made_rule(made, 30);
	made_test(made, RULES_PATH, NULL, false, VALUES("/a/b"));
	made_rule(made, 20);
	made_test(made, RULES_PATH, NULL, false, VALUES("/a/*"));
	made_rule(made, 10);
	made_test(made, RULES_HOST, NULL, false, VALUES("*.x.test"));
	made_test(made, RULES_PATH, NULL, false, VALUES("/a/*"));
	made_rule(made, 40);
	made_compile(made);
	asked_init(&asked, "y.test", "/a/b", NULL);
	assert_int_equal(matched(made, &asked), 1);
	asked_init(&asked, "y.x.test", "/a/b", NULL);
	assert_int_equal(matched(made, &asked), 2);
	asked_init(&asked, "y.x.test.", "/a/b", NULL);
	assert_int_equal(matched(made, &asked), 2);
	asked_init(&asked, "", "*", NULL);
	assert_int_equal(matched(made, &asked), 3);
	made_fini(made);
}

/* --- what nobody may know */
static bool is_undecided(const struct made *made, const struct asked *asked)
{
	struct rules_stats_row before = made->stats->workers[0];
	struct rules_match match;

	rules_match(made->compiled, &asked->request, &asked->client, 0, &match);
	assert_int_equal(made->stats->workers[0].hits, before.hits + !match.is_undecided);
	return match.is_undecided;
}

static uint64_t thread_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Each is within its own limit; all of them would hold the worker up for seconds. */
static void test_all_rules_have_one_budget(void **state)
{
	struct made *made = malloc(sizeof(*made));
	static char path[16001];
	struct asked asked;
	uint64_t begin;
	uint32_t i;

	memset(path, 'a', sizeof(path) - 1);
	path[0] = '/';
	path[sizeof(path) - 3] = 'q'; /* or nobody would look for it */
	made_init(made);
	for (i = 0; i < RULES_MAX; i++) {
		made_rule(made, i + 1);
		made_test(made, RULES_PATH, NULL, false, VALUES("regex:(?:.(?!.*zz))*q"));
	}
	made_compile(made);
	asked_init(&asked, "a.test", path, NULL);
	begin = thread_ms();
	assert_true(is_undecided(made, &asked));
	assert_true(thread_ms() - begin < 500);
	asked_init(&asked, "a.test", "/a", NULL);
	assert_false(is_undecided(made, &asked));
	made_fini(made);
}

/* The same of many parts of a query. */
static void test_long_queries_have_it_too(void **state)
{
	struct made *made = malloc(sizeof(*made));
	static char query[60001];
	struct asked asked;
	uint64_t begin;
	uint32_t i;

	for (i = 0; i < sizeof(query) - 1; i += 2)
		memcpy(query + i, "a&", 2);
	made_init(made);
	for (i = 0; i < RULES_MAX; i++) {
		made_rule(made, i + 1);
		made_test(made, RULES_QUERY, NULL, false, VALUES("*b*", "*c*", "*d*"));
	}
	made_compile(made);
	asked_init(&asked, "a.test", "/", query);
	begin = thread_ms();
	assert_true(is_undecided(made, &asked));
	assert_true(thread_ms() - begin < 500);
	made_fini(made);
}

/* What is before the rule that was given up is known, and what that one's other condition tells. */
static void test_undecided_by_priority(void **state)
{
	struct made *made = malloc(sizeof(*made));
	static char path[4001];
	struct rules_match match;
	struct asked asked;

	memset(path, 'a', sizeof(path) - 1);
	memcpy(path + sizeof(path) - 3, "bc", 2);
	path[0] = '/';
	made_init(made);
	made_rule(made, 1);
	made_test(made, RULES_HOST, NULL, false, VALUES("first.test"));
	made_rule(made, 2);
	made_test(made, RULES_METHOD, NULL, false, VALUES("GET"));
	made_test(made, RULES_PATH, NULL, true, VALUES("regex:/(a+)+c"));
	made_rule(made, 3);
	made_compile(made);
	asked_init(&asked, "first.test", path, NULL);
	assert_int_equal(matched(made, &asked), 0);
	asked_init(&asked, "a.test", path, NULL);
	assert_true(is_undecided(made, &asked));
	rules_match(made->compiled, &asked.request, &asked.client, 0, &match);
	assert_int_equal(match.evaluations, 1); /* nothing behind it */
	asked.request.method_text = SLICE("PUT");
	assert_int_equal(matched(made, &asked), 2);
	made_fini(made);
}

static void test_longest_host(void **state)
{
	struct made *made = malloc(sizeof(*made));
	char host[300];
	struct asked asked;

	made_init(made);
	made_rule(made, 1);
	made_test(made, RULES_HOST, NULL, false, VALUES("*.corp.test"));
	made_compile(made);
	memset(host, 'a', sizeof(host));
	strcpy(host + 245, ".corp.test");
	asked_init(&asked, host, "/", NULL);
	assert_int_equal(matched(made, &asked), 0);
	strcpy(host + 246, ".corp.test");
	asked_init(&asked, host, "/", NULL);
	assert_true(is_undecided(made, &asked));
	made_fini(made);
}

/* --- the index against looking at every rule */
static uint32_t next_random;

static uint32_t below(uint32_t n)
{
	next_random = next_random * 1664525 + 1013904223;
	return (next_random >> 8) % n;
}

#define PICK(list) ((list)[below(array_len(list))])

static const char *const hosts[] = {"a.test", "b.test", "x.a.test", "y.x.a.test", "test", "",
	"A.test", "a.test.", "..", "x.y.b.test"};
static const char *const host_patterns[] = {"a.test", "B.test", "*.a.test", "*.test", "*",
	"*a.test", "x.*.test", "?.test", "regex:[ab]\\.test", "*.x.a.test", "*..", "test"};
static const char *const paths[] = {
	"/", "/a", "/a/", "/a/b", "/ab", "/a/b/c", "/b", "*", "/A", "/a/b/c/d/e/f", "/a*b"};
static const char *const path_patterns[] = {"/", "/a", "/a/*", "/a*", "/a/b", "/a/b*", "*", "/*",
	"*b", "/?", "/a/?/c", "regex:/a/.*", "/a/b/c/*", "/a\\*b", "", "/ab*"};

static bool naive_glob(const char *pattern, const char *text, bool any_case)
{
	if (!*pattern)
		return !*text;
	if (*pattern == '*')
		return naive_glob(pattern + 1, text, any_case) ||
		       (*text && naive_glob(pattern, text + 1, any_case));
	if (!*text)
		return false;
	if (*pattern == '?')
		return naive_glob(pattern + 1, text + 1, any_case);
	if (*pattern == '\\')
		pattern++;
	if (*pattern != *text &&
		!(any_case && (*pattern | 0x20) == (*text | 0x20) && (*text | 0x20) >= 'a'))
		return false;
	return naive_glob(pattern + 1, text + 1, any_case);
}

/* The two expressions that are used, by hand. */
static bool naive_fits(const char *pattern, const char *text, bool any_case)
{
	if (strcmp(pattern, "regex:[ab]\\.test") == 0)
		return naive_glob("a.test", text, true) || naive_glob("b.test", text, true);
	if (strcmp(pattern, "regex:/a/.*") == 0)
		return strncmp(text, "/a/", 3) == 0;
	return naive_glob(pattern, text, any_case);
}

static bool naive_test(const struct rules_test_spec *test, const char *host, const char *path)
{
	uint32_t i;

	for (i = 0; i < test->n_values; i++)
		if (naive_fits(test->values[i], test->field == RULES_HOST ? host : path,
			    test->field == RULES_HOST))
			return true;
	return false;
}

static uint32_t naive_match(const struct made *made, const char *host, const char *path)
{
	uint32_t best = made->n, i, at;
	char name[256];

	snprintf(name, sizeof(name), "%s", host);
	if (strlen(name) > 1 && name[strlen(name) - 1] == '.')
		name[strlen(name) - 1] = '\0';
	for (i = 0; i < made->n; i++) {
		const struct rules_rule_spec *rule = &made->rules[i];

		for (at = 0; at < rule->n_conditions; at++)
			if (naive_test(rule->conditions[at].tests, name, path) ==
				rule->conditions[at].negated)
				break;
		if (at == rule->n_conditions &&
			(best == made->n || rule->priority < made->rules[best].priority))
			best = i;
	}
	return best;
}

static void add_random_test(struct made *made)
{
	const char *values[VALUES_MAX] = {NULL};
	bool is_host = below(2);
	uint32_t n = 1 + below(VALUES_MAX), i;

	for (i = 0; i < n; i++)
		values[i] = is_host ? PICK(host_patterns) : PICK(path_patterns);
	made_test(made, is_host ? RULES_HOST : RULES_PATH, NULL, below(8) == 0, values);
}

static void test_as_every_rule_in_turn(void **state)
{
	uint32_t round, n, i, j;

	for (round = 0; round < 300; round++) {
		struct made *made = malloc(sizeof(*made));

		next_random = round;
		made_init(made);
		n = below(round % 10 ? 12 : RULES_MAX);
		for (i = 0; i < n; i++) {
			made_rule(made, 1 + (i * 7919 + round) % 49999);
			for (j = below(TESTS_MAX + 1); j > 0; j--)
				add_random_test(made);
		}
		made_compile(made);
		for (i = 0; i < array_len(hosts); i++)
			for (j = 0; j < array_len(paths); j++) {
				struct asked asked;

				asked_init(&asked, hosts[i], paths[j], NULL);
				if (matched(made, &asked) != naive_match(made, hosts[i], paths[j]))
					fail_msg("round %u: %s %s", round, hosts[i], paths[j]);
			}
		made_fini(made);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_patterns),
		cmocka_unit_test(test_bad_patterns),
		cmocka_unit_test(test_endless_expression),
		cmocka_unit_test(test_long_texts),
		cmocka_unit_test(test_templates),
		cmocka_unit_test(test_conditions),
		cmocka_unit_test(test_sources),
		cmocka_unit_test(test_the_least_priority_wins),
		cmocka_unit_test(test_all_rules_have_one_budget),
		cmocka_unit_test(test_long_queries_have_it_too),
		cmocka_unit_test(test_undecided_by_priority),
		cmocka_unit_test(test_longest_host),
		cmocka_unit_test(test_as_every_rule_in_turn),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
