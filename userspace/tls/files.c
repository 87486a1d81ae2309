/* PEM files: see files.h. */
#include "tls/files.h"

#include "core/mem.h"
#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static int read_all(int fd, uint8_t *bytes, size_t size, size_t *ret_len)
{
	size_t len = 0;
	ssize_t got;

	while (len < size) {
		got = read(fd, bytes + len, size - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -errno;
		if (got == 0)
			break;
		len += (size_t)got;
	}
	*ret_len = len;
	return 0;
}

int tls_file_read(const char *path, uint8_t **ret_bytes, size_t *ret_len, struct err *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	uint8_t *bytes = NULL;
	struct stat about;
	size_t len = 0;
	int r = 0;

	if (fd < 0 || fstat(fd, &about) < 0) {
		r = -errno;
		goto out;
	}
	if (!S_ISREG(about.st_mode)) {
		r = S_ISDIR(about.st_mode) ? -EISDIR : -EINVAL;
		goto out;
	}
	if (about.st_size > TLS_FILE_BYTES_MAX) {
		r = -EFBIG;
		goto out;
	}
	bytes = mem_alloc((size_t)about.st_size + 1);
	r = read_all(fd, bytes, (size_t)about.st_size, &len);
out:
	if (fd >= 0)
		close(fd);
	if (r < 0) {
		tls_file_free(bytes, len);
		return err_set(err, r, "cannot read %s: %s", path, strerror(-r));
	}
	*ret_bytes = bytes;
	*ret_len = len;
	return 0;
}

void tls_file_free(uint8_t *bytes, size_t len)
{
	if (bytes)
		OPENSSL_cleanse(bytes, len);
	free(bytes);
}
