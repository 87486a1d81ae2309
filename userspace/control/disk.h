/*
 * Files of one folder that are whole after any crash: written aside, synced, renamed. The calls to
 * the kernel can be exchanged, so that tests make each of them fail. One thread at a time.
 */
#ifndef SLUICE_CONTROL_DISK_H
#define SLUICE_CONTROL_DISK_H

#include "core/attr.h"
#include "core/err.h"
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct disk_calls {
	ssize_t (*write)(int fd, const void *bytes, size_t len);
	int (*fsync)(int fd);
	int (*rename)(int old_dir, const char *old_name, int new_dir, const char *new_name);
	int (*syncfs)(int fd);
};

extern const struct disk_calls disk_kernel_calls;

struct disk {
	int fd; /* of the folder */
	char *path;
	const struct disk_calls *calls;
};

/* With `make`, a folder that is missing is made (0700; its parent must be there). 0, -ENOENT, or
 * another negative errno. */
int disk_open(struct disk *disk, const char *path, bool make, const struct disk_calls *calls,
	struct err *err) must_check;
/* Also of one that was never opened: all zero but for fd -1. */
void disk_close(struct disk *disk);

/* Writes NAME.new (0600) and syncs it: disk_commit() then needs no room any more. */
int disk_stage(struct disk *disk, const char *name, const void *bytes, size_t len,
	struct err *err) must_check;
/* Gives what was staged its name, for good. */
int disk_commit(struct disk *disk, const char *name, struct err *err) must_check;
void disk_unstage(struct disk *disk, const char *name);
/* Both. */
int disk_write(struct disk *disk, const char *name, const void *bytes, size_t len,
	struct err *err) must_check;
/* For many files: as disk_write(), but until one of the next three has been done it may be damaged
 * after a crash. */
int disk_put(struct disk *disk, const char *name, const void *bytes, size_t len,
	struct err *err) must_check;
int disk_sync_file(struct disk *disk, const char *name, struct err *err) must_check;
/* The names that files have. */
int disk_sync_folder(struct disk *disk, struct err *err) must_check;
/* All that the file system has, names too: for more than a few files. */
int disk_sync_all(struct disk *disk, struct err *err) must_check;
/* The whole of a file, ended by a NUL; the caller wipes it if it is secret. -ENOENT: none. */
int disk_read(const struct disk *disk, const char *name, size_t max, char **ret_bytes,
	size_t *ret_len, struct err *err) must_check;
bool disk_has(const struct disk *disk, const char *name);
void disk_remove(struct disk *disk, const char *name);
/* Calls back with each name in the folder but those that begin with a dot. */
int disk_list(const struct disk *disk, void (*found)(void *arg, const char *name), void *arg,
	struct err *err) must_check;

#endif
