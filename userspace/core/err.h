/*
 * Error texts. A function that can fail for a reason a person must understand takes a
 * `struct err *` as its last but one argument kind: it returns a negative errno and leaves in it
 * what was wrong, where, and what to do. Callers on the way up add their own context in front.
 * Owned by whoever declares it (usually on the stack); no allocation; any thread.
 */
#ifndef SLUICE_CORE_ERR_H
#define SLUICE_CORE_ERR_H

#include "core/attr.h"

enum { ERR_TEXT_BYTES = 512 };

struct err {
	char text[ERR_TEXT_BYTES];
};

/* Sets the text and returns `code` (a negative errno), so that `return err_set(...)` works.
 * `err` may be NULL. */
int err_set(struct err *err, int code, const char *format, ...) printf_like(3, 4);

/* Puts "format: " in front of the text that is there and returns `code`. */
int err_context(struct err *err, int code, const char *format, ...) printf_like(3, 4);

#endif
