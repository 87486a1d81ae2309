/*
 * Texts with #{...} in them, filled in from a request: protocol, host, port, path (without its first
 * slash), query, and what the wildcards or groups of the rule's pattern stood for: host.1, path.2.
 * Compiled once, immutable then.
 */
#ifndef SLUICE_PROXY_RULES_TEMPLATE_H
#define SLUICE_PROXY_RULES_TEMPLATE_H

#include "core/attr.h"
#include "core/err.h"
#include "core/slice.h"
#include "proxy/rules.h"

enum rules_variable {
	RULES_VAR_TEXT, /* none: a literal piece */
	RULES_VAR_PROTOCOL,
	RULES_VAR_HOST,
	RULES_VAR_PORT,
	RULES_VAR_PATH,
	RULES_VAR_QUERY,
	RULES_VARS,
};

struct rules_piece {
	enum rules_variable variable;
	uint32_t capture; /* of host or path: 1...; 0: the whole */
	struct slice text;
};

struct rules_template {
	char *source; /* owned; NULL: there is no template */
	struct rules_piece *pieces;
	uint32_t n;
};

/* What a request has for the variables. */
struct rules_values {
	struct slice whole[RULES_VARS];
	const struct rules_captures *captures;
};

/* `source` NULL: none. 0 or -EINVAL. */
int rules_template_init(
	struct rules_template *template, const char *source, struct err *err) must_check;
void rules_template_fini(struct rules_template *template);
/* The greatest number of a capture that is named; 0: none. */
uint32_t rules_template_captures(
	const struct rules_template *template, enum rules_variable variable);
/* Appends to `out`, which has room for `size` bytes; the number of bytes, or -ENOBUFS. */
int rules_template_fill(const struct rules_template *template, const struct rules_values *values,
	char *out, size_t size) must_check;

static inline bool rules_template_is_there(const struct rules_template *template)
{
	return template->source != NULL;
}

#endif
