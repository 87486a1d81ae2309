/* The text of metrics, byte by byte. */
#include "control/metrics.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

static void is_text(struct metrics *metrics, const char *expected)
{
	assert_int_equal(metrics->len, strlen(expected));
	if (metrics->len)
		assert_memory_equal(metrics->text, expected, metrics->len);
	metrics_clear(metrics);
}

static void families_and_samples(void **state)
{
	struct metrics metrics = {0};

	metrics_family(&metrics, "a_total", METRICS_COUNTER, "How many.");
	metrics_sample(&metrics, METRICS_LABELS({"x", "1"}, {"y", "2"}), 5);
	metrics_sample(&metrics, NULL, -1);
	is_text(&metrics, "# HELP a_total How many.\n# TYPE a_total counter\n"
			  "a_total{x=\"1\",y=\"2\"} 5\na_total -1\n");
	metrics_sample(&metrics, METRICS_LABELS({"x", ""}), INT64_MAX);
	is_text(&metrics, "a_total{x=\"\"} 9223372036854775807\n");
	metrics_one(&metrics, "b", METRICS_GAUGE, "It.", 7);
	is_text(&metrics, "# HELP b It.\n# TYPE b gauge\nb 7\n");
	metrics_fini(&metrics);
}

static void histograms(void **state)
{
	struct metrics metrics = {0};
	struct latency latency = {0};
	const char *end = "a_bucket{x=\"1\",le=\"33.554432\"} 3\n"
			  "a_bucket{x=\"1\",le=\"+Inf\"} 4\n"
			  "a_count{x=\"1\"} 4\na_sum{x=\"1\"} 41.000321\n";
	const char *begin = "# HELP a It.\n# TYPE a histogram\n"
			    "a_bucket{x=\"1\",le=\"0.000064\"} 1\n"
			    "a_bucket{x=\"1\",le=\"0.000128\"} 2\n"
			    "a_bucket{x=\"1\",le=\"0.000256\"} 3\n"
			    "a_bucket{x=\"1\",le=\"0.000512\"} 3\n";

	latency_note(&latency, 64);
	latency_note(&latency, 128);
	latency_note(&latency, 129);
	latency_note(&latency, 41000000);
	metrics_family(&metrics, "a", METRICS_HISTOGRAM, "It.");
	metrics_histogram(&metrics, METRICS_LABELS({"x", "1"}), &latency);
	assert_memory_equal(metrics.text, begin, strlen(begin));
	assert_memory_equal(metrics.text + metrics.len - strlen(end), end, strlen(end));
	metrics_clear(&metrics);
	metrics_histogram(&metrics, NULL, &latency);
	assert_memory_equal(metrics.text, "a_bucket{le=\"0.000064\"} 1\n", 26);
	metrics_fini(&metrics);
}

static void value_is(struct metrics *metrics, const char *value, const char *written)
{
	char expected[128];

	metrics->name = "a";
	metrics_sample(metrics, METRICS_LABELS({"x", value}), 1);
	snprintf(expected, sizeof(expected), "a{x=\"%s\"} 1\n", written);
	is_text(metrics, expected);
}

/* Names come out of files: nothing in them may end a value, a line, or be no UTF-8. */
static void values_are_escaped(void **state)
{
	struct metrics metrics = {0};

	value_is(&metrics, "a\"b\\c\nd", "a\\\"b\\\\c\\nd");
	value_is(&metrics,
		"b\xc3\xbc"
		"cher \xe2\x82\xac \xf0\x9f\x98\x80",
		"b\xc3\xbc"
		"cher \xe2\x82\xac \xf0\x9f\x98\x80");
	value_is(&metrics, "\xff\xc3", "??");
	value_is(&metrics, "\xc3\"", "?\\\"");
	value_is(&metrics, "\xed\xa0\x80", "???");
	value_is(&metrics, "\xf0\x9f\x98", "???");
	value_is(&metrics, "\xc0\xaf", "??");
	metrics_fini(&metrics);
}

static void much_text(void **state)
{
	struct metrics metrics = {0};
	int i;

	metrics.name = "a";
	for (i = 0; i < 10000; i++)
		metrics_sample(&metrics, METRICS_LABELS({"x", "y"}), 1);
	assert_int_equal(metrics.len, 10000 * strlen("a{x=\"y\"} 1\n"));
	metrics_fini(&metrics);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(families_and_samples),
		cmocka_unit_test(histograms),
		cmocka_unit_test(values_are_escaped),
		cmocka_unit_test(much_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
