/*
 * Lists of prefixes as lines of text, as deny_file, imports and exports have them:
 *
 *	# a comment
 *	192.0.2.0/24
 *	2001:db8::1     until 2030-01-31T12:00:00Z
 *
 * A line holds one prefix and, where entries expire, the time at which they do (UTC). Any thread.
 */
#ifndef SLUICE_CONTROL_LISTS_TEXT_H
#define SLUICE_CONTROL_LISTS_TEXT_H

#include "control/lists_entries.h"
#include "core/err.h"
#include "core/slice.h"

enum { LISTS_TIME_TEXT_BYTES = 24 }; /* 2030-01-31T12:00:00Z */

/* What all entries of a text have in common. */
struct lists_text_spec {
	const char *name; /* of the text in errors: a path, or "import" */
	enum list_kind kind;
	enum lists_source source;
	bool expires; /* lines may have an end */
	size_t max;
};

/* Sorted. The text of an error begins "NAME:LINE: "; nothing is returned then. */
int lists_text_parse(struct slice text, const struct lists_text_spec *spec,
	struct lists_entries *ret_entries, struct err *err) must_check;
int lists_text_read(const struct lists_text_spec *spec, struct lists_entries *ret_entries,
	struct err *err) must_check;
/* malloc'd, ends in NUL. */
char *lists_text_print(const struct lists_entries *entries, size_t *ret_len);

/* "2030-01-31T12:00:00Z"; -EINVAL. */
int lists_time_parse(struct slice text, int64_t *ret_unix_s) must_check;
void lists_time_print(int64_t unix_s, char ret_text[LISTS_TIME_TEXT_BYTES]);

#endif
