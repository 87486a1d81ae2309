/* Metrics as a text: see metrics.h. */
#include "control/metrics.h"

#include "core/mem.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ROOM_MIN = 4096, NUMBER_BYTES = 24 };

void metrics_fini(struct metrics *metrics)
{
	free(metrics->text);
	*metrics = (struct metrics){0};
}

void metrics_clear(struct metrics *metrics)
{
	metrics->len = 0;
}

static void put(struct metrics *metrics, const char *bytes, size_t len)
{
	if (metrics->len + len > metrics->room) {
		metrics->room = 2 * metrics->room > metrics->len + len
					? 2 * metrics->room
					: metrics->len + len + ROOM_MIN;
		metrics->text = mem_realloc(metrics->text, metrics->room);
	}
	memcpy(metrics->text + metrics->len, bytes, len);
	metrics->len += len;
}

static void put_text(struct metrics *metrics, const char *text)
{
	put(metrics, text, strlen(text));
}

void metrics_family(
	struct metrics *metrics, const char *name, enum metrics_type type, const char *help)
{
	static const char *const words[] = {[METRICS_GAUGE] = "gauge",
		[METRICS_COUNTER] = "counter",
		[METRICS_HISTOGRAM] = "histogram"};
	char *text = mem_printf("# HELP %s %s\n# TYPE %s %s\n", name, help, name, words[type]);

	put_text(metrics, text);
	free(text);
	metrics->name = name;
}

/* The length of the UTF-8 character that begins here; 0: none does. */
static size_t character_len(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;
	size_t i, len = *c < 0x80   ? 1
			: *c < 0xc2 ? 0
			: *c < 0xe0 ? 2
			: *c < 0xf0 ? 3
			: *c < 0xf5 ? 4
				    : 0;

	for (i = 1; i < len; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	if ((*c == 0xe0 && c[1] < 0xa0) || (*c == 0xed && c[1] > 0x9f) ||
		(*c == 0xf0 && c[1] < 0x90) || (*c == 0xf4 && c[1] > 0x8f))
		return 0;
	return len;
}

/* What is not UTF-8 becomes a "?". */
static void put_value(struct metrics *metrics, const char *value)
{
	size_t len;

	for (; *value; value += len ? len : 1) {
		len = character_len(value);
		if (*value == '\\' || *value == '"')
			put(metrics, (char[]){'\\', *value}, 2);
		else if (*value == '\n')
			put(metrics, "\\n", 2);
		else
			put(metrics, len ? value : "?", len ? len : 1);
	}
}

/* `le` NULL: that label is not there. */
static void put_labels(struct metrics *metrics, const struct metrics_label *labels, const char *le)
{
	const char *before = "{";

	for (; labels && labels->name; labels++) {
		put_text(metrics, before);
		put_text(metrics, labels->name);
		put_text(metrics, "=\"");
		put_value(metrics, labels->value);
		put_text(metrics, "\"");
		before = ",";
	}
	if (le) {
		put_text(metrics, before);
		put_text(metrics, "le=\"");
		put_text(metrics, le);
		put_text(metrics, "\"");
		before = ",";
	}
	put_text(metrics, *before == ',' ? "} " : " ");
}

void metrics_sample(struct metrics *metrics, const struct metrics_label *labels, int64_t value)
{
	char number[NUMBER_BYTES];

	put_text(metrics, metrics->name);
	put_labels(metrics, labels, NULL);
	snprintf(number, sizeof(number), "%" PRId64 "\n", value);
	put_text(metrics, number);
}

static void seconds_text(uint64_t us, char text[static NUMBER_BYTES])
{
	snprintf(
		text, NUMBER_BYTES, "%" PRIu64 ".%06u", us / 1000000, (unsigned int)(us % 1000000));
}

static void put_part(struct metrics *metrics, const char *part, const struct metrics_label *labels,
	const char *le, const char *value)
{
	put_text(metrics, metrics->name);
	put_text(metrics, part);
	put_labels(metrics, labels, le);
	put_text(metrics, value);
	put_text(metrics, "\n");
}

void metrics_histogram(
	struct metrics *metrics, const struct metrics_label *labels, const struct latency *latency)
{
	char le[NUMBER_BYTES], value[NUMBER_BYTES];
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < LATENCY_BUCKETS; i++) {
		sum += latency->buckets[i];
		snprintf(value, sizeof(value), "%" PRIu64, sum);
		seconds_text(latency_bound_us(i), le);
		put_part(metrics, "_bucket", labels, i < LATENCY_BOUNDS ? le : "+Inf", value);
	}
	put_part(metrics, "_count", labels, NULL, value);
	seconds_text(latency->sum_us, value);
	put_part(metrics, "_sum", labels, NULL, value);
}

void metrics_one(struct metrics *metrics, const char *name, enum metrics_type type,
	const char *help, int64_t value)
{
	metrics_family(metrics, name, type, help);
	metrics_sample(metrics, NULL, value);
}
