/*
 * What objects there are in a configuration, from the file, the admin API or both, as the API shows
 * them. Made with the configuration, owned by whoever has that; immutable.
 */
#ifndef SLUICE_CONTROL_OBJECT_ROWS_H
#define SLUICE_CONTROL_OBJECT_ROWS_H

#include "control/config_merge.h"

enum object_origin {
	OBJECT_FROM_FILE,
	OBJECT_FROM_API,
	OBJECT_FROM_BOTH, /* the API's lies over the file's */
	OBJECT_FROM_PARENT, /* it is in the settings of an object of the API */
	OBJECT_UNUSED, /* the API's, and what it belongs to is gone */
};
enum { OBJECT_ETAG_BYTES = 17 };

struct object_row {
	char *kind, *name;
	char *text; /* its settings in effect but the name, without defaults: JSON, indented */
	char *alone; /* the same without what objects below it add; NULL: there are none */
	enum object_origin origin;
	char etag[OBJECT_ETAG_BYTES]; /* tells it from what it was before */
};

struct object_rows {
	struct object_row *items; /* sorted by kind, then name */
	size_t n, room;
};

/* Of a tree that was merged and then read without errors. `overlay` may be NULL. */
void object_rows_init(struct object_rows *ret_rows, struct tree *tree,
	const struct config_overlay *overlay, const struct config_merged *merged);
void object_rows_fini(struct object_rows *rows);
/* NULL: there is none. */
const struct object_row *object_rows_find(
	const struct object_rows *rows, const char *kind, const char *name);

#endif
