/* Regular expressions of rules: see rules_regex.h. */
#include "proxy/rules_regex.h"

#include "core/mem.h"

#include <errno.h>
#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <stdlib.h>

/* Steps, and bytes of memory for them where there is no just-in-time compiler: a text of 64 KiB is
 * looked through by any sane expression, and an insane one ends within a millisecond or two. */
enum {
	STEPS_MAX = 20000,
	HEAP_KIB_MAX = 4096,
	STACK_BYTES = 32 * 1024,
	STACK_BYTES_MAX = 1024 * 1024, /* is only used as far as a text makes it so */
	COMPILED_BYTES_MAX = 1 << 20,
};

struct rules_regex_scratch {
	pcre2_match_data *match;
	pcre2_match_context *context;
	pcre2_jit_stack *stack;
};

static pcre2_compile_context *compile_context(void)
{
	pcre2_compile_context *context = pcre2_compile_context_create(NULL);

	if (!context)
		abort();
	pcre2_set_parens_nest_limit(context, 100);
	return context;
}

static int refuse(int code, size_t offset, struct err *err)
{
	PCRE2_UCHAR text[160];

	if (pcre2_get_error_message(code, text, sizeof(text)) < 0)
		text[0] = '\0';
	return err_set(err, -EINVAL, "is no regular expression: %s (at character %zu of it)",
		(const char *)text, offset + 1);
}

int rules_regex_new(const char *text, bool any_case, bool is_trial, struct rules_regex **ret_regex,
	uint32_t *ret_captures, struct err *err)
{
	uint32_t options = PCRE2_ANCHORED | PCRE2_ENDANCHORED | PCRE2_NEVER_UTF | PCRE2_NEVER_UCP |
			   PCRE2_NEVER_BACKSLASH_C | PCRE2_DOLLAR_ENDONLY |
			   (any_case ? PCRE2_CASELESS : 0);
	pcre2_compile_context *context = compile_context();
	PCRE2_SIZE offset, size = 0;
	pcre2_code *code;
	int error;

	code = pcre2_compile(
		(PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &offset, context);
	pcre2_compile_context_free(context);
	if (!code)
		return refuse(error, offset, err);
	pcre2_pattern_info(code, PCRE2_INFO_SIZE, &size);
	if (size > COMPILED_BYTES_MAX) {
		pcre2_code_free(code);
		return err_set(err, -EINVAL, "is too large a regular expression");
	}
	pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, ret_captures);
	if (!is_trial)
		(void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE); /* without it, it is slower */
	*ret_regex = (struct rules_regex *)code;
	return 0;
}

void rules_regex_free(struct rules_regex *regex)
{
	pcre2_code_free((pcre2_code *)regex);
}

struct rules_regex_scratch *rules_regex_scratch_new(void)
{
	struct rules_regex_scratch *scratch = mem_alloc(sizeof(*scratch));

	scratch->match = pcre2_match_data_create(RULES_CAPTURES_MAX + 1, NULL);
	scratch->context = pcre2_match_context_create(NULL);
	if (!scratch->match || !scratch->context)
		abort();
	scratch->stack = pcre2_jit_stack_create(STACK_BYTES, STACK_BYTES_MAX, NULL);
	if (scratch->stack) /* NULL: this library compiles nothing */
		pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
	pcre2_set_match_limit(scratch->context, STEPS_MAX);
	pcre2_set_depth_limit(scratch->context, STEPS_MAX);
	pcre2_set_heap_limit(scratch->context, HEAP_KIB_MAX);
	return scratch;
}

void rules_regex_scratch_free(struct rules_regex_scratch *scratch)
{
	pcre2_match_data_free(scratch->match);
	pcre2_match_context_free(scratch->context);
	if (scratch->stack)
		pcre2_jit_stack_free(scratch->stack);
	free(scratch);
}

static void take_captures(const struct rules_regex_scratch *scratch, int n_pairs, struct slice text,
	struct slice ret_captures[RULES_CAPTURES_MAX])
{
	const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->match);
	int i;

	/* Pairs behind the last group that took part are not written. */
	for (i = n_pairs - 1; i < RULES_CAPTURES_MAX; i++)
		ret_captures[i] = (struct slice){"", 0};
	for (i = 0; i < n_pairs - 1; i++) {
		size_t begin = at[2 * (i + 1)], end = at[2 * (i + 1) + 1];

		ret_captures[i] = begin == PCRE2_UNSET || end < begin
					  ? (struct slice){"", 0}
					  : (struct slice){text.ptr + begin, end - begin};
	}
}

int rules_regex_fits(const struct rules_regex *regex, struct slice text,
	struct rules_regex_scratch *scratch, struct slice ret_captures[RULES_CAPTURES_MAX])
{
	int r = pcre2_match((const pcre2_code *)regex, (PCRE2_SPTR)(text.ptr ?: ""), text.len, 0, 0,
		scratch->match, scratch->context);

	if (r == PCRE2_ERROR_NOMATCH)
		return 0;
	if (r < 0)
		return -EOVERFLOW;
	if (ret_captures)
		take_captures(scratch, r ?: RULES_CAPTURES_MAX + 1, text, ret_captures);
	return 1;
}
