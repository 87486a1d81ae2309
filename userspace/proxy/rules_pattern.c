/* Values of conditions: see rules_pattern.h. */
#include "proxy/rules_pattern.h"

#include "core/mem.h"
#include "proxy/rules_regex.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static const char regex_mark[] = "regex:";

/* One step of a pattern; moves on behind it. */
static uint16_t op_next(const char **at, bool any_case)
{
	char byte = *(*at)++;

	if (byte == '*')
		return RULES_OP_RUN;
	if (byte == '?')
		return RULES_OP_ONE;
	if (byte == '\\' && (**at == '*' || **at == '?' || **at == '\\'))
		byte = *(*at)++;
	return (uint8_t)(any_case ? rules_fold(byte) : byte);
}

static void take_literal(struct rules_pattern *pattern)
{
	uint32_t n = 0;

	pattern->literal = mem_alloc(pattern->n_ops + 1);
	while (n < pattern->n_ops && pattern->ops[n] < RULES_OP_RUN) {
		pattern->literal[n] = (char)pattern->ops[n];
		n++;
	}
	pattern->text = (struct slice){pattern->literal, n};
	pattern->kind = n == pattern->n_ops ? RULES_TEXT : RULES_WILDCARD;
}

static int init_wildcards(struct rules_pattern *pattern, const char *text, struct err *err)
{
	uint32_t wildcards = 0;
	uint16_t op;

	pattern->ops = mem_alloc((strlen(text) + 1) * sizeof(*pattern->ops));
	while (*text) {
		op = op_next(&text, pattern->any_case);
		wildcards += op >= RULES_OP_RUN;
		pattern->n_runs += op == RULES_OP_RUN;
		pattern->n_tail = op == RULES_OP_RUN ? 0 : pattern->n_tail + 1;
		pattern->ops[pattern->n_ops++] = op;
	}
	take_literal(pattern);
	pattern->n_captures =
		pattern->n_runs < RULES_CAPTURES_MAX ? pattern->n_runs : RULES_CAPTURES_MAX;
	if (wildcards <= RULES_WILDCARDS_MAX)
		return 0;
	return err_set(err, -EINVAL,
		"has %u wildcards: at most %d are allowed (a regular expression "
		"can say more)",
		wildcards, RULES_WILDCARDS_MAX);
}

int rules_pattern_init(struct rules_pattern *pattern, const char *text, bool any_case,
	bool is_trial, struct err *err)
{
	int r;

	*pattern = (struct rules_pattern){.any_case = any_case};
	if (strncmp(text, regex_mark, sizeof(regex_mark) - 1) == 0) {
		pattern->kind = RULES_REGEX;
		r = rules_regex_new(text + sizeof(regex_mark) - 1, any_case, is_trial,
			&pattern->regex, &pattern->n_captures, err);
		if (pattern->n_captures > RULES_CAPTURES_MAX)
			pattern->n_captures = RULES_CAPTURES_MAX;
		return r;
	}
	r = init_wildcards(pattern, text, err);
	if (r < 0)
		rules_pattern_fini(pattern);
	return r;
}

void rules_pattern_fini(struct rules_pattern *pattern)
{
	if (pattern->regex)
		rules_regex_free(pattern->regex);
	free(pattern->ops);
	free(pattern->literal);
	*pattern = (struct rules_pattern){.kind = RULES_TEXT};
}

static bool fits_op(const struct rules_pattern *pattern, uint16_t op, char byte)
{
	return op == RULES_OP_ONE || op == (uint8_t)(pattern->any_case ? rules_fold(byte) : byte);
}

/* Most texts that do not fit, do not by their end: no need to look for it from every place. */
static bool may_fit(const struct rules_pattern *pattern, struct slice text)
{
	size_t op = pattern->n_ops - pattern->n_tail, at;

	if (text.len < pattern->n_ops - pattern->n_runs)
		return false;
	for (at = text.len - pattern->n_tail; at < text.len; at++)
		if (!fits_op(pattern, pattern->ops[op++], text.ptr[at]))
			return false;
	return true;
}

/* Where the runs of the wildcards begin and end. */
struct runs {
	uint32_t n;
	size_t begin[RULES_WILDCARDS_MAX], end[RULES_WILDCARDS_MAX];
};

/* Each run is as short as can be, but the last one: if what is behind a run does not fit, only that
 * run grows, for what was before it fits already. */
static bool fits_wildcards(
	const struct rules_pattern *pattern, struct slice text, struct runs *ret_runs)
{
	uint32_t op = 0, behind_run = 0;
	size_t at = 0;

	ret_runs->n = 0;
	for (;;) {
		size_t *end = ret_runs->n ? &ret_runs->end[ret_runs->n - 1] : NULL;

		if (op < pattern->n_ops && pattern->ops[op] == RULES_OP_RUN) {
			ret_runs->begin[ret_runs->n] = ret_runs->end[ret_runs->n] = at;
			ret_runs->n++;
			behind_run = ++op;
		} else if (op == pattern->n_ops && end && behind_run == op) {
			*end = text.len;
			return true;
		} else if (op < pattern->n_ops && at < text.len &&
			   fits_op(pattern, pattern->ops[op], text.ptr[at])) {
			op++;
			at++;
		} else if (op == pattern->n_ops && at == text.len) {
			return true;
		} else if (end && *end < text.len) {
			at = ++*end;
			op = behind_run;
		} else {
			return false;
		}
	}
}

static bool is_text(const struct rules_pattern *pattern, struct slice text)
{
	return pattern->any_case ? slice_eq_nocase(pattern->text, text)
				 : slice_eq(pattern->text, text);
}

int rules_pattern_fits(const struct rules_pattern *pattern, struct slice text,
	struct rules_regex_scratch *scratch, struct slice ret_captures[RULES_CAPTURES_MAX])
{
	struct runs runs;
	uint32_t i;

	if (!text.ptr) /* the host of an HTTP/1.0 request, which need not say one */
		text = SLICE("");
	if (pattern->kind == RULES_REGEX)
		return rules_regex_fits(pattern->regex, text, scratch, ret_captures);
	if (pattern->kind == RULES_TEXT)
		return is_text(pattern, text);
	if (!may_fit(pattern, text) || !fits_wildcards(pattern, text, &runs))
		return 0;
	for (i = 0; ret_captures && i < runs.n && i < RULES_CAPTURES_MAX; i++)
		ret_captures[i] =
			(struct slice){text.ptr + runs.begin[i], runs.end[i] - runs.begin[i]};
	return 1;
}

static bool has_any_case(enum rules_field field)
{
	return field == RULES_HOST || field == RULES_HEADER || field == RULES_QUERY;
}

int rules_pattern_check(
	enum rules_field field, const char *pattern, uint32_t *ret_captures, struct err *err)
{
	struct rules_pattern trial;
	int r = rules_pattern_init(&trial, pattern, has_any_case(field), true, err);

	if (r < 0)
		return r;
	*ret_captures = trial.n_captures;
	rules_pattern_fini(&trial);
	return 0;
}
