/*
 * Versions of the objects made through the admin API, on disk: STATE/objects/HEAD names the version
 * in force, versions/N is a whole one (who, when, what, all objects), blobs/SHA-256 a content. A
 * version is on disk before it is put in force, and HEAD says so afterwards; whatever ends the
 * daemon in between, what HEAD names is whole. Control thread or loader thread, never both: while a
 * change is under way it is the loader's.
 */
#ifndef SLUICE_CONTROL_VERSIONS_H
#define SLUICE_CONTROL_VERSIONS_H

#include "control/disk.h"
#include "control/objects.h"
#include <stdint.h>

struct versions;

enum { VERSION_WHO_BYTES = 160 };

struct version {
	uint64_t number;
	int64_t at_unix_s;
	uint32_t uid;
	int32_t pid; /* who asked for it; UINT32_MAX and 0: */
	char who[VERSION_WHO_BYTES]; /* over TCP: "ops from 192.0.2.7:4711" */
	bool is_rollback;
	uint64_t rollback_to;
	uint32_t n_objects;
	char *changes; /* JSON: a list */
};

/*
 * Opens what is below `state_dir` (nothing there: nothing is made before the first change) and reads
 * the version in force. One that is damaged is passed over for the last whole one before it, which
 * `ret_warning` says ("": all is well). -EBUSY: another process has the folder. Where nothing was
 * there the first change has -EBUSY, too, if another process has made something since.
 */
int versions_open(const char *state_dir, const struct disk_calls *calls,
	struct versions **ret_versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err) must_check;
/* The same, where another process gives its lock, `lock_fd` (-1: none does), which stays the caller's. */
int versions_open_with(const char *state_dir, const struct disk_calls *calls, int lock_fd,
	struct versions **ret_versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err) must_check;
/* To be given to another process; -1: there is none. */
int versions_lock_fd(const struct versions *versions);
/* Another process has it now. */
void versions_drop_lock(struct versions *versions);
/* The same, only to look at it, while a daemon may be running: nothing is locked, made or removed.
 * -ENOENT: nothing is there. */
int versions_peek(const char *state_dir, struct versions **ret_versions, struct object_set *ret_set,
	struct err *ret_warning, struct err *err) must_check;
/* NULL is ignored. */
void versions_free(struct versions *versions);

/* 0: nothing was ever changed. */
uint64_t versions_head(const struct versions *versions);
/* Where contents are: "STATE/objects/blobs". */
const char *versions_blob_path(const struct versions *versions);

/* Keeps a content, and says what it is called; one that is damaged is written again. It is on disk for
 * good when versions_prepare() has been; what is not in the next version that is committed goes. */
int versions_put_blob(struct versions *versions, const void *bytes, size_t len,
	char ret_hex[static DIGEST_HEX_BYTES], struct err *err) must_check;
bool versions_has_blob(const struct versions *versions, const char *hex);

/* Writes the next version; `about` without its number, which it gets. */
int versions_prepare(struct versions *versions, struct version *about, const struct object_set *set,
	struct err *err) must_check;
/* It is in force: HEAD names it from now on. If that fails, it will again be tried with the next, or
 * by versions_catch_up(). */
int versions_commit(struct versions *versions, struct err *err) must_check;
/* HEAD could not be written before: writes it. 0 too if nothing is to be done. */
int versions_catch_up(struct versions *versions, struct err *err) must_check;
/* It will not be, or there was none after all: everything that was written for it goes. */
void versions_abandon(struct versions *versions);
/* Lets all but the newest `kept` go, and contents that no version has. None while HEAD is behind: a
 * restart needs the one that it names. */
void versions_prune(struct versions *versions, uint32_t kept);

/* The objects of a version that is kept. -ENOENT: it is not; -EBADMSG: it is damaged. */
int versions_read(struct versions *versions, uint64_t number, struct object_set *ret_set,
	struct err *err) must_check;

/* What is kept, oldest first; valid until the next change. */
const struct version *versions_list(const struct versions *versions, size_t *ret_n);

#endif
