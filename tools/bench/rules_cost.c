/*
 * What finding the rule of a request costs: nanoseconds per request over rules each of which has a host
 * and a path of its own, and requests for any of them alike, so that what a request meets is in no
 * cache but by chance. One JSON line per row, or per row that is named:
 *	{"id": "rules_match_10k", "ns": 480, "min_ns": 470, "floor_ns": 25, "rules": 10000}
 * The floor is the same with the one default and no rule. Needs no privileges.
 */
#include "proxy/rules.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { ROUNDS = 15, REQUESTS = 200000, TEXT_BYTES = 64, RULES_MAX = 10000 };

enum kind { KIND_HOSTS_AND_PATHS, KIND_ONE_HOST, KIND_WILDCARDS };

static const struct row {
	const char *id;
	uint32_t rules;
	enum kind kind;
} rows[] = {
	{"rules_match_10k", RULES_MAX, KIND_HOSTS_AND_PATHS},
	{"rules_match_10k_one_host", RULES_MAX, KIND_ONE_HOST},
	{"rules_match_10k_wildcards", RULES_MAX, KIND_WILDCARDS},
	{"rules_match_1", 1, KIND_HOSTS_AND_PATHS},
};

struct bench {
	struct rules_rule_spec *rules;
	struct rules_condition_spec *conditions;
	struct rules_test_spec *tests; /* two of each rule */
	char (*hosts)[TEXT_BYTES], (*paths)[TEXT_BYTES]; /* of the rules' patterns */
	const char **values;
	struct rules_stats *stats;
	struct rules *made;
	struct http_request *requests;
	char (*asked)[2][TEXT_BYTES];
};

static void *zeroed(size_t n, size_t bytes)
{
	void *memory = calloc(n + 1, bytes);

	if (!memory)
		abort();
	return memory;
}

static void write_texts(struct bench *bench, const struct row *row, uint32_t i)
{
	bool has_star = row->kind == KIND_WILDCARDS;

	if (row->kind == KIND_ONE_HOST)
		snprintf(bench->hosts[i], TEXT_BYTES, "www.example.com");
	else
		snprintf(bench->hosts[i], TEXT_BYTES, "%sshop%u.example.com", has_star ? "*." : "",
			i);
	snprintf(bench->paths[i], TEXT_BYTES, "/service-%u/v1/%s", i, has_star ? "*" : "items");
}

static void add_rule(struct bench *bench, const struct row *row, uint32_t i)
{
	struct rules_test_spec *tests = &bench->tests[2 * i];

	write_texts(bench, row, i);
	bench->values[2 * i] = bench->hosts[i];
	bench->values[2 * i + 1] = bench->paths[i];
	tests[0] = (struct rules_test_spec){
		.field = RULES_HOST, .values = &bench->values[2 * i], .n_values = 1};
	tests[1] = (struct rules_test_spec){
		.field = RULES_PATH, .values = &bench->values[2 * i + 1], .n_values = 1};
	bench->conditions[i] = (struct rules_condition_spec){.tests = tests, .n_tests = 2};
	bench->rules[i] = (struct rules_rule_spec){.name = bench->paths[i],
		.priority = i + 1,
		.conditions = &bench->conditions[i],
		.n_conditions = 1,
		.action = {.action = RULES_FIXED, .status = 200},
		.stats = bench->stats};
}

/* "*" stands for something in a request. */
static void ask(struct bench *bench, const struct row *row, uint32_t at, uint32_t rule)
{
	bool has_star = row->kind == KIND_WILDCARDS;
	char *host = bench->asked[at][0], *path = bench->asked[at][1];

	snprintf(host, TEXT_BYTES, "%s%s", has_star ? "a.b" : "", bench->hosts[rule] + has_star);
	snprintf(path, TEXT_BYTES, "%s%s", bench->paths[rule], has_star ? "7/edit" : "");
	bench->requests[at] = (struct http_request){.method = HTTP_METHOD_GET,
		.method_text = SLICE("GET"),
		.host = slice_of(host),
		.path = slice_of(path)};
}

static void make(struct bench *bench, const struct row *row)
{
	struct rules_rule_spec otherwise = {
		.name = "default", .action = {.action = RULES_FIXED, .status = 404}};
	struct rules_spec spec = {.listener = "bench",
		.n_rules = row->rules,
		.otherwise = &otherwise,
		.n_workers = 1};
	struct err err;
	uint32_t i;

	*bench = (struct bench){.rules = zeroed(row->rules, sizeof(*bench->rules)),
		.conditions = zeroed(row->rules, sizeof(*bench->conditions)),
		.tests = zeroed(2 * (size_t)row->rules, sizeof(*bench->tests)),
		.hosts = zeroed(row->rules, TEXT_BYTES),
		.paths = zeroed(row->rules, TEXT_BYTES),
		.values = zeroed(2 * (size_t)row->rules, sizeof(*bench->values)),
		.stats = rules_stats_new(1),
		.requests = zeroed(row->rules, sizeof(*bench->requests)),
		.asked = zeroed(row->rules, sizeof(*bench->asked))};
	otherwise.stats = bench->stats;
	spec.rules = bench->rules;
	for (i = 0; i < row->rules; i++)
		add_rule(bench, row, i);
	if (rules_new(&spec, &bench->made, &err) < 0) {
		fprintf(stderr, "rules_cost: %s\n", err.text);
		exit(1);
	}
	for (i = 0; i < row->rules; i++)
		ask(bench, row, i, i);
}

static void drop(struct bench *bench)
{
	rules_free(bench->made);
	shared_put(&bench->stats->shared);
	free(bench->rules);
	free(bench->conditions);
	free(bench->tests);
	free(bench->hosts);
	free(bench->paths);
	free(bench->values);
	free(bench->requests);
	free(bench->asked);
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Nanoseconds per request; with `expected`, each must go by a rule. */
static double round_ns(struct bench *bench, uint32_t n, bool expected)
{
	union addr client = {.v4 = {.sin_family = AF_INET}};
	uint32_t seed = 1, i, missed = 0;
	struct rules_match match;
	uint64_t begin = now_ns();

	for (i = 0; i < REQUESTS; i++) {
		seed = seed * 1664525 + 1013904223;
		rules_match(bench->made, &bench->requests[(seed >> 8) % n], &client, 0, &match);
		missed += !match.evaluations;
	}
	if (expected && missed) {
		fprintf(stderr, "rules_cost: %u requests went by no rule\n", missed);
		exit(1);
	}
	return (double)(now_ns() - begin) / REQUESTS;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void run(const struct row *row)
{
	static const struct row none = {"", 0, KIND_HOSTS_AND_PATHS};
	double own[ROUNDS], floor[ROUNDS];
	struct bench bench, empty;
	int i;

	make(&bench, row);
	make(&empty, &none);
	empty.requests[0] = bench.requests[0];
	for (i = 0; i < ROUNDS; i++) {
		own[i] = round_ns(&bench, row->rules, true);
		floor[i] = round_ns(&empty, 1, false);
	}
	qsort(own, ROUNDS, sizeof(own[0]), compare);
	qsort(floor, ROUNDS, sizeof(floor[0]), compare);
	printf("{\"id\": \"%s\", \"ns\": %.0f, \"min_ns\": %.0f, \"floor_ns\": %.0f, \"rules\": %u}\n",
		row->id, own[ROUNDS / 2], own[0], floor[ROUNDS / 2], row->rules);
	drop(&bench);
	drop(&empty);
}

int main(int argc, char **argv)
{
	for (size_t i = 0; i < array_len(rows); i++) {
		bool wanted = argc == 1;

		for (int at = 1; at < argc; at++)
			wanted |= strcmp(argv[at], rows[i].id) == 0;
		if (wanted)
			run(&rows[i]);
	}
	return 0;
}
