/*
 * The pairs of a directory (certificates[].directory): one version, immutable and counted, made
 * from the one before by looking at the files again. Unchanged pairs are taken over; a bad one has
 * a fault, and its last good certificate stays until its files are good or gone. Made on the loader
 * thread; any thread may read.
 */
#ifndef SLUICE_CONTROL_CERTDIR_H
#define SLUICE_CONTROL_CERTDIR_H

#include "core/attr.h"
#include "core/err.h"
#include "tls/key_password.h"
#include "tls/cert.h"
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct certdir;
struct certindex;

struct certdir_spec {
	const char *name; /* of the certificates in the configuration */
	const char *path;
	const struct certindex *index; /* NULL: none; only looked at for a first version */
	/* Folders that are looked at ("" or "eu/shop"), before they are; NULL: nobody asks. */
	void (*folder_seen)(void *arg, const char *directory, const char *folder);
	void *arg;
	uint16_t bits_useful; /* of security: no listener can use a certificate that has fewer */
	uint16_t bits_wanted; /* nor does one with fewer replace one that has them */
	bool is_thorough; /* keys are checked even where nothing can be lost: a first version */
	bool is_quiet; /* faults go to no log: nothing comes of this version */
	bool is_patient; /* what does not fit together, or is gone, may be half-written: wait */
	struct key_password_source password; /* of encrypted keys; not a command */
};

/* Which certificates another version has, and which it no longer has; counted. */
struct certdir_changes {
	struct cert **removed, **added;
	size_t n_removed, n_added;
	uint32_t n_unsettled; /* pairs that is_patient waits for */
	uint32_t n_later; /* places that may become good without anybody touching them */
	uint32_t n_read; /* pairs whose files were read, and not taken from the index or before */
	uint32_t n_faults; /* new ones */
};

void certdir_changes_fini(struct certdir_changes *changes);

/* A place that was touched, as inotify tells it. */
struct certdir_touched {
	const char *folder; /* below the directory */
	const char *name;   /* in it; "": the folder and all below it */
	bool was_folder;    /* a folder of that name was known */
};

/* All of it again. `before` may be NULL. New faults go to the log. -errno: the directory itself
 * cannot be read. `changes` must be zeroed. */
int certdir_scan(const struct certdir_spec *spec, struct certdir *before, struct certdir **ret_dir,
	struct certdir_changes *changes, struct err *err) must_check;
/* Only what was touched. Returns a count on `before` if nothing has changed. */
struct certdir *certdir_update(const struct certdir_spec *spec, struct certdir *before,
	const struct certdir_touched *touched, size_t n, struct certdir_changes *changes);

struct certdir *certdir_get(struct certdir *dir);
/* NULL is ignored. */
void certdir_put(struct certdir *dir);

size_t certdir_len(const struct certdir *dir);
size_t certdir_faults(const struct certdir *dir);
/* All certificates: start with *cursor {0}. NULL: no more. */
struct certdir_cursor {
	size_t segment;
	uint32_t at;
};
struct cert *certdir_next(const struct certdir *dir, struct certdir_cursor *cursor);

struct certdir_fault {
	const char *file; /* below the directory */
	const char *text;
	bool has_last_good; /* which is still served */
};
/* Borrowed from `dir`. False: no more. */
bool certdir_next_fault(
	const struct certdir *dir, struct certdir_cursor *cursor, struct certdir_fault *ret_fault);

#endif
