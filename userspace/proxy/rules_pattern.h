/*
 * One value of a condition: a text, a text with wildcards (* any run of bytes, ? one byte, \ in front
 * of either takes its meaning), or "regex:" and an expression (PCRE2) that must fit the whole.
 * Compiled once, immutable then.
 */
#ifndef SLUICE_PROXY_RULES_PATTERN_H
#define SLUICE_PROXY_RULES_PATTERN_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "proxy/rules.h"

struct rules_regex;
struct rules_regex_scratch;

enum rules_pattern_kind { RULES_TEXT, RULES_WILDCARD, RULES_REGEX };

struct rules_pattern {
	enum rules_pattern_kind kind;
	bool any_case;
	uint32_t n_captures;
	uint32_t n_ops, n_runs;
	uint32_t n_tail; /* ops behind the last run */
	uint16_t *ops; /* bytes, RULES_OP_*; of TEXT and WILDCARD */
	struct slice text; /* the literal of TEXT, what is in front of the first wildcard */
	char *literal; /* text.ptr, owned; small letters with any_case */
	struct rules_regex *regex;
};

enum { RULES_OP_RUN = 256, RULES_OP_ONE };

/* 0 or -EINVAL. `is_trial`: it will not be used, only looked at. */
int rules_pattern_init(struct rules_pattern *pattern, const char *text, bool any_case,
	bool is_trial, struct err *err) must_check;
void rules_pattern_fini(struct rules_pattern *pattern);
/* 1 it fits, 0, or -EOVERFLOW: an expression that took too long. `ret_captures` may be NULL. */
int rules_pattern_fits(const struct rules_pattern *pattern, struct slice text,
	struct rules_regex_scratch *scratch, struct slice ret_captures[RULES_CAPTURES_MAX]);

static inline char rules_fold(char byte)
{
	return byte >= 'A' && byte <= 'Z' ? (char)(byte + ('a' - 'A')) : byte;
}

#endif
