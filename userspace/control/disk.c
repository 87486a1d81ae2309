/* Files that are whole after any crash: see disk.h. */
#include "control/disk.h"

#include "core/file.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const struct disk_calls disk_kernel_calls = {write, fsync, renameat, syncfs};

static int fail(const struct disk *disk, const char *name, const char *what, struct err *err)
{
	int code = -errno;

	return err_set(err, code, "cannot %s %s/%s: %s", what, disk->path, name, strerror(-code));
}

int disk_open(struct disk *disk, const char *path, bool make, const struct disk_calls *calls,
	struct err *err)
{
	int code;

	*disk = (struct disk){.fd = -1, .calls = calls};
	if (make && mkdir(path, 0700) < 0 && errno != EEXIST) {
		code = -errno;
		return err_set(err, code, "cannot make the folder %s: %s", path, strerror(-code));
	}
	disk->fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (disk->fd < 0) {
		code = -errno;
		return err_set(err, code, "cannot open the folder %s: %s", path, strerror(-code));
	}
	disk->path = mem_strdup(path);
	return 0;
}

void disk_close(struct disk *disk)
{
	if (disk->fd >= 0)
		close(disk->fd);
	free(disk->path);
	*disk = (struct disk){.fd = -1};
}

static void aside_name(const char *name, char ret_aside[static NAME_MAX + 1])
{
	snprintf(ret_aside, NAME_MAX + 1, "%s.new", name);
}

static int write_all(const struct disk *disk, int fd, const char *bytes, size_t len)
{
	ssize_t n;

	while (len > 0) {
		n = disk->calls->write(fd, bytes, len);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0) {
			errno = n < 0 ? errno : EIO;
			return -1;
		}
		bytes += n;
		len -= (size_t)n;
	}
	return 0;
}

static int write_aside(struct disk *disk, const char *name, const void *bytes, size_t len,
	bool is_synced, struct err *err)
{
	char aside[NAME_MAX + 1];
	int fd, r = 0;

	aside_name(name, aside);
	fd = openat(disk->fd, aside, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return fail(disk, aside, "make", err);
	if (write_all(disk, fd, bytes, len) < 0 || (is_synced && disk->calls->fsync(fd) < 0))
		r = fail(disk, aside, "write", err);
	close(fd);
	if (r < 0)
		unlinkat(disk->fd, aside, 0);
	return r;
}

int disk_stage(struct disk *disk, const char *name, const void *bytes, size_t len, struct err *err)
{
	return write_aside(disk, name, bytes, len, true, err);
}

int disk_commit(struct disk *disk, const char *name, struct err *err)
{
	char aside[NAME_MAX + 1];

	aside_name(name, aside);
	if (disk->calls->rename(disk->fd, aside, disk->fd, name) < 0)
		return fail(disk, aside, "rename", err);
	if (disk->calls->fsync(disk->fd) < 0)
		return fail(disk, name, "sync the folder of", err);
	return 0;
}

void disk_unstage(struct disk *disk, const char *name)
{
	char aside[NAME_MAX + 1];

	aside_name(name, aside);
	unlinkat(disk->fd, aside, 0);
}

int disk_write(struct disk *disk, const char *name, const void *bytes, size_t len, struct err *err)
{
	int r = disk_stage(disk, name, bytes, len, err);

	if (r < 0)
		return r;
	r = disk_commit(disk, name, err);
	if (r < 0)
		disk_unstage(disk, name);
	return r;
}

int disk_put(struct disk *disk, const char *name, const void *bytes, size_t len, struct err *err)
{
	char aside[NAME_MAX + 1];
	int r = write_aside(disk, name, bytes, len, false, err);

	if (r < 0)
		return r;
	aside_name(name, aside);
	if (disk->calls->rename(disk->fd, aside, disk->fd, name) == 0)
		return 0;
	r = fail(disk, aside, "rename", err);
	disk_unstage(disk, name);
	return r;
}

int disk_sync_file(struct disk *disk, const char *name, struct err *err)
{
	int fd = openat(disk->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r = 0;

	if (fd < 0)
		return fail(disk, name, "open", err);
	if (disk->calls->fsync(fd) < 0)
		r = fail(disk, name, "write", err);
	close(fd);
	return r;
}

int disk_sync_folder(struct disk *disk, struct err *err)
{
	return disk->calls->fsync(disk->fd) < 0 ? fail(disk, ".", "sync the folder", err) : 0;
}

int disk_sync_all(struct disk *disk, struct err *err)
{
	return disk->calls->syncfs(disk->fd) < 0 ? fail(disk, ".", "write all of", err) : 0;
}

/* As many bytes as the file had when it was opened. */
static int read_whole(
	const struct disk *disk, int fd, const char *name, size_t len, char *bytes, struct err *err)
{
	int r = file_read_exactly(fd, bytes, len);

	if (r == -EBADMSG)
		return err_set(
			err, -EIO, "%s/%s became shorter while it was read", disk->path, name);
	if (r < 0) {
		errno = -r;
		return fail(disk, name, "read", err);
	}
	bytes[len] = '\0';
	return 0;
}

int disk_read(const struct disk *disk, const char *name, size_t max, char **ret_bytes,
	size_t *ret_len, struct err *err)
{
	int fd = openat(disk->fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK), r;
	struct stat about;
	char *bytes;

	if (fd < 0)
		return fail(disk, name, "open", err);
	if (fstat(fd, &about) < 0 || !S_ISREG(about.st_mode) || (uint64_t)about.st_size > max) {
		close(fd);
		return err_set(err, -EFBIG, "%s/%s is no file of at most %zu bytes", disk->path,
			name, max);
	}
	bytes = mem_alloc((size_t)about.st_size + 1);
	r = read_whole(disk, fd, name, (size_t)about.st_size, bytes, err);
	close(fd);
	if (r < 0) {
		explicit_bzero(bytes, (size_t)about.st_size);
		free(bytes);
		return r;
	}
	*ret_bytes = bytes;
	*ret_len = (size_t)about.st_size;
	return 0;
}

bool disk_has(const struct disk *disk, const char *name)
{
	return faccessat(disk->fd, name, F_OK, AT_EACCESS) == 0;
}

void disk_remove(struct disk *disk, const char *name)
{
	unlinkat(disk->fd, name, 0);
}

int disk_list(const struct disk *disk, void (*found)(void *arg, const char *name), void *arg,
	struct err *err)
{
	int fd = openat(disk->fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	const struct dirent *entry;

	if (!dir) {
		if (fd >= 0)
			close(fd);
		return fail(disk, ".", "list", err);
	}
	while ((entry = readdir(dir)))
		if (entry->d_name[0] != '.')
			found(arg, entry->d_name);
	closedir(dir);
	return 0;
}
