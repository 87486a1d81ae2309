/* The inside of versions.h: shared by versions.c, versions_file.c and versions_load.c. */
#ifndef SLUICE_CONTROL_VERSIONS_PARTS_H
#define SLUICE_CONTROL_VERSIONS_PARTS_H

#include "control/versions.h"

enum { VERSION_NAME_BYTES = 24, VERSION_BYTES_MAX = 1 << 30 };

struct version_row {
	struct version about;
	/* Contents that the version before has and this one has not. Whatever a version that is kept
	 * has is either in the version in force or was dropped by one after it. */
	struct blob_list dropped;
};

struct versions {
	char *state_dir, *blob_path;
	const struct disk_calls *calls;
	struct disk top, versions, blobs; /* fd -1: nothing is there */
	int lock_fd;
	int given_lock_fd; /* another process's, while this one is opened; -1: none */
	bool is_peek; /* nothing is written */
	uint64_t head;
	bool is_head_behind; /* on disk it names an older version than `head` */
	uint64_t number_max; /* of any that was found, damaged ones too */
	struct version_row *rows; /* that are kept, oldest first; the last one is in force */
	size_t n_rows;
	struct version *list; /* for versions_list() */
	struct version_row next; /* number 0: none is being made */
	struct blob_list in_force, next_blobs;
	struct blob_list fresh; /* written since the last commit or abandon */
};

/* versions.c */
struct version_row *versions_row(struct versions *versions, uint64_t number);
/* Takes over what `row` has. */
void versions_add_row(struct versions *versions, struct version_row *row);
void versions_drop_row(struct versions *versions, size_t at);

/* versions_file.c: the text of a version. */
void version_name(uint64_t number, char ret_name[static VERSION_NAME_BYTES]);
char *version_write(const struct version_row *row, const struct object_set *set, size_t *ret_len);
/* Without `is_whole` only what is told about it (the digest is not checked), and no set. -EBADMSG:
 * damaged. */
int version_parse(const char *text, size_t len, bool is_whole, struct version_row *ret_row,
	struct object_set *ret_set, struct err *err) must_check;

/* versions_load.c */
/* Chooses the version in force, and reads that. */
int versions_choose(struct versions *versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err) must_check;
int versions_load(struct versions *versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err) must_check;
/* Reads a version's file; `is_whole` checks that all its contents are there and right, too. */
int version_load(struct versions *versions, uint64_t number, bool is_whole,
	struct version_row *ret_row, struct object_set *ret_set, struct err *err) must_check;
/* 0: the content is there and what its name says. */
int versions_check_blob(struct versions *versions, const char *hex, struct err *err) must_check;
/* A version that is kept has it. */
bool versions_needs_blob(const struct versions *versions, const char *hex);
/* Removes those of `list` that no version has; empties it. */
void versions_remove_blobs(struct versions *versions, struct blob_list *list);

#endif
