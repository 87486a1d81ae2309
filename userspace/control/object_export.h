/*
 * All objects of a configuration, those of the file and of the API, as one file that says the same
 * without the API: what `sluicectl export` prints. Contents of the API stay where they are and are
 * named by their paths. Pure; any thread.
 */
#ifndef SLUICE_CONTROL_OBJECT_EXPORT_H
#define SLUICE_CONTROL_OBJECT_EXPORT_H

#include "control/object_rows.h"

struct export_how {
	const char *folder; /* what relative paths of the file begin at */
	const char *blob_path; /* the folder of contents */
	bool redact; /* what may be secret (object_redact.h): for people, not for a daemon */
};

/* YAML without defaults, the caller's to free; `ret_contents` (blob_list_fini()): what it needs of the folder. */
char *object_export(const struct object_rows *rows, const struct export_how *how,
	struct blob_list *ret_contents);

#endif
