/*
 * Regular expressions of rules: the one place that knows PCRE2. An expression must fit the whole
 * text, and gives up after a bounded number of steps. Compiled expressions are immutable; the
 * scratch memory belongs to one thread at a time.
 */
#ifndef SLUICE_PROXY_RULES_REGEX_H
#define SLUICE_PROXY_RULES_REGEX_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "proxy/rules.h"

struct rules_regex;
struct rules_regex_scratch;

/* 0 or -EINVAL with the place in the expression. `is_trial`: is not made fast. */
int rules_regex_new(const char *text, bool any_case, bool is_trial, struct rules_regex **ret_regex,
	uint32_t *ret_captures, struct err *err) must_check;
void rules_regex_free(struct rules_regex *regex);

struct rules_regex_scratch *rules_regex_scratch_new(void);
void rules_regex_scratch_free(struct rules_regex_scratch *scratch);

/* 1, 0, or -EOVERFLOW: given up. Groups that took no part are empty. */
int rules_regex_fits(const struct rules_regex *regex, struct slice text,
	struct rules_regex_scratch *scratch, struct slice ret_captures[RULES_CAPTURES_MAX]);

#endif
