/*
 * The kinds of objects that the admin API has: what of the configuration is an object of its own, and
 * how one of the API lies over what the file says. Constant; any thread.
 */
#ifndef SLUICE_CONTROL_OBJECT_KINDS_H
#define SLUICE_CONTROL_OBJECT_KINDS_H

#include "control/config_settings.h"
#include <stdbool.h>
#include <stddef.h>

struct object_kind {
	const char *name;   /* "rules": what the list is called that it is an item of */
	const char *parent; /* "listeners": the list is that of an item of this kind, which its name
			       begins with ("web/canary"); NULL: it is of the top level */
	/* An object of the API changes those settings of the file's that it has (RFC 7396); else it
	 * takes the place of the file's. */
	bool is_patch;
	bool is_section; /* no item of a list: settings of the whole program, a section of them */
	enum setting_section section; /* of its settings; is_section: object_kind_section() */
};

/* Sorted by name; the last one has none. */
extern const struct object_kind object_kind_rows[];

/* NULL: there is none. */
const struct object_kind *object_kind_find(const char *name);
/* "certificates, listeners ...". */
const char *object_kinds(void);

/* What is in one section of the whole program's settings: NULL, there is no such section. */
const struct setting *object_kind_section(struct slice name);
/* The object of that kind with what stands at the top level by itself: neither in a section nor an object. */
#define OBJECT_GLOBAL "global"
bool object_kind_is_global(const struct setting *row);
/* "limits, log ... global". */
const char *object_kind_sections(void);

/* The part of a name behind its parent's ("canary" of "web/canary"); the whole one where the kind has
 * no parents. NULL: a kind that has, and a name that has none. */
const char *object_kind_last(const struct object_kind *kind, const char *name);

#endif
