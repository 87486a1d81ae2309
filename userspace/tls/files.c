/* PEM files: see files.h. */
#include "tls/files.h"

#include "core/file.h"
#include "core/hash.h"
#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include <unistd.h>

enum { TICK_MS_MAX = 20 };

uint64_t tls_file_identity(const struct stat *about)
{
	/* Fixed: the index has digests of an earlier run. */
	static const struct hash_key key = {0x736c756963652d66, 0x696c652d69642e31};
	const uint64_t parts[] = {about->st_dev, about->st_ino, (uint64_t)about->st_size,
		(uint64_t)about->st_mtim.tv_sec, (uint64_t)about->st_mtim.tv_nsec,
		(uint64_t)about->st_ctim.tv_sec, (uint64_t)about->st_ctim.tv_nsec};
	uint64_t digest = hash_bytes(&key, parts, sizeof(parts));

	return digest ? digest : 1;
}

uint64_t tls_file_identity_at(const char *path)
{
	struct stat about;

	return stat(path, &about) == 0 ? tls_file_identity(&about) : 0;
}

bool tls_file_is_volatile(const char *path)
{
	struct statfs about;

	return statfs(path, &about) == 0 &&
	       (about.f_type == TMPFS_MAGIC || about.f_type == RAMFS_MAGIC);
}

static int check_kind(const struct stat *about, size_t max)
{
	if (!S_ISREG(about->st_mode))
		return S_ISDIR(about->st_mode) ? -EISDIR : -EINVAL;
	return (size_t)about->st_size > max ? -EFBIG : 0;
}

/* The clock of files ticks every few milliseconds: what is changed twice within one, to the same
 * size, looks the same. What was written in this tick is read in the next one. */
static void wait_for_tick(const struct stat *about)
{
	const struct timespec *changed = &about->st_mtim, pause = {.tv_nsec = 1000 * 1000};
	struct timespec now;
	int i;

	if (about->st_ctim.tv_sec > changed->tv_sec ||
		(about->st_ctim.tv_sec == changed->tv_sec &&
			about->st_ctim.tv_nsec > changed->tv_nsec))
		changed = &about->st_ctim;
	for (i = 0; i < TICK_MS_MAX; i++) {
		clock_gettime(CLOCK_REALTIME_COARSE, &now);
		if (now.tv_sec != changed->tv_sec || now.tv_nsec != changed->tv_nsec)
			return;
		nanosleep(&pause, NULL);
	}
}

/* -EAGAIN: it was changed while it was read. */
static int read_file(
	int fd, size_t max, uint8_t **ret_bytes, size_t *ret_len, uint64_t *ret_identity)
{
	struct stat about, after;
	int r;

	if (fstat(fd, &about) < 0)
		return -errno;
	r = check_kind(&about, max);
	if (r < 0)
		return r;
	wait_for_tick(&about);
	*ret_identity = tls_file_identity(&about);
	*ret_bytes = mem_alloc((size_t)about.st_size + 1);
	r = file_read(fd, *ret_bytes, (size_t)about.st_size, ret_len);
	if (r < 0)
		return r;
	if (fstat(fd, &after) < 0)
		return -errno;
	return tls_file_identity(&after) == *ret_identity ? 0 : -EAGAIN;
}

static const char *reason(int error)
{
	return error == -EAGAIN   ? "it is being written"
	       : error == -EINVAL ? "it is no regular file"
				  : strerror(-error);
}

static int read_path(const char *path, size_t max, uint8_t **ret_bytes, size_t *ret_len,
	uint64_t *ret_identity, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK), r;
	uint8_t *bytes = NULL;
	uint64_t identity = 0;
	size_t len = 0;

	if (fd < 0)
		return err_set(err, -errno, "cannot read %s: %s", path, strerror(errno));
	r = read_file(fd, max, &bytes, &len, &identity);
	close(fd);
	if (r < 0) {
		tls_file_free(bytes, len);
		return err_set(err, r, "cannot read %s: %s", path, reason(r));
	}
	*ret_bytes = bytes;
	*ret_len = len;
	*ret_identity = identity;
	return 0;
}

int tls_file_read_identity(const char *path, uint8_t **ret_bytes, size_t *ret_len,
	uint64_t *ret_identity, struct err *err)
{
	return read_path(path, TLS_FILE_BYTES_MAX, ret_bytes, ret_len, ret_identity, err);
}

int tls_file_read_max(
	const char *path, size_t max, uint8_t **ret_bytes, size_t *ret_len, struct err *err)
{
	uint64_t identity;

	return read_path(path, max, ret_bytes, ret_len, &identity, err);
}

int tls_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_len, struct err *err)
{
	return tls_file_read_max(path, TLS_FILE_BYTES_MAX, ret_bytes, ret_len, err);
}

void tls_file_free(uint8_t *bytes, size_t len)
{
	if (bytes)
		OPENSSL_cleanse(bytes, len);
	free(bytes);
}
