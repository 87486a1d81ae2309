/*
 * The list of what is wrong with a configuration: everything found in one run, each with its place
 * in the file. Parsing fills it, apply adds what only shows when files are opened. Owned by the
 * caller; one thread at a time. Texts beyond CONFIG_ERRORS_MAX are counted, not kept.
 */
#ifndef SLUICE_CONTROL_CONFIG_ERRORS_H
#define SLUICE_CONTROL_CONFIG_ERRORS_H

#include "core/attr.h"
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

enum { CONFIG_ERRORS_MAX = 100 };

/* A place in the configuration file, both 1-based; line 0: not written in the file. */
struct config_mark {
	uint32_t line;
	uint32_t column; /* in characters */
	uint32_t source; /* 0: the file; else what config_errors_add_source() has returned */
};

struct config_error {
	struct config_mark mark;
	char *text; /* "setting.path: what is wrong" */
};

struct config_errors {
	char *file; /* as the user named it; NULL before the first parse */
	char **sources; /* what else was read, numbered from 1 */
	uint32_t n_sources;
	struct config_error *item;
	uint32_t count; /* kept in `item` */
	uint32_t more;  /* found beyond that */
};

void config_errors_init(struct config_errors *errors);
void config_errors_fini(struct config_errors *errors);

/* The file the entries speak of. */
void config_errors_set_file(struct config_errors *errors, const char *file);

/* Something else that is read beside it, as people call it ("object listeners/web"). The number that
 * marks in it have. */
uint32_t config_errors_add_source(struct config_errors *errors, const char *name);
/* "object listeners/web", or the file's name. */
const char *config_errors_source(const struct config_errors *errors, uint32_t source);

/* `path` is the setting ("listeners[web].timeouts.idle"), NULL or "" for the file as a whole. */
void config_errors_add(struct config_errors *errors, struct config_mark mark, const char *path,
	const char *format, ...) printf_like(4, 5);

/* Found so far, kept or not. */
uint32_t config_errors_total(const struct config_errors *errors);
/* No more texts are kept: a caller may save itself the work of making a good one. */
bool config_errors_full(const struct config_errors *errors);

/* In the order of the file, one line each: "file:line:column: setting.path: what is wrong". */
void config_errors_print(struct config_errors *errors, FILE *out);

#endif
