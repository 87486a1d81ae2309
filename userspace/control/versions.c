/*
 * Versions of objects on disk: see versions.h. A version is a file of three lines: format and SHA-256
 * of what follows; what is told about it, as JSON; its objects, as JSON.
 */
#define LOG_MODULE "objects"
#include "control/versions.h"

#include "control/versions_parts.h"
#include "core/log.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* As many contents are synced one by one; more of them with all that the file system has. */
enum { SYNCED_APART_MAX = 16 };

static void row_fini(struct version_row *row)
{
	free(row->about.changes);
	blob_list_fini(&row->dropped);
	*row = (struct version_row){0};
}

/* --- folders */

static int take_lock(struct versions *versions, struct err *err)
{
	int fd = openat(versions->top.fd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0600), code;

	if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0) {
		versions->lock_fd = fd;
		return 0;
	}
	code = -errno;
	if (fd >= 0)
		close(fd);
	if (code == -EWOULDBLOCK && versions->given_lock_fd >= 0) {
		versions->lock_fd = fcntl(versions->given_lock_fd, F_DUPFD_CLOEXEC, 0);
		code = versions->lock_fd < 0 ? -errno : 0;
	}
	if (code == 0)
		return 0;
	if (code == -EWOULDBLOCK)
		return err_set(err, -EBUSY,
			"another sluiced has the folder %s: give each one its own state_dir",
			versions->top.path);
	return err_set(err, code, "cannot lock %s/LOCK: %s", versions->top.path, strerror(-code));
}

static void close_folders(struct versions *versions)
{
	disk_close(&versions->top);
	disk_close(&versions->versions);
	disk_close(&versions->blobs);
	if (versions->lock_fd >= 0)
		close(versions->lock_fd);
	versions->lock_fd = -1;
}

static int open_folders(struct versions *versions, bool make, struct err *err)
{
	char *path = mem_printf("%s/objects", versions->state_dir);
	char *rows = mem_printf("%s/versions", path);
	const struct disk_calls *calls = versions->calls;
	int r = 0;

	if (make && mkdir(versions->state_dir, 0700) < 0 && errno != EEXIST)
		r = err_set(err, -errno, "cannot make the folder %s: %s", versions->state_dir,
			strerror(errno));
	if (r == 0)
		r = disk_open(&versions->top, path, make, calls, err);
	if (r == 0)
		r = take_lock(versions, err);
	/* Whoever holds the lock may make what is missing. */
	if (r == 0)
		r = disk_open(&versions->versions, rows, true, calls, err);
	if (r == 0)
		r = disk_open(&versions->blobs, versions->blob_path, true, calls, err);
	free(rows);
	free(path);
	if (r < 0)
		close_folders(versions);
	return r;
}

static void note_version(void *arg, const char *name)
{
	bool *is_there = arg;

	*is_there |= name[strspn(name, "0123456789")] == '\0';
}

/* Until now nobody had the lock: whatever another process made must not be written over. */
static int refuse_strangers(struct versions *versions, struct err *err)
{
	bool is_there = disk_has(&versions->top, "HEAD");
	int r = disk_list(&versions->versions, note_version, &is_there, err);

	if (r == 0 && is_there)
		r = err_set(err, -EBUSY,
			"another sluiced has made versions of the objects in %s since this one was "
			"started: restart it, to go on from them, or give each one its own "
			"state_dir",
			versions->top.path);
	return r;
}

/* Before the first change there is nothing. */
static int need_folders(struct versions *versions, struct err *err)
{
	int r;

	if (versions->top.fd >= 0)
		return 0;
	r = open_folders(versions, true, err);
	if (r < 0)
		return r;
	r = refuse_strangers(versions, err);
	if (r < 0)
		close_folders(versions);
	return r;
}

/* --- the list of versions */

struct version_row *versions_row(struct versions *versions, uint64_t number)
{
	for (size_t i = versions->n_rows; i > 0; i--)
		if (versions->rows[i - 1].about.number == number)
			return &versions->rows[i - 1];
	return NULL;
}

void versions_add_row(struct versions *versions, struct version_row *row)
{
	versions->rows =
		mem_realloc(versions->rows, (versions->n_rows + 1) * sizeof(versions->rows[0]));
	versions->rows[versions->n_rows++] = *row;
	*row = (struct version_row){0};
}

void versions_drop_row(struct versions *versions, size_t at)
{
	row_fini(&versions->rows[at]);
	versions->n_rows--;
	memmove(&versions->rows[at], &versions->rows[at + 1],
		(versions->n_rows - at) * sizeof(versions->rows[0]));
}

const struct version *versions_list(const struct versions *versions, size_t *ret_n)
{
	struct versions *own = (struct versions *)versions; /* only its copy for the list */

	own->list = mem_realloc(own->list, (own->n_rows + 1) * sizeof(own->list[0]));
	for (size_t i = 0; i < own->n_rows; i++)
		own->list[i] = own->rows[i].about;
	*ret_n = own->n_rows;
	return own->list;
}

/* --- life */

static struct versions *versions_new(const char *state_dir, const struct disk_calls *calls)
{
	struct versions *versions = mem_zalloc(sizeof(*versions));

	versions->state_dir = mem_strdup(state_dir);
	versions->blob_path = mem_printf("%s/objects/blobs", state_dir);
	versions->calls = calls;
	versions->top.fd = versions->versions.fd = versions->blobs.fd = versions->lock_fd = -1;
	versions->given_lock_fd = -1;
	return versions;
}

int versions_open(const char *state_dir, const struct disk_calls *calls,
	struct versions **ret_versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err)
{
	return versions_open_with(state_dir, calls, -1, ret_versions, ret_set, ret_warning, err);
}

int versions_lock_fd(const struct versions *versions)
{
	return versions ? versions->lock_fd : -1;
}

void versions_drop_lock(struct versions *versions)
{
	if (versions->lock_fd >= 0)
		close(versions->lock_fd);
	versions->lock_fd = -1;
}

int versions_open_with(const char *state_dir, const struct disk_calls *calls, int lock_fd,
	struct versions **ret_versions, struct object_set *ret_set, struct err *ret_warning,
	struct err *err)
{
	struct versions *versions = versions_new(state_dir, calls);
	int r;

	versions->given_lock_fd = lock_fd;
	*ret_set = (struct object_set){0};
	ret_warning->text[0] = '\0';
	r = open_folders(versions, false, err);
	versions->given_lock_fd = -1;
	if (r == 0)
		r = versions_load(versions, ret_set, ret_warning, err);
	else if (r == -ENOENT)
		r = 0;
	if (r < 0) {
		versions_free(versions);
		return r;
	}
	*ret_versions = versions;
	return 0;
}

static int open_to_peek(struct versions *versions, struct err *err)
{
	char *path = mem_printf("%s/objects", versions->state_dir);
	char *rows = mem_printf("%s/versions", path);
	int r = disk_open(&versions->top, path, false, versions->calls, err);

	if (r == 0)
		r = disk_open(&versions->versions, rows, false, versions->calls, err);
	if (r == 0)
		r = disk_open(&versions->blobs, versions->blob_path, false, versions->calls, err);
	free(rows);
	free(path);
	return r;
}

int versions_peek(const char *state_dir, struct versions **ret_versions, struct object_set *ret_set,
	struct err *ret_warning, struct err *err)
{
	struct versions *versions = versions_new(state_dir, &disk_kernel_calls);
	int r;

	*ret_set = (struct object_set){0};
	ret_warning->text[0] = '\0';
	versions->is_peek = true;
	r = open_to_peek(versions, err);
	if (r == 0)
		r = versions_choose(versions, ret_set, ret_warning, err);
	if (r < 0)
		versions_free(versions);
	else
		*ret_versions = versions;
	return r;
}

void versions_free(struct versions *versions)
{
	if (!versions)
		return;
	while (versions->n_rows)
		versions_drop_row(versions, versions->n_rows - 1);
	row_fini(&versions->next);
	blob_list_fini(&versions->fresh);
	blob_list_fini(&versions->in_force);
	blob_list_fini(&versions->next_blobs);
	close_folders(versions);
	free(versions->rows);
	free(versions->list);
	free(versions->blob_path);
	free(versions->state_dir);
	free(versions);
}

uint64_t versions_head(const struct versions *versions)
{
	return versions->head;
}

const char *versions_blob_path(const struct versions *versions)
{
	return versions->blob_path;
}

/* --- contents */

int versions_put_blob(struct versions *versions, const void *bytes, size_t len,
	char ret_hex[static DIGEST_HEX_BYTES], struct err *err)
{
	int r = need_folders(versions, err);
	struct err damage;

	if (r < 0)
		return r;
	digest_hex(bytes, len, ret_hex);
	if (disk_has(&versions->blobs, ret_hex) &&
		versions_check_blob(versions, ret_hex, &damage) == 0) {
		/* What nobody has may be on its way to the disk only. */
		if (!versions_needs_blob(versions, ret_hex))
			blob_list_add(&versions->fresh, ret_hex);
		return 0;
	}
	blob_list_add(&versions->fresh, ret_hex);
	return disk_put(&versions->blobs, ret_hex, bytes, len, err);
}

static int sync_fresh(struct versions *versions, struct err *err)
{
	const struct blob_list *fresh = &versions->fresh;
	int r = 0;

	if (fresh->n > SYNCED_APART_MAX)
		return disk_sync_all(&versions->blobs, err);
	for (size_t i = 0; i < fresh->n && r == 0; i++)
		r = disk_sync_file(&versions->blobs, fresh->hex[i], err);
	if (r == 0 && fresh->n)
		r = disk_sync_folder(&versions->blobs, err);
	return r;
}

bool versions_has_blob(const struct versions *versions, const char *hex)
{
	return versions->blobs.fd >= 0 && blob_list_is_name(hex) && disk_has(&versions->blobs, hex);
}

/* --- a change */

/* What the version in force has and the next one has not. */
static void list_dropped(const struct versions *versions, const struct object_set *set,
	struct blob_list *ret_all, struct blob_list *ret_dropped)
{
	object_set_blobs(set, ret_all);
	for (size_t i = 0; i < versions->in_force.n; i++)
		if (!blob_list_has(ret_all, versions->in_force.hex[i]))
			blob_list_add(ret_dropped, versions->in_force.hex[i]);
}

static int stage_head(struct versions *versions, uint64_t number, struct err *err)
{
	char head[VERSION_NAME_BYTES + 1];
	int n = snprintf(head, sizeof(head), "%" PRIu64 "\n", number);

	return disk_stage(&versions->top, "HEAD", head, (size_t)n, err);
}

static int commit_head(struct versions *versions, struct err *err)
{
	int r = disk_commit(&versions->top, "HEAD", err);

	versions->is_head_behind = r < 0;
	return r;
}

static int write_version(struct versions *versions, const struct object_set *set, struct err *err)
{
	char name[VERSION_NAME_BYTES];
	size_t len;
	char *text = version_write(&versions->next, set, &len);
	int r;

	version_name(versions->next.about.number, name);
	r = disk_write(&versions->versions, name, text, len, err);
	free(text);
	if (r < 0)
		return r;
	return stage_head(versions, versions->next.about.number, err);
}

int versions_prepare(struct versions *versions, struct version *about, const struct object_set *set,
	struct err *err)
{
	int r = need_folders(versions, err);

	if (r < 0)
		return r;
	about->number = versions->head + 1;
	/* One that is damaged keeps its number. */
	if (about->number <= versions->number_max)
		about->number = versions->number_max + 1;
	about->n_objects = (uint32_t)set->n;
	versions->next = (struct version_row){.about = *about};
	versions->next.about.changes = mem_strdup(about->changes);
	list_dropped(versions, set, &versions->next_blobs, &versions->next.dropped);
	r = sync_fresh(versions, err);
	if (r == 0)
		r = write_version(versions, set, err);
	if (r < 0)
		versions_abandon(versions);
	return r;
}

int versions_commit(struct versions *versions, struct err *err)
{
	versions->head = versions->next.about.number;
	versions_add_row(versions, &versions->next);
	blob_list_fini(&versions->in_force);
	versions->in_force = versions->next_blobs;
	versions->next_blobs = (struct blob_list){0};
	/* Contents that came for it but that it does not have. */
	versions_remove_blobs(versions, &versions->fresh);
	return commit_head(versions, err);
}

int versions_catch_up(struct versions *versions, struct err *err)
{
	int r;

	if (!versions->is_head_behind)
		return 0;
	r = stage_head(versions, versions->head, err);
	return r < 0 ? r : commit_head(versions, err);
}

void versions_abandon(struct versions *versions)
{
	char name[VERSION_NAME_BYTES];

	if (versions->next.about.number) {
		version_name(versions->next.about.number, name);
		disk_remove(&versions->versions, name);
		disk_unstage(&versions->top, "HEAD");
		row_fini(&versions->next);
		blob_list_fini(&versions->next_blobs);
	}
	versions_remove_blobs(versions, &versions->fresh);
}

void versions_prune(struct versions *versions, uint32_t kept)
{
	struct blob_list candidates = {0};
	char name[VERSION_NAME_BYTES];

	while (versions->n_rows > kept && !versions->is_head_behind) {
		version_name(versions->rows[0].about.number, name);
		disk_remove(&versions->versions, name);
		versions_drop_row(versions, 0);
		/* What the next one no longer had, only those before it can have had. */
		for (size_t i = 0; i < versions->rows[0].dropped.n; i++)
			blob_list_add(&candidates, versions->rows[0].dropped.hex[i]);
		blob_list_fini(&versions->rows[0].dropped);
	}
	versions_remove_blobs(versions, &candidates);
}

int versions_read(
	struct versions *versions, uint64_t number, struct object_set *ret_set, struct err *err)
{
	struct version_row row = {0};
	bool is_kept = versions->is_peek ? number <= versions->head
					 : versions_row(versions, number) != NULL;
	int r = -ENOENT;

	if (is_kept)
		r = version_load(versions, number, true, &row, ret_set, err);
	row_fini(&row);
	if (r == -ENOENT)
		err_set(err, r, "there is no version %" PRIu64 " (any more)", number);
	return r;
}
